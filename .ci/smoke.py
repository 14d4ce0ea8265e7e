"""Use the installed wheel from outside the tree: files, import, a small fit, the command line.

Usage: python smoke.py TREE, with the tree that the wheel was built from (read for its file list).
"""

import subprocess
import sys
import time
from pathlib import Path

IMPORT_SECONDS = 0.5
IMPORT_ONLY = """
import sys, time
start = time.perf_counter()
import minisgd
print(time.perf_counter() - start)
if "tensorflow" in sys.modules or "keras" in sys.modules:
    sys.exit("import minisgd imports the reference")
"""


def check(condition: bool, message: str) -> None:
    """End the run with `message` unless `condition` holds."""
    if not condition:
        sys.exit(f"wheel smoke test: {message}")


def check_files(tree: Path) -> None:
    """Check that the explicit package list in setup.cfg names every package of the tree."""
    import minisgd
    import minisgd_kernels

    for package, source in (
        (minisgd, tree / "minisgd"),
        (minisgd_kernels, tree / "kernels" / "minisgd_kernels"),
    ):
        installed = Path(package.__file__).parent
        check(not installed.is_relative_to(tree), f"{installed} is the checkout, not the wheel")
        names = [*source.rglob("*.py"), *source.rglob("py.typed"), *source.rglob("*.npz")]
        missing = [str(n) for n in names if not (installed / n.relative_to(source)).is_file()]
        check(not missing, f"not in the wheel: {missing}")


def check_import_time() -> None:
    """Check that the import is quick and leaves the reference alone."""
    # The best of five: the first one also writes the bytecode, and CI machines are busy.
    times = []
    for _ in range(5):
        done = subprocess.run(
            [sys.executable, "-c", IMPORT_ONLY], check=True, capture_output=True, text=True
        )
        times.append(float(done.stdout))
    print(f"import minisgd: {min(times):.3f} s")
    check(min(times) <= IMPORT_SECONDS, f"import minisgd takes more than {IMPORT_SECONDS} s")


def check_fit() -> None:
    """Check that a few steps of training lower the loss."""
    import minisgd as keras

    start = time.perf_counter()
    keras.utils.set_random_seed(0)
    (x, y), _ = keras.datasets.mnist.load_data()
    x = x[:512].reshape(-1, 784).astype("float32") / 255
    y = keras.utils.to_categorical(y[:512], 10)
    model = keras.models.Sequential(
        [
            keras.layers.Dense(128, activation="relu", input_shape=(784,)),
            keras.layers.Dense(10, activation="softmax"),
        ]
    )
    model.compile(optimizer="sgd", loss="categorical_crossentropy", metrics=["accuracy"])
    losses = model.fit(x, y, epochs=3, batch_size=32, verbose=0).history["loss"]
    print(f"fit: losses {losses}, {time.perf_counter() - start:.1f} s with compiling")
    check(losses[-1] < losses[0], "the loss did not fall")


def check_parity() -> None:
    """Check that without TensorFlow the comparison says what is missing, and that it is no 1."""
    command = [sys.executable, "-m", "minisgd", "parity"]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    check(done.returncode == 2, f"minisgd parity ended with {done.returncode}, expected 2")
    check("pip install 'keras==" in done.stderr, f"no command that installs it: {done.stderr}")
    check("Traceback" not in done.stderr, done.stderr)


if __name__ == "__main__":
    check_files(Path(sys.argv[1]))
    check_import_time()
    check_fit()
    check_parity()
