"""Random examples of every op of the integer dialect, by op type: ``EXAMPLES``. A family's file registers its own."""

# ruff: noqa: F401

from tests.runtime.examples import (
    attention,
    conv,
    detection,
    index,
    linear,
    linear_float32,
    movement,
    norm,
    pointwise,
    pool,
    resize,
)
from tests.runtime.examples.example import EXAMPLES, Example

__all__ = ["EXAMPLES", "Example"]
