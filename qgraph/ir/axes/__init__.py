"""Which axes of which values change together when a channel is removed: a rule an op, a file a family."""

from qgraph.ir.axes import (
    conv,
    detection,
    index,
    linear,
    movement,
    norm,
    pointwise,
    pool,
    recurrent,
    resize,
)
from qgraph.ir.axes.graph import Axis, AxisGraph, Group
from qgraph.ir.axes.registry import AXIS_RULES, AxisRule, rule

__all__ = [
    "AXIS_RULES",
    "Axis",
    "AxisGraph",
    "AxisRule",
    "Group",
    "conv",
    "detection",
    "index",
    "linear",
    "movement",
    "norm",
    "pointwise",
    "pool",
    "recurrent",
    "resize",
    "rule",
]
