"""Fidelity: how two forms of a model differ on the user's data, output by output and value by value.

cosine = <a, b> / (|a| |b|)        SQNR = 10 log10(sum a^2 / sum (a - b)^2)  in dB, a the first model
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from qgraph.data import Batch, Batches
from qgraph.errors import QGraphError
from qgraph.ir import io
from qgraph.ir.snapshot import RAW

CHUNK = 1 << 15
"""Elements compared at once: float64 copies that stay in the cache."""


@dataclasses.dataclass
class Difference:
    """Accumulated difference of one value between model a and model b."""

    name: str
    signal: float = 0.0
    noise: float = 0.0
    other: float = 0.0
    product: float = 0.0
    max_error: float = 0.0
    unequal: int = 0
    count: int = 0

    def update(self, a: np.ndarray, b: np.ndarray) -> None:
        x, y = a.reshape(-1), b.reshape(-1)
        for start in range(0, x.size, CHUNK):
            self._add(x[start : start + CHUNK].astype(np.float64), y[start : start + CHUNK].astype(np.float64))

    def _add(self, x: np.ndarray, y: np.ndarray) -> None:
        with np.errstate(invalid="ignore"):  # infinity less infinity
            error = x - y
        self.unequal += int(np.count_nonzero(x != y))
        noise = _dot(error, error)
        if not np.isfinite(noise):
            ok = np.isfinite(x) & np.isfinite(y)
            x, y, error = x[ok], y[ok], error[ok]
            noise = _dot(error, error)
        self.noise += noise
        self.signal += _dot(x, x)
        self.other += _dot(y, y)
        self.product += _dot(x, y)
        self.max_error = max(self.max_error, float(error.max(initial=0.0)), -float(error.min(initial=0.0)))
        self.count += x.size

    @property
    def sqnr(self) -> float:
        """dB; infinite when equal."""
        if self.noise == 0.0:
            return float("inf")
        share = self.signal / self.noise
        return 10 * float(np.log10(share)) if share else float("-inf")

    @property
    def cosine(self) -> float:
        if np.isinf(self.noise):
            return 0.0
        norm = (self.signal * self.other) ** 0.5
        return self.product / norm if norm else float(self.noise == 0.0)

    def row(self) -> dict[str, object]:
        return {
            "name": self.name,
            "sqnr_db": self.sqnr,
            "cosine": self.cosine,
            "max_error": self.max_error,
            "unequal": self.unequal,
            "elements": self.count,
        }


def _dot(a: np.ndarray, b: np.ndarray) -> float:
    """Dot product on one thread: those of BLAS would spin on beside the next run of the models."""
    return float(np.einsum("i,i->", a, b))


@dataclasses.dataclass
class Comparison:
    """Result of ``compare``: differences of the outputs, and of the values that both models name, in order."""

    outputs: list[Difference]
    values: list[Difference]
    threshold: float

    @property
    def first_divergence(self) -> Difference | None:
        """The first value whose SQNR lies below the threshold."""
        return next((v for v in self.values if v.sqnr < self.threshold), None)

    def worst(self, n: int = 5) -> list[Difference]:
        return sorted(self.values, key=lambda d: d.sqnr)[:n]


class Runner:
    """Runs a model file (``.onnx`` in ONNX Runtime, ``.qgp`` in our runtime) and shows the values inside."""

    def __init__(self, model: ir.Model | str | os.PathLike[str], *, inner: bool, threads: int = 0) -> None:
        self.program = None
        if isinstance(model, ir.Model):
            self.model = model
        elif Path(model).suffix == ".qgp":
            from qgraph.deploy.session import Session

            self.program = Session(model, threads=threads, keep=inner)
            self.outputs = self.program.outputs
            self.inputs = list(self.program.inputs)
            return
        else:
            self.model = io.load(model)
        self.outputs = [v.name or "" for v in self.model.graph.outputs]
        self.inputs = [v.name or "" for v in self.model.graph.inputs]
        self.inner = self._inner() if inner else {}
        from qgraph.execute.onnxruntime import session

        wanted = list(dict.fromkeys([*self.model.graph.outputs, *self.inner.values()]))
        self.session = session(self.model, wanted, threads=threads, optimize=not inner)
        self.names = [v.name for v in wanted]

    def _inner(self) -> dict[str, ir.Value]:
        """Name -> value: what a value is after its quantizer, under the name that it had before."""
        values: dict[str, ir.Value] = {}
        for node in self.model.graph:
            for value in node.outputs:
                name = value.name or ""
                if value.dtype != ir.DataType.FLOAT or name.endswith(RAW):
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
        return {n: arrays[n] for n in self.outputs}, {n: arrays[v.name] for n, v in self.inner.items()}


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
    runners = [Runner(m, inner=layers, threads=threads) for m in (a, b)]
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
        for name in in_a:
            if name in in_b and in_a[name].shape == in_b[name].shape:
                values.setdefault(name, Difference(name)).update(in_a[name], in_b[name])
    if not number:
        raise QGraphError("the data holds no batch; give at least one")
    return Comparison(outputs, list(values.values()), threshold)
