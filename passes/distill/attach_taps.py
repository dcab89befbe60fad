"""Name values for distillation.

    x -> ...        ->   x -> ...
                              Tap(x) -> output tap.KIND.KEY

The values are found by layer (module paths up to their first number): what a layer hands on (``feature``), attention scores
before the softmax (``attention``), and its ``query``, ``key`` and ``value``; or by name, module path or op with ``at``.
"""

from __future__ import annotations

import dataclasses

import onnx_ir as ir

from qgraph.errors import QGraphError, suggest
from qgraph.ir.dialects import QDQ
from qgraph.ir.layers import layers
from qgraph.ir.ops import attach
from qgraph.ir.patterns import new_node
from qgraph.ir.scopes import check_globs, fits, module_path, subjects
from qgraph.pipeline import Pass, PassReport, register

KINDS = ("feature", "attention", "query", "key", "value")


@register("attach-taps")
class AttachTaps(Pass):
    """Make inner values outputs, for distillation."""

    @dataclasses.dataclass(frozen=True)
    class Options:
        """
        Attributes:
            kinds: what to tap in each layer: feature, attention, query, key, value.
            layers: numbers of the layers to tap, counted from 0; empty taps all. The n-th has the key n.
            at: globs of value names, node names, module paths or op types to tap as features instead of layers.
        """

        kinds: tuple[str, ...] = ("feature",)
        layers: tuple[int, ...] = ()
        at: tuple[str, ...] = ()

    def requires(self, model: ir.Model) -> None:
        for kind in self.options.kinds:
            if kind not in KINDS:
                raise QGraphError(f"attach-taps knows no kind {kind!r}{suggest(kind, KINDS)}; kinds: {', '.join(KINDS)}")

    def apply(self, model: ir.Model, report: PassReport) -> None:
        options = self.options
        if options.at:
            found = self._named(model)
            for key, value in enumerate(found):
                _tap(model, value, "feature", key)
            report.count("taps", len(found))
            return
        every = layers(model)
        if not every:
            raise QGraphError(
                "attach-taps found no layers (module paths with a number); name the values with attach-taps{at=[...]}"
            )
        chosen = options.layers or tuple(range(len(every)))
        for key, number in enumerate(chosen):
            if not -len(every) <= number < len(every):
                raise QGraphError(f"attach-taps wants layer {number}, the model has {len(every)} (counted from 0)")
            layer = every[number]
            for kind in options.kinds:
                if kind not in layer.values:
                    raise QGraphError(f"layer {layer.name!r} has no {kind} to tap; choose other layers or kinds")
                _tap(model, layer.values[kind], kind, key)
                report.count("taps")
        attach(model)

    def _named(self, model: ir.Model) -> list[ir.Value]:
        found: dict[ir.Value, None] = {}
        for pattern in self.options.at:
            before = len(found)
            for node in list(model.graph):
                if node.op_type in QDQ:  # the value itself, not its codes
                    continue
                values = [v for v in node.outputs if fits(v.name or "", pattern)]
                for value in values or (node.outputs[:1] if _named(node, pattern) else []):
                    found[value] = None
            if len(found) == before:
                check_globs([pattern], (s for node in model.graph for s in subjects(node)), "attach-taps{at}")
                raise QGraphError(f"attach-taps{{at}}: {pattern!r} names no value that a node makes")
        return list(found)


def _named(node: ir.Node, pattern: str) -> bool:
    return any(fits(s, pattern) for s in (node.op_type, node.name or "", module_path(node)))


def _tap(model: ir.Model, value: ir.Value, kind: str, key: int) -> None:
    node = value.producer()
    assert node is not None
    name = f"tap.{kind}.{key}"
    if any(o.name == name for o in model.graph.outputs):
        raise QGraphError(f"the model has the tap {name} already; run strip-taps first")
    tap = new_node(node, "Tap", [value], domain="qgraph", name=name)
    out = tap.outputs[0]
    out.name, out.shape, out.type = name, value.shape, value.type
    node.graph.insert_after(node, tap)  # type: ignore[union-attr]
    model.graph.outputs.append(out)
    attach(model)
