"""What a pass is: the base class, and the report of what one did."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import onnx_ir as ir

from qgraph.errors import QGraphError
from qgraph.ir.snapshot import Snapshot
from qgraph.pipeline.context import PassContext
from qgraph.pipeline.options import print_value


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


def dump_reports(reports: Iterable[PassReport]) -> str:
    """JSON of the reports, for files and the visualizer."""
    return json.dumps([dataclasses.asdict(r) for r in reports], indent=1, default=str)


class Pass(ir.passes.InPlacePass):
    """One rewrite of the graph, in place.

    A subclass declares ``name`` (by ``@register``), a frozen dataclass ``Options`` when it has any, and ``apply(model, report)``.
    ``requires(model)`` raises ``QGraphError`` for a model or a context that the pass cannot take, before anything is changed;
    ``ensures(model)`` raises for a result that it must not leave. Calling the pass as a function, as pipelines do, calls both.
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
            report.graph = Snapshot.of(model).json()
        return ir.passes.PassResult(model, bool(report.counts))

    def __call__(self, subject: ir.Model | ir.passes.PassResult, /) -> ir.passes.PassResult:
        model = subject.model if isinstance(subject, ir.passes.PassResult) else subject
        self._check(self.requires, model, "cannot take this model", "change the passes in front of it")
        result = self.call(model)
        self._check(self.ensures, model, "left a model that is not what it promises", "report this with the model")
        return result

    def _check(self, check: Callable[[ir.Model], None], model: ir.Model, what: str, remedy: str) -> None:
        """Call ``check``; what it raises becomes a ``QGraphError`` that names the pass."""
        try:
            check(model)
        except QGraphError:
            raise
        except Exception as error:
            raise QGraphError(f"pass {self.name!r} {what}: {error or type(error).__name__}; {remedy}") from error

    def __str__(self) -> str:
        default = self.Options()
        shown = []
        for field in dataclasses.fields(self.options):
            value = getattr(self.options, field.name)
            if value != getattr(default, field.name):
                shown.append(f"{field.name.replace('_', '-')}={print_value(value)}")
        return self.name + (f"{{{' '.join(shown)}}}" if shown else "")
