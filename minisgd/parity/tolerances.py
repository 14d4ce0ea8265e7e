"""Every tolerance of the parity suite, each with its reason. No test sets one of its own.

Equality of bits is the default class. The records below hold only where the two sides are
known to add in another order: off the reference setup (see `minisgd.parity.environment`),
oneDNN runs other kernels for TensorFlow's matrix products and its softmax, and TensorFlow then
differs from its own results on the reference setup by the amounts named in the reasons.
"""

from __future__ import annotations

from dataclasses import dataclass

from minisgd.parity.compare import TensorDifference


@dataclass(frozen=True)
class Tolerance:
    """A bound and the reason for it.

    Attributes
    ----------
    name : str
        What is bounded.
    measure : str
        The attribute of a `TensorDifference` that is bounded; "" for a figure of its own.
    value : float
        The bound; a comparison passes if it is at most this.
    reason : str
        Why this bound and no other.
    """

    name: str
    measure: str
    value: float
    reason: str

    def measured(self, difference: TensorDifference) -> float:
        """Return the figure of a comparison that this record bounds."""
        return float(getattr(difference, self.measure))

    def holds(self, measured: float) -> bool:
        """Return whether a measured value is within the bound (NaN never is)."""
        return measured <= self.value

    def __str__(self) -> str:
        """Return the bound and its reason."""
        return f"{self.name} <= {self.value:g} ({self.reason})"


EQUAL = Tolerance(
    "values that differ in bits",
    "differing",
    0.0,
    "nothing here may round differently",
)

# One step from Keras's own weights.

GRADIENT = Tolerance(
    "gradient, relative Frobenius difference",
    "rel_frobenius",
    3e-5,
    "TensorFlow under other flags differs from itself by up to 6.8e-6, plain float32 NumPy "
    "from TensorFlow by up to 2.3e-5",
)
GRADIENT_MEDIAN = Tolerance(
    "gradient, median over steps of the relative Frobenius difference",
    "",
    1e-6,
    "TensorFlow under other flags: 7e-7",
)
GRADIENT_LARGEST = Tolerance(
    "gradient, largest difference over largest element",
    "scaled_max",
    6e-5,
    "three times TensorFlow's own largest error against float64, 2.1e-5",
)
WEIGHT_STEP = Tolerance(
    "weight after one step, largest absolute difference",
    "max_abs",
    1.2e-7,
    "twice the largest seen between two settings of TensorFlow, 6e-8",
)
LOSS = Tolerance(
    "loss of one batch, relative difference",
    "rel_frobenius",
    3e-5,
    "TensorFlow itself is off by 1.3e-5 when the loss is near 1e-3",
)
PRE_ACTIVATION = Tolerance(
    "pre-activation of the hidden layer, largest absolute difference",
    "max_abs",
    5e-6,
    "twice the largest distance seen between TensorFlow's value and float64's, 2.4e-6",
)
ACTIVATION = Tolerance(
    "hidden activations, logits and probabilities, relative Frobenius difference",
    "rel_frobenius",
    3e-5,
    "the gradient's bound: the logits' gradient is the probabilities less the labels",
)
VELOCITY = Tolerance(
    "velocity after one step, relative Frobenius difference",
    "rel_frobenius",
    3e-5,
    "the gradient's bound: a velocity is a sum of scaled gradients",
)
MASK_NEAR_ZERO = Tolerance(
    "|pre-activation in float64| where the two ReLU masks differ",
    "",
    5e-6,
    "twice the largest rounding error seen in a pre-activation near zero; within it either "
    "side of the kink is a correct answer, and the step's gradients are exempt",
)
MASK_STEPS = Tolerance(
    "steps with differing ReLU masks, per 1,000 steps compared",
    "",
    1.0,
    "0 to 6 were seen in 18,750 steps between any two implementations",
)

# numerics="accurate", against float64 (see `minisgd.parity.oracle`).

ACCURATE_RATIO = Tolerance(
    "median error of an accurate gradient, over that of TensorFlow's",
    "",
    0.25,
    "only the last rounding of each gradient is left: 1/6 to 1/20 was measured",
)

ESTIMATED_RECIPROCAL = Tolerance(
    "predictions without oneDNN, relative Frobenius difference",
    "rel_frobenius",
    3e-7,
    "Eigen's softmax multiplies by a reciprocal that the processor estimates (each maker's "
    "differently) and one Newton step; 1.4e-7 was measured. Training does not pass through it",
)

# One op from equal inputs, where TensorFlow uses what we do without.

OP_ZEROS = Tolerance(
    "largest difference", "max_abs", 0.0, "equal, but a zero may have the other sign"
)
OP_RECIPROCAL = Tolerance(
    "relative Frobenius difference",
    "rel_frobenius",
    1.2e-7,
    "about one unit each: TensorFlow multiplies by a reciprocal, which the processor estimates",
)
OP_POWER = Tolerance(
    "ulp", "ulp", 2.0, "Eigen's pow is off by up to one unit, its gradient by two; ours rounds once"
)
OP_ERFC = Tolerance(
    "relative Frobenius difference",
    "rel_frobenius",
    5e-8,
    "beyond 1 Eigen's erfc multiplies by a reciprocal, which the processor estimates; gelu showed "
    "1.1e-8",
)
OP_GELU_POWER = Tolerance(
    "relative Frobenius difference",
    "rel_frobenius",
    2e-7,
    "outside a graph the third power is Eigen's pow, off by up to two units; 5.4e-8 was measured",
)
ACTIVATION_RUN = Tolerance(
    "weights and predictions of a run of ten steps, relative Frobenius difference",
    "rel_frobenius",
    1e-6,
    "gelu by erfc uses an estimated reciprocal, and `predict` has gelu, mish, hard_silu from "
    "oneDNN or merges them with their neighbours; 1.3e-7 was measured",
)
OP_INVERSE_ROOT = Tolerance(
    "relative Frobenius difference",
    "rel_frobenius",
    5e-7,
    "TensorFlow multiplies by an inverse root, which the processor estimates, for whole packets",
)
OP_C_LIBRARY = Tolerance(
    "ulp", "ulp", 1.0, "what fills no packet of eight: the C library's log1pf, off by one unit"
)
OP_REDUCTION = Tolerance(
    "largest difference over largest element",
    "scaled_max",
    1e-6,
    "over a middle axis, or axes apart, we sum each row as over the last axis, TensorFlow does not",
)
OP_PRODUCT = Tolerance(
    "relative Frobenius difference",
    "rel_frobenius",
    1e-6,
    "oneDNN and Eigen choose the order of a small product by processor",
)
LOSS_RECIPROCAL = Tolerance(
    "gradient through a logarithm, relative Frobenius difference",
    "rel_frobenius",
    4e-7,
    "TensorFlow multiplies by a reciprocal, which the processor estimates; 2.0e-7 was measured",
)
RECIPROCAL = Tolerance(
    "reciprocals, ulp",
    "max_ulp",
    2.0,
    "TensorFlow improves the processor's estimate by one Newton step: on Zen 4, 30 % of 80,000 are "
    "one or two units off, and none more",
)
LOGARITHM_RUN = Tolerance(
    "weights after up to twenty steps of a loss through a logarithm, relative Frobenius difference",
    "rel_frobenius",
    1e-7,
    "only the reciprocals differ: with TensorFlow's own for ours all bits are equal; 4.5e-8 was "
    "measured",
)
WEIGHTED_LOG = Tolerance(
    "loss in the History with loss_weights, where TensorFlow knows a batch's length, ulp",
    "max_ulp",
    3.0,
    "its graph has loss * (weight * N), we (loss * weight) * N: two roundings a batch are others; "
    "2 was measured",
)
LOSS_INVERSE_ROOT = Tolerance(
    "cosine similarity and its gradient, relative Frobenius difference",
    "rel_frobenius",
    1e-6,
    "TensorFlow multiplies by an inverse root, which the processor estimates; 4.5e-7 was measured",
)
LOSS_C_LIBRARY = Tolerance(
    "loss with log1p, relative Frobenius difference",
    "rel_frobenius",
    2e-7,
    "what fills no packet of eight: the C library's log1pf, off by one unit; 2.4e-8 was measured",
)
LOSS_FOCAL = Tolerance(
    "focal loss with a gamma other than 2 or with smoothed labels, relative Frobenius difference",
    "rel_frobenius",
    2e-7,
    "Eigen's pow is off by up to one unit, and the graph moves constants; 7.6e-8 was measured",
)
LOSS_POWER = Tolerance(
    "generalized cross-entropy and its gradient, relative Frobenius difference",
    "rel_frobenius",
    2e-7,
    "Eigen's pow is off by up to one unit; 5.4e-8 was measured",
)
METRIC_LOGARITHM = Tolerance(
    "area under a precision-recall curve, relative difference",
    "rel_frobenius",
    3e-7,
    "a sum of 199 pieces, each with a logarithm",
)
OP_SOFTMAX = Tolerance(
    "relative Frobenius difference",
    "rel_frobenius",
    1e-6,
    "oneDNN's softmax rounds by instruction set",
)

INITIAL_ORTHOGONAL = Tolerance(
    "weights of Orthogonal, relative Frobenius difference",
    "rel_frobenius",
    1e-6,
    "TensorFlow decomposes in float32, we in float64: 3.6e-7 was measured for 784 x 128, all of it "
    "TensorFlow's rounding",
)

NORMALIZED = Tolerance(
    "weights and predictions of ten steps with normalization, largest absolute difference",
    "max_abs",
    2e-6,
    "TensorFlow's inverse root starts from the processor's estimate for whole packets of features; "
    "4.8e-7 was measured. A bias before BatchNormalization has a gradient of rounding errors "
    "alone, so a relative bound would be none",
)

# Whole runs.

RUN_WEIGHTS = Tolerance(
    "weights of a run before its first ReLU mask mismatch, relative Frobenius difference",
    "rel_frobenius",
    1e-6,
    "one epoch without a mismatch: at most 6e-7 seen; after a mismatch the runs part "
    "chaotically (TensorFlow from TensorFlow: 5 to 10 % in ten epochs), and no bound is honest",
)
SHORT_RUN_WEIGHTS = Tolerance(
    "weights of a run of a few dozen steps, relative Frobenius difference",
    "rel_frobenius",
    1e-4,
    "off the reference setup sums are added in another order, and a ReLU mask may differ",
)
RUN_LOSS = Tolerance(
    "mean loss of an epoch, relative difference",
    "rel_frobenius",
    0.015,
    "twice what TensorFlow shows against itself under other flags, 0.7 %",
)
RUN_ACCURACY = Tolerance(
    "accuracy, percentage points",
    "points",
    0.3,
    "twice what TensorFlow shows against itself under other flags, 0.15",
)
RUN_ACCURACY_PLAIN_SGD = Tolerance(
    "test accuracy of script 1 after ten epochs, percentage points",
    "points",
    0.05,
    "plain SGD at 0.01 hardly meets a mask flip: all implementations lie within 0.04",
)

# Which records bound which tensor of one step. "x" and the starts never pass through a matrix
# product, hence EQUAL; so are values computed from Keras's own inputs ("... given ...").

STEP = {
    "x": (EQUAL,),
    "z1": (PRE_ACTIVATION, ACTIVATION),
    "h": (PRE_ACTIVATION, ACTIVATION),
    "logits": (ACTIVATION,),
    "p": (ACTIVATION,),
    "loss": (LOSS,),
    "dlogits": (GRADIENT, GRADIENT_LARGEST),
    "dW2": (GRADIENT, GRADIENT_LARGEST),
    "db2": (GRADIENT, GRADIENT_LARGEST),
    "dh": (GRADIENT, GRADIENT_LARGEST),
    "dW1": (GRADIENT, GRADIENT_LARGEST),
    "db1": (GRADIENT, GRADIENT_LARGEST),
    "velocity": (VELOCITY,),
    "weight": (WEIGHT_STEP,),
    "log loss": (LOSS,),
    "log accuracy": (EQUAL,),
    "iteration": (EQUAL,),
    "learning rate": (EQUAL,),
}
