"""The torch form of every op that ``to_torch`` takes; importing this fills the table."""

from qgraph.execute.ops import math, nn, quantized, reduce, resize, shape
from qgraph.execute.ops.registry import OPS, Rule, as_tensor

__all__ = ["OPS", "Rule", "as_tensor", "math", "nn", "quantized", "reduce", "resize", "shape"]
