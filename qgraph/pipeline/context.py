"""What passes get beside the graph: data, options of the run, and what earlier passes found out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import onnx_ir as ir

from qgraph.data import Batch
from qgraph.errors import QGraphError
from qgraph.numerics.observers import ChannelStatistics


@dataclasses.dataclass(frozen=True)
class MeasuredRange:
    """What was measured of a float value on the data.

    Attributes:
        low, high: the range that the method of ``calibrate`` chose for codes of 8 bits.
        minimum, maximum: the extremes.
        narrow: the range that it chose for codes of 4 bits, where that is another one.
    """

    low: float
    high: float
    minimum: float
    maximum: float
    narrow: tuple[float, float] | None = None


@dataclasses.dataclass
class AnalysisState:
    """What passes leave for one another, by name: the names of values are their identities.

    A value that a pass renames keeps its entries (``rename``, which the runner calls); an entry under the old name stays, because
    copies of the model, such as ``reference``, know the value by it.

    Attributes:
        ranges: what ``calibrate`` measured of float values.
        channels: what it measured of the channels of linear ops' inputs.
        gradients: mean gradients of the loss, by name of weight; a training stage gives them when it says ``gradients``.
        smoothed: the values that the multiplies of ``smooth-quant`` make.
        reference: the float model as it was just before quantization, kept by ``quantize``.
    """

    ranges: dict[str, MeasuredRange] = dataclasses.field(default_factory=dict)
    channels: dict[str, ChannelStatistics] = dataclasses.field(default_factory=dict)
    gradients: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    smoothed: set[str] = dataclasses.field(default_factory=set)
    reference: ir.Model | None = None

    def copy(self) -> AnalysisState:
        """A state whose tables can change without changing those of this one."""
        tables = dict(self.ranges), dict(self.channels), dict(self.gradients), set(self.smoothed)
        return AnalysisState(*tables, self.reference)

    def range_of(self, value: ir.Value) -> MeasuredRange | None:
        """What was measured of ``value``."""
        return self.ranges.get(value.name or "")

    def is_smoothing(self, node: ir.Node) -> bool:
        """Whether ``node`` is a multiply that ``smooth-quant`` put in front of linear ops."""
        return node.op_type == "Mul" and not node.domain and (node.outputs[0].name or "") in self.smoothed

    def rename(self, names: Mapping[str, str]) -> None:
        """Let the values that were called by the keys of ``names``, all at once, be known by what the keys stand for."""
        tables: tuple[dict[str, Any], ...] = (self.ranges, self.channels, self.gradients)
        for table in tables:
            table.update({new: table[old] for old, new in names.items() if old in table})
        self.smoothed |= {new for old, new in names.items() if old in self.smoothed}


@dataclasses.dataclass
class PassContext:
    """What passes may need beside the graph.

    Attributes:
        data: calibration batches in any form that ``qgraph.data.Batches`` takes; iterated as often as a pass needs.
        seed: seed of every random choice.
        record: whether reports keep the graph after every pass (for the visualizer).
        state: what passes leave for one another; a pipeline that fails leaves it as it was.
        progress: called with (text, done, total) during long work.
    """

    data: Iterable[Batch] | None = None
    seed: int = 0
    record: bool = False
    state: AnalysisState = dataclasses.field(default_factory=AnalysisState)
    progress: Callable[[str, int, int], None] = lambda text, done, total: None

    def batches(self, who: str) -> Iterator[Batch]:
        """Iterate over the data; refuse when there is none."""
        if self.data is None:
            raise QGraphError(
                f"pass '{who}' needs real calibration data and none was given; "
                "pass --data FILE.npz (or FOLDER, or MODULE:FACTORY) on the command line, data= in Python"
            )
        seen = 0
        for seen, batch in enumerate(self.data, 1):  # noqa: B007
            yield batch
        if not seen:
            raise QGraphError(f"pass '{who}' got empty calibration data; give at least one batch")
