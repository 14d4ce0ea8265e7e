"""minisgd beside Keras: one script under both names, compared to the last bit.

This is the only room of the package that may import Keras and TensorFlow, and it does so
only inside functions: importing any module of it needs neither. Read in this order:

- `compare`: how two arrays are compared (bits, ulp, norms).
- `tolerances`: every tolerance of the suite, each with its reason.
- `environment`: which machine, versions and flags a result was obtained with.
- `scripts`: the three training scripts, written once for both packages.
- `sides`: the two packages behind one small interface.
- `report`: keeps the comparisons in order and names the first divergence.
- `probe`: decides by measurement between equality and tolerances.
- `lockstep`: every intermediate value of a step, weights reset to Keras's each time.
- `free_running`: whole runs of ``fit`` from the seed alone.
- `localise`: the first step at which two runs part, and the first value in it.
- `evidence`, `causes`, `updates`: the likely cause of a divergence, in words.
- `command`: what ``minisgd parity`` does.
- `orders`: the order in which ``fit`` visits the samples.
- `full`: ten epochs of everything, recorded in ``docs/reference/recorded``.
"""
