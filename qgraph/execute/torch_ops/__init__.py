"""The torch form of every op that ``to_torch`` takes, a file a family; importing this fills the table."""

from qgraph.execute.torch_ops import (
    conv,
    detection,
    index,
    linear,
    movement,
    norm,
    pointwise,
    pool,
    quantized,
    recurrent,
    resize,
    signal,
)
from qgraph.execute.torch_ops.registry import TORCH_OPS, TorchOp, as_tensor

__all__ = [
    "TORCH_OPS",
    "TorchOp",
    "as_tensor",
    "conv",
    "detection",
    "index",
    "linear",
    "movement",
    "norm",
    "pointwise",
    "pool",
    "quantized",
    "recurrent",
    "resize",
    "signal",
]
