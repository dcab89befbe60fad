"""Passes and pipelines: base class, registry, options, the textual form, reports and the run loop.

A pipeline has one textual form, ``fold-batchnorm,calibrate{method=entropy},quantize{weights=int4}``; parsing and
printing round-trip, and options are checked against the pass's dataclass.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
import json
import re
import time
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar

import numpy as np
import onnx_ir as ir

from qgraph.errors import QGraphError, suggest
from qgraph.ir.snapshot import take

Batch = Mapping[str, np.ndarray]


@dataclasses.dataclass
class PassReport:
    """What one pass did: counts (``nodes``, ``bytes saved`` ...), remarks, seconds, and the graph after it (a snapshot)."""

    name: str
    counts: dict[str, float] = dataclasses.field(default_factory=dict)
    remarks: list[str] = dataclasses.field(default_factory=list)
    details: dict[str, Any] = dataclasses.field(default_factory=dict)
    seconds: float = 0.0
    nodes_before: int = 0
    nodes_after: int = 0
    graph: dict[str, Any] = dataclasses.field(default_factory=dict)

    def count(self, what: str, n: float = 1) -> None:
        self.counts[what] = self.counts.get(what, 0) + n

    def __str__(self) -> str:
        counts = ", ".join(f"{n:g} {what}" for what, n in self.counts.items()) or "nothing to do"
        return f"{self.name}: {counts} ({self.nodes_before} -> {self.nodes_after} nodes, {self.seconds:.2f} s)"


class ChannelStatistics:
    """Largest magnitude and mean of each channel of a value, over batches."""

    def __init__(self) -> None:
        self.count = 0
        self.peak: np.ndarray | float = 0.0
        self.sum: np.ndarray | float = 0.0

    def update(self, low: np.ndarray, high: np.ndarray, total: np.ndarray, count: int) -> None:
        """Add one batch: extremes and sum of each channel, and the number of elements behind them."""
        if count:
            self.peak = np.maximum(self.peak, np.maximum(high, -low))
            self.sum = self.sum + total.astype(np.float64)
            self.count += count

    @property
    def mean(self) -> np.ndarray:
        return np.asarray(self.sum) / max(1, self.count)


@dataclasses.dataclass
class PassContext:
    """What passes may need beside the graph.

    Attributes:
        data: calibration batches, dicts of input name to array; iterated as often as a pass needs.
        seed: seed of every random choice.
        record: whether reports keep the graph after every pass (for the visualizer).
        channels: what ``calibrate`` measured of the inputs of linear ops, by value name.
        gradients: mean gradients of the loss by name of weight; a training stage gives them when it says ``gradients``.
        reference: the float model as it was just before quantization, kept by the pass ``quantize``.
        progress: called with (text, done, total) during long work.
    """

    data: Iterable[Batch] | None = None
    seed: int = 0
    record: bool = False
    gradients: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    reference: ir.Model | None = None
    channels: dict[str, ChannelStatistics] = dataclasses.field(default_factory=dict)
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


class Pass(ir.passes.InPlacePass):
    """One rewrite of the graph, in place.

    A subclass declares ``name`` (by ``@register``), a frozen dataclass ``Options`` when it has any, and
    ``apply(model, report)``; ``requires`` raises ``QGraphError`` for a model that it cannot take.
    """

    name: ClassVar[str]
    needs_data: ClassVar[bool] = False

    @dataclasses.dataclass(frozen=True)
    class Options:
        """This pass has no options."""

    def __init__(self, options: Any = None, *, context: PassContext | None = None, **values: Any) -> None:
        self.options: Any = options if options is not None else self.Options(**values)
        self.context = context or PassContext()
        self.report = PassReport(self.name)

    def apply(self, model: ir.Model, report: PassReport) -> None:
        raise NotImplementedError

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        self.report = report = PassReport(self.name, nodes_before=len(model.graph))
        start = time.perf_counter()
        self.apply(model, report)
        report.seconds = time.perf_counter() - start
        report.nodes_after = len(model.graph)
        if self.context.record:
            report.graph = take(model).json()
        return ir.passes.PassResult(model, bool(report.counts))

    def __str__(self) -> str:
        default = self.Options()
        shown = []
        for field in dataclasses.fields(self.options):
            value = getattr(self.options, field.name)
            if value != getattr(default, field.name):
                shown.append(f"{field.name.replace('_', '-')}={print_value(value)}")
        return self.name + (f"{{{' '.join(shown)}}}" if shown else "")


_REGISTRY: dict[str, type[Pass]] = {}


def register(name: str) -> Callable[[type[Pass]], type[Pass]]:
    """Class decorator that makes a pass known under ``name``."""

    def add(cls: type[Pass]) -> type[Pass]:
        cls.name = name
        _REGISTRY[name] = cls
        return cls

    return add


def passes() -> dict[str, type[Pass]]:
    """All registered passes by name: ours and those of the entry-point group ``qgraph.passes``."""
    for entry in importlib.metadata.entry_points(group="qgraph.passes"):
        entry.load()
    importlib.import_module("qgraph.passes")
    return dict(sorted(_REGISTRY.items()))


def get_pass(name: str) -> type[Pass]:
    known = passes()
    if name not in known:
        raise QGraphError(f"no pass is called {name!r}{suggest(name, known)}; 'qgraph passes' lists them")
    return known[name]


def print_value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "[" + ",".join(map(str, value)) + "]"
    return repr(value) if isinstance(value, float) else str(value)


def _convert(text: Any, kind: Any, what: str) -> Any:
    """Turn an option's text (or a YAML value) into ``kind``: a type of the options dataclass."""
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        if text in (None, "none"):
            return None
        return _convert(text, next(k for k in typing.get_args(kind) if k is not type(None)), what)
    if origin is typing.Literal:
        choices = typing.get_args(kind)
        for choice in choices:
            if str(choice) == str(text):
                return choice
        raise QGraphError(f"{what} is {text!r}; choose from {', '.join(map(str, choices))}{suggest(str(text), choices)}")
    if origin is tuple:
        items = text if isinstance(text, list | tuple) else [t for t in str(text).strip("[]").split(",") if t]
        return tuple(_convert(i, typing.get_args(kind)[0], what) for i in items)
    if kind is bool:
        words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
        if str(text).lower() in words:
            return words[str(text).lower()]
        raise QGraphError(f"{what} is {text!r}; write true or false")
    try:
        return kind(text)
    except (TypeError, ValueError):
        raise QGraphError(f"{what} is {text!r}; a value of type {kind.__name__} is needed") from None


def make_pass(name: str, options: Mapping[str, Any]) -> Pass:
    """Build a pass from its name and options given as text or Python values."""
    cls = get_pass(name)
    fields = {f.name: f for f in dataclasses.fields(cls.Options)}
    hints = typing.get_type_hints(cls.Options)
    values = {}
    for key, value in options.items():
        field = key.replace("-", "_")
        if field not in fields:
            known = [f.replace("_", "-") for f in fields]
            listed = ", ".join(known) or "none"
            raise QGraphError(f"pass {name!r} has no option {key!r}{suggest(key, known)}; its options: {listed}")
        values[field] = _convert(value, hints[field], f"option {key!r} of pass {name!r}")
    return cls(cls.Options(**values))


_ITEM = re.compile(r"\s*([A-Za-z][\w.-]*)\s*(?:\{([^{}]*)\})?\s*(,|$)")
_OPTION = re.compile(r"\s*([\w-]+)=(\[[^\]]*\]|[^\s]+)")


def parse(text: str) -> list[Pass]:
    """Parse the textual form of a pipeline."""
    made, position = [], 0
    if not text.strip():
        return []
    while True:
        match = _ITEM.match(text, position)
        if not match:
            raise QGraphError(
                f"cannot read the pipeline at character {position}: {text[position : position + 30]!r}; "
                "write NAME or NAME{option=value option=value}, separated by commas"
            )
        name, body, stop = match.groups()
        options: dict[str, str] = {}
        rest = (body or "").strip()
        at = 0
        while at < len(rest):
            option = _OPTION.match(rest, at)
            if not option:
                raise QGraphError(f"cannot read the options of pass {name!r} at {rest[at:]!r}; write option=value")
            options[option[1]] = option[2]
            at = option.end()
        made.append(make_pass(name, options))
        position = match.end()
        if not stop:
            return made
        if position >= len(text):
            raise QGraphError("the pipeline ends with a comma; name another pass or remove it")


class Pipeline:
    """Passes run one after the other.

    ``Pipeline("a,b{x=1}")``, ``Pipeline([PassA(), PassB(x=1)])`` and the list form of YAML
    (``["a", {"b": {"x": 1}}]``) are equal; ``str(pipeline)`` prints the textual form.
    """

    def __init__(self, what: str | Iterable[Pass | str | Mapping[str, Mapping[str, Any]]]) -> None:
        self.passes: list[Pass] = []
        for item in [what] if isinstance(what, str) else what:
            if isinstance(item, Pass):
                self.passes.append(item)
            elif isinstance(item, str):
                self.passes += parse(item)
            else:
                self.passes += [make_pass(name, options or {}) for name, options in item.items()]
        self.reports: list[PassReport] = []

    def __str__(self) -> str:
        return ",".join(map(str, self.passes))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pipeline) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def run(self, model: ir.Model, context: PassContext | None = None) -> list[PassReport]:
        """Run every pass on ``model`` in place; returns a report a pass."""
        context = context or PassContext()
        if context.data is None and any(p.needs_data for p in self.passes):
            next(context.batches(next(p.name for p in self.passes if p.needs_data)))
        self.reports = []
        for i, item in enumerate(self.passes):
            item.context = context
            context.progress(item.name, i, len(self.passes))
            item.call(model)
            self.reports.append(item.report)
        return self.reports


def dump_reports(reports: Iterable[PassReport]) -> str:
    """JSON of the reports, for files and the visualizer."""
    return json.dumps([dataclasses.asdict(r) for r in reports], indent=1, default=str)
