"""Random examples of every op of the integer dialect, by op type: ``EXAMPLES``. A family's file registers its own."""

from tests.runtime.examples import (  # noqa: F401
    attention,
    control,
    conv,
    conv_float32,
    detection,
    index,
    linear,
    linear_float32,
    movement,
    norm,
    norm_float32,
    pointwise,
    pointwise_float32,
    pool,
    pool_float32,
    recurrent,
    resize,
    signal_float32,
)
from tests.runtime.examples.example import EXAMPLES, Example

__all__ = ["EXAMPLES", "Example"]
