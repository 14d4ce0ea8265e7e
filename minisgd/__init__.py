from minisgd import ops
from minisgd.tape import GradientTape
from minisgd.tensor import Tensor, Variable
