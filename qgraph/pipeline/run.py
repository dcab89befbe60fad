"""Pipelines: passes one after the other, all of them or none."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import onnx
import onnx_ir as ir

from qgraph.data import Batches
from qgraph.errors import QGraphError
from qgraph.ir.faults import blamed_on
from qgraph.pipeline.base import Pass, PassReport
from qgraph.pipeline.context import AnalysisState, PassContext
from qgraph.pipeline.registry import make_pass
from qgraph.pipeline.text import parse, print_passes


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
        return print_passes(self.passes)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Pipeline) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def run(self, model: ir.Model, context: PassContext | None = None) -> list[PassReport]:
        """Run every pass on ``model``; returns a report a pass.

        When a pass raises (or the user interrupts), ``model`` and ``context.state`` are what they were before.

        Raises:
            QGraphError: a pass cannot take the model, refuses it, or needs data and there is none.
        """
        context = context or PassContext()
        if context.data is None and any(p.needs_data for p in self.passes):
            next(context.batches(next(p.name for p in self.passes if p.needs_data)))
        self.reports = []
        if not self.passes:
            return self.reports
        running = dataclasses.replace(context, state=context.state.copy())
        if context.data is not None:
            running.data = Batches(context.data, [value.name or "" for value in model.graph.inputs])
        with all_or_nothing(model) as working:
            for i, item in enumerate(self.passes):
                item.context = running
                running.progress(item.name, i, len(self.passes))
                before = names(working)
                with blamed_on(f"pass {item.name!r} fails", lambda: model):
                    item(working)
                follow(running.state, before, working)
                self.reports.append(item.report)
        context.state = running.state
        return self.reports


def names(model: ir.Model) -> dict[ir.Value, str]:
    """The names of all values of the main graph."""
    graph = model.graph
    values = [*graph.inputs, *graph.initializers.values(), *(v for node in graph for v in node.outputs)]
    return {value: value.name or "" for value in values}


def follow(state: AnalysisState, before: Mapping[ir.Value, str], model: ir.Model) -> None:
    """Let ``state`` know the values that a pass renamed by their new names."""
    state.rename({before[value]: name for value, name in names(model).items() if before.get(value, name) != name})


@contextlib.contextmanager
def all_or_nothing(model: ir.Model) -> Iterator[ir.Model]:
    """A model to change in place of ``model``, which takes over the result when the block ends and is unchanged when it raises.

    The passes get the graph itself, so that values which the caller holds stay those of the model and generated names go on where
    they stood; ``model`` holds a copy meanwhile, and keeps it when something goes wrong. Weights are not copied.
    """
    kept, working = separate_clone(model), shell(model)
    move(kept, model)
    yield working
    move(working, model)


def shell(model: ir.Model) -> ir.Model:
    """Another model around the same graph and functions."""
    return ir.Model(
        model.graph,
        ir_version=model.ir_version,
        producer_name=model.producer_name,
        producer_version=model.producer_version,
        domain=model.domain,
        model_version=model.model_version,
        doc_string=model.doc_string,
        functions=list(model.functions.values()),
        metadata_props=dict(model.metadata_props),
        device_configurations=model.device_configurations,
    )


def move(source: ir.Model, target: ir.Model) -> None:
    """Let ``target`` be what ``source`` is."""
    target.graph = source.graph
    for field in ("functions", "metadata_props", "meta"):
        table = getattr(target, field)
        table.clear()
        table.update(getattr(source, field))
    for field in (
        "ir_version",
        "producer_name",
        "producer_version",
        "domain",
        "model_version",
        "doc_string",
        "device_configurations",
    ):
        setattr(target, field, getattr(source, field))


def separate_clone(model: ir.Model) -> ir.Model:
    """A copy that shares only the elements of tensors with ``model``.

    ``ir.Model.clone`` shares the objects that describe tensors and types too: renaming an initializer, or setting the dtype of a
    value, would show in the copy.
    """
    try:
        clone = model.clone()
    except RuntimeError as error:
        raise QGraphError(
            "the nodes of the graph are not in topological order; run onnx_ir's TopologicalSortPass first"
        ) from error
    copies: dict[int, Any] = {}  # by identity: what shares a tensor or a type goes on sharing it
    for graph in [*clone.graphs(), *(g for f in clone.functions.values() for g in (f.graph, *f.subgraphs()))]:
        for value in [*graph.inputs, *graph.initializers.values(), *(v for node in graph for v in node.outputs)]:
            value.const_value = _copy(value.const_value, copies)
            value.type = _copy(value.type, copies)
        for node in graph:
            for name, attribute in node.attributes.items():
                if attribute.type == ir.AttributeType.TENSOR and not attribute.is_ref():
                    node.attributes[name] = ir.AttrTensor(name, _copy(attribute.value, copies), doc_string=attribute.doc_string)
    return clone


def _copy(item: Any, copies: dict[int, Any]) -> Any:
    """A tensor of the same elements, or a type, as an object of its own."""
    if item is None:
        return None
    if id(item) not in copies:
        if isinstance(item, ir.TensorProtoTensor):  # its name is a field of the message
            message = onnx.TensorProto()
            message.CopyFrom(item.raw)
            copies[id(item)] = ir.TensorProtoTensor(message)
        elif isinstance(item, ir.TypeProtocol) and not isinstance(item, ir.TensorType):
            copies[id(item)] = copy.deepcopy(item)
        else:
            copies[id(item)] = copy.copy(item)
    return copies[id(item)]
