"""Whether a product of sparse weights runs sparse or dense: measured on this machine, in the runtime itself."""

from __future__ import annotations

import collections
import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx_ir as ir

from qgraph.deploy.program_file import write
from qgraph.deploy.session import Session
from qgraph.errors import QGraphError, suggest
from qgraph.ir.dialects import INTEGER
from qgraph.ir.integer_ops import SparseForm

CACHES = 256 << 20
"""More bytes than the caches hold."""
RUNS = 9
MARGIN = 0.95
"""A sparse form is taken when its time is below this part of the dense one's."""


@dataclasses.dataclass(frozen=True)
class Choice:
    """How one product runs, and the seconds that each form took."""

    node: str
    form: SparseForm
    seconds: Mapping[SparseForm, float]

    def __str__(self) -> str:
        times = ", ".join(f"{form} {seconds * 1e6:.3g} us" for form, seconds in self.seconds.items())
        return f"{self.node}: {self.form} ({times})"


def candidates(codes: np.ndarray) -> list[SparseForm]:
    """The forms that int8 codes [n, k] (k along the inputs) can be packed in, dense first."""
    n, k = codes.shape
    padded = np.zeros((-n % 16 + n, -k % 4 + k), bool)
    padded[:n, :k] = codes != 0
    forms = [SparseForm.DENSE]
    if padded.reshape(-1, 4).sum(1).max(initial=0) <= 2:
        forms.append(SparseForm.TWO_OF_FOUR)
    kept = padded.reshape(padded.shape[0] // 16, 16, -1, 4).any((1, 3)).mean() if padded.size else 1.0
    return [*forms, SparseForm.WORDS] if kept < 0.9 else forms


def product(weights: Sequence[np.ndarray], kind: ir.DataType, rows: int, form: SparseForm) -> ir.Model:
    """A program of products ``x @ w.T`` of the uint8 input ``x`` [rows, k] with matrices of codes [n, k]."""
    n, k = weights[0].shape
    x = ir.Value(name="x", shape=ir.Shape([rows, k]), type=ir.TensorType(ir.DataType.UINT8))
    multiplier = _constant("multiplier", np.full(n, 1e-4, np.float32), ir.DataType.FLOAT)
    constants, nodes = [multiplier], []
    for i, codes in enumerate(weights):
        weight = _constant(f"weights_{i}", codes, kind)
        attributes = [ir.AttrInt64("sparse", int(form))] if form else []
        node = ir.Node(INTEGER, "Linear", [x, weight, multiplier], attributes, num_outputs=1, name=f"product_{i}")
        node.outputs[0].name, node.outputs[0].dtype = f"y_{i}", ir.DataType.UINT8
        constants.append(weight)
        nodes.append(node)
    outputs = [node.outputs[0] for node in nodes]
    graph = ir.Graph([x], outputs, nodes=nodes, initializers=constants, opset_imports={"": 21, INTEGER: 1}, name="products")
    return ir.Model(graph, ir_version=10)


def _constant(name: str, array: np.ndarray, kind: ir.DataType) -> ir.Value:
    tensor = ir.Tensor(array.astype(kind.numpy()), dtype=kind, name=name)
    return ir.Value(name=name, shape=ir.Shape(array.shape), type=ir.TensorType(kind), const_value=tensor)


def seconds(codes: np.ndarray, rows: int, form: SparseForm, between: int, threads: int = 0) -> float:
    """Median seconds of a product of int8 ``codes`` [n, k], when ``between`` other bytes are read between two calls."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "product.qgp"
        write(product([codes], ir.DataType.INT8, rows, form), path)
        session = Session(path, threads=threads, profile=True)
    x = {"x": np.full((rows, codes.shape[1]), 7, np.uint8)}
    other = np.ones(between // 8, np.int64)
    times, before = [], 0.0
    for _ in range(RUNS):
        other.sum()
        session.run(x)
        total = session.profile()[0][2]
        times.append(total - before)
        before = total
    return float(np.median(times))


def choose(model: ir.Model, shapes: Mapping[str, Sequence[int]] | None = None, threads: int = 0) -> list[Choice]:
    """Set the attribute ``sparse`` of every product of sparse int8 weights that is quicker without the zeros.

    Args:
        model: a model of the integer dialect; its nodes are changed.
        shapes: shapes of inputs, which say how many rows a product has; free dims are taken as 1.
        threads: as for ``Session``.

    Returns:
        One choice a product that could run sparse. Products of equal weights' shape and sparsity are measured once.

    Raises:
        QGraphError: ``shapes`` does not fit the inputs.
    """
    dims = bind(model, shapes or {})
    weights = {v for node in model.graph for v in node.inputs if v is not None and v.const_value is not None}
    total = sum(v.const_value.nbytes for v in weights if v.const_value is not None)
    known: dict[tuple[int, ...], dict[SparseForm, float]] = {}
    made = []
    for node in model.graph:
        weight = node.inputs[1] if node.op_type == "Linear" else None
        if weight is None or weight.dtype != ir.DataType.INT8 or weight.const_value is None or "block" in node.attributes:
            continue
        codes = np.asarray(weight.const_value.numpy(), np.int8)
        forms = candidates(codes)
        if len(forms) == 1:
            continue
        count = _rows(node.inputs[0], dims)
        key = (*codes.shape, count, *forms, round(20 * float((codes != 0).mean())))
        if key not in known:
            between = min(max(0, total - codes.nbytes), CACHES)
            known[key] = {form: seconds(codes, count, form, between, threads) for form in forms}
        times = known[key]
        best = min(times, key=lambda form: times[form])
        form = best if times[best] < MARGIN * times[SparseForm.DENSE] else SparseForm.DENSE
        if form:
            node.attributes["sparse"] = ir.AttrInt64("sparse", int(form))
        made.append(Choice(node.name or "", form, times))
    return made


def bind(model: ir.Model, shapes: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """The symbolic dims of the inputs by name, from the inputs' shapes."""
    inputs = {v.name or "": v for v in model.graph.inputs}
    dims: dict[str, int] = {}
    for name, shape in shapes.items():
        if name not in inputs:
            raise QGraphError(f"the model has no input {name!r}{suggest(name, inputs)}")
        wanted = list(inputs[name].shape or ())
        if len(wanted) != len(shape) or any(isinstance(w, int) and w != d for w, d in zip(wanted, shape, strict=False)):
            raise QGraphError(f"input {name!r} has the shape {[str(w) for w in wanted]}, not {list(shape)}")
        dims.update({str(w.value): d for w, d in zip(wanted, shape, strict=True) if not isinstance(w, int)})
    return dims


def summary(choices: Sequence[Choice]) -> str:
    """One line: how many sparse products run in which form."""
    counts = collections.Counter(choice.form for choice in choices)
    ways = ", ".join(f"{counts[form]} {'as' if form else ''} {form}".replace("  ", " ") for form in SparseForm if counts[form])
    return f"products of sparse weights: {len(choices)}; measured to be quickest here: {ways}"


def _rows(x: ir.Value | None, known: Mapping[str, int]) -> int:
    dims = list(x.shape)[:-1] if x is not None and x.shape is not None else []
    return int(np.prod([d if isinstance(d, int) else known.get(str(d.value), 1) for d in dims], dtype=np.int64))
