"""Fidelity: how two forms of a model differ on the user's data, output by output and value by value.

What an output joins from parts of different ranges is compared group by group, too (see parts).
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from typing import Any

import numpy as np
import onnx_ir as ir

from qgraph.analyze.difference import Difference
from qgraph.analyze.parts import LABELS, Parts, label_outputs
from qgraph.data import Batch, Batches
from qgraph.errors import QGraphError
from qgraph.ir import io
from qgraph.ir.snapshot import RAW


@dataclasses.dataclass
class Comparison:
    """Result of ``compare``: differences of the outputs, and of the values that both models name, in order.

    ``groups`` are those parts of joined outputs whose ranges differ much from others of the same output.
    """

    outputs: list[Difference]
    values: list[Difference]
    threshold: float
    groups: list[Difference] = dataclasses.field(default_factory=list)

    @property
    def first_divergence(self) -> Difference | None:
        """The first value whose SQNR lies below the threshold."""
        return next((v for v in self.values if v.sqnr < self.threshold), None)

    def worst(self, n: int = 5) -> list[Difference]:
        return sorted(self.values, key=lambda d: d.sqnr)[:n]


class Runner:
    """Runs a model file (``.onnx`` in ONNX Runtime, ``.qgp`` in our runtime) and shows the values inside.

    With ``labels`` the parts of its joined outputs can be compared with another model's by ``compare_parts``.
    """

    def __init__(self, model: ir.Model | str | os.PathLike[str], *, inner: bool, threads: int = 0, labels: bool = False) -> None:
        self.program = None
        self.parts: dict[str, Parts] = {}
        self.labels: dict[str, ir.Value] = {}
        if isinstance(model, ir.Model):
            self.model = model
        elif io.is_program(model):
            from qgraph.deploy.session import Session

            self.program = Session(model, threads=threads, keep=inner)
            self.outputs = self.program.outputs
            self.inputs = list(self.program.inputs)
            return
        else:
            self.model = io.load(model)
        if labels:
            self.model, self.labels, parts = label_outputs(self.model)
            self.parts = {name: Parts(name, parts) for name in self.labels}
        self.outputs = [v.name or "" for v in self.model.graph.outputs]
        self.inputs = [v.name or "" for v in self.model.graph.inputs]
        self.inner = self._inner() if inner else {}
        from qgraph.execute.onnxruntime import session

        wanted = list(dict.fromkeys([*self.model.graph.outputs, *self.inner.values(), *self.labels.values()]))
        self.session = session(self.model, wanted, threads=threads, optimize=not inner)
        self.names = [v.name for v in wanted]

    def _inner(self) -> dict[str, ir.Value]:
        """Name -> value: what a value is after its quantizer, under the name that it had before."""
        values: dict[str, ir.Value] = {}
        for node in self.model.graph:
            for value in node.outputs:
                name = value.name or ""
                if value.dtype != ir.DataType.FLOAT or name.endswith((RAW, LABELS)):
                    continue
                if node.op_type == "DequantizeLinear":
                    if (producer := node.inputs[0].producer()) is None:  # type: ignore[union-attr]
                        continue
                    name = (producer.inputs[0].name or "") if producer.op_type == "QuantizeLinear" else name  # type: ignore[union-attr]
                    values[name.removesuffix(RAW)] = value
                else:
                    values.setdefault(name, value)
        return values

    def run(self, batch: Batch, number: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """(outputs, inner values) of one batch."""
        if self.program is not None:
            outputs = self.program.run({k: v for k, v in batch.items() if k in self.inputs})
            return outputs, self.program.values() if self.program.keep else {}
        from qgraph.execute.onnxruntime import check_batch

        arrays = dict(zip(self.names, self.session.run(self.names, check_batch(self.model, batch, number)), strict=True))
        self.labelled = {n: arrays[v.name] for n, v in self.labels.items()}
        return {n: arrays[n] for n in self.outputs}, {n: arrays[v.name] for n, v in self.inner.items()}

    def compare_parts(self, own: dict[str, np.ndarray], others: Iterable[np.ndarray]) -> None:
        """Compare the last batch's outputs with those of another model part by part."""
        for (name, x), y in zip(own.items(), others, strict=True):
            if name in self.parts and x.shape == y.shape:
                self.parts[name].update(self.labelled[name], x, y)


def compare(
    a: ir.Model | str | os.PathLike[str],
    b: ir.Model | str | os.PathLike[str],
    data: Any,
    *,
    layers: bool = True,
    threshold: float = 20.0,
    threads: int = 0,
    same_shapes: bool = True,
) -> Comparison:
    """Compare model ``a`` (the reference) with ``b`` on ``data``.

    Args:
        a, b: models, or ``.onnx`` and ``.qgp`` files, in any pair.
        data: batches in any form that ``qgraph.data.Batches`` takes.
        layers: also compare the values inside that have a name in both.
        threshold: SQNR in dB below which a value counts as diverged.
        same_shapes: refuse outputs that differ in shape; without it their SQNR is minus infinity. The shape of an output
            may follow from values, as when a voice speaks faster.
    """
    runners = [Runner(m, inner=layers, threads=threads, labels=m is a) for m in (a, b)]
    if len(runners[0].outputs) != len(runners[1].outputs):
        raise QGraphError(
            f"the models have {len(runners[0].outputs)} and {len(runners[1].outputs)} outputs; compare forms of one model"
        )
    outputs: list[Difference] = [Difference(n) for n in runners[0].outputs]
    values: dict[str, Difference] = {}
    number = 0
    for number, batch in enumerate(Batches(data, runners[0].inputs), 1):
        (out_a, in_a), (out_b, in_b) = (r.run(batch, number) for r in runners)
        for difference, x, y in zip(outputs, out_a.values(), out_b.values(), strict=True):
            if x.shape == y.shape:
                difference.update(x, y)
            elif same_shapes:
                raise QGraphError(
                    f"output {difference.name!r} has shape {list(x.shape)} in one model and {list(y.shape)} in the other"
                )
            else:
                difference.noise = float("inf")
        runners[0].compare_parts(out_a, out_b.values())
        for name in in_a:
            if name in in_b and in_a[name].shape == in_b[name].shape:
                values.setdefault(name, Difference(name)).update(in_a[name], in_b[name])
    if not number:
        raise QGraphError("the data holds no batch; give at least one")
    groups = [g for parts in runners[0].parts.values() for g in parts.groups()]
    return Comparison(outputs, list(values.values()), threshold, groups)
