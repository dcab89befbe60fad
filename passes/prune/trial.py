"""A run of the model before pruning, which measures lengths, and one after it, which must give what the masked model gives.

    model -- run --> lengths of all axes       model, units zeroed -- run --> outputs == outputs <-- run -- pruned model

Inputs are the first batch of the data, and made ones: lengths that the model leaves open are primes, so that they equal no other.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import onnx_ir as ir
from qgraph.passes.prune.remove import Kept, Shapes

from qgraph.analyze.inputs import made_inputs
from qgraph.errors import QGraphError
from qgraph.execute.onnxruntime import check_batch, session
from qgraph.ir.op_traits import Trait, has
from qgraph.pipeline import PassContext

Feed = dict[str, np.ndarray]
STEPS = {
    "ArgMax", "ArgMin", "Bernoulli", "Ceil", "Equal", "Floor", "Greater", "GreaterOrEqual", "Hardmax", "Less", "LessOrEqual",
    "NonMaxSuppression", "NonZero", "Round", "Sign", "TopK", "Unique",
}  # fmt: skip
"""Ops whose output jumps where their input changes by a rounding error."""
TOLERANCE = 1e-3
"""Largest difference between the pruned and the masked model, relative to the largest value."""
PRIMES = (7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47)


@dataclasses.dataclass
class Trial:
    """Inputs that the model ran on, others of other lengths if they are open, and the lengths of its values on the first."""

    feeds: list[Feed]
    shapes: Shapes

    @classmethod
    def of(cls, model: ir.Model, context: PassContext, name: str) -> Trial:
        """Run the model.

        Raises:
            QGraphError: it runs on no inputs.
        """
        error = ""
        found, tried = feeds(model, context, name), []
        for feed in found:
            try:
                shapes = measure(model, feed)
            except QGraphError as refused:
                error = error or str(refused)
                continue
            tried = [feed]
            break
        if not tried:
            raise QGraphError(
                f"pass {name!r} runs the model before and after it, and ONNX Runtime cannot run it on made inputs: {error}; "
                "give --data (data= in Python) with a batch that it takes"
            )
        return cls([*tried, *itertools.islice(found, 1)], shapes)

    def differs(self, masked: ir.Model, pruned: ir.Model) -> str:
        """What is wrong with the pruned model; empty where it gives what the masked one gives."""
        ours, theirs = steady(masked), steady(pruned)
        try:
            first = session(masked, ours, quiet=True)
        except Exception as error:
            return f"the model with zeros does not load in ONNX Runtime: {_line(error)}"
        try:
            second = session(pruned, theirs, quiet=True)
            for number, feed in enumerate(self.feeds):
                try:
                    wanted = first.run(None, feed)
                except Exception:
                    if not number:
                        raise
                    continue  # the second lengths were not tried
                for a, b, value in zip(wanted, second.run(None, feed), ours, strict=True):
                    if difference := compare(np.asarray(a), np.asarray(b), value.name or ""):
                        return difference
        except Exception as error:
            return f"ONNX Runtime cannot run what is left: {_line(error)}"
        return ""

    def breaks(self, model: ir.Model) -> str:
        """Why a smaller model does not run, or has outputs of other shapes; empty where it runs."""
        try:
            found = measure(model, self.feeds[0])
        except QGraphError as error:
            return f"ONNX Runtime cannot run what is left: {error}"
        old = {value.name: list(dims) for value, dims in self.shapes.items()}
        return next((
            f"the output {v.name!r} is {list(found[v])} and was {old[v.name]}"
            for v in model.graph.outputs
            if v in found and list(found[v]) != old.get(v.name, list(found[v]))
        ), "")  # fmt: skip


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300]


def compare(masked: np.ndarray, pruned: np.ndarray, name: str) -> str:
    """How two arrays of the value ``name`` differ; empty where they do not."""
    if masked.shape != pruned.shape:
        return f"{name!r} is {list(pruned.shape)} and was {list(masked.shape)}"
    if masked.dtype.kind != "f" or not masked.size:
        return ""
    a, b = masked.astype(np.float64), pruned.astype(np.float64)
    plain = np.isfinite(a) & (np.abs(a) < 1e30)
    if not np.array_equal(plain, np.isfinite(b) & (np.abs(b) < 1e30)):
        return f"{name!r} holds NaN or infinity in other places"
    if not plain.any():
        return ""
    error, largest = np.abs(a[plain] - b[plain]).max(), np.abs(a[plain]).max()
    return f"{name!r} differs by {error:.2g}, its largest value being {largest:.2g}" if error > TOLERANCE * largest + 1e-6 else ""


def masked(model: ir.Model, kept: Kept) -> ir.Model:
    """A copy of the model with zeros in the parameters where ``kept`` has no index; variances and divisors stay."""
    copy = model.clone()
    for (value, axis), indices in kept.items():
        tensor = value.const_value
        if tensor is None or not tensor.dtype.is_floating_point() or any(_divides(use.node, use.idx) for use in value.uses()):
            continue
        target = copy.graph.initializers[value.name or ""]
        assert target.const_value is not None
        whole = target.const_value.numpy()
        array, places = np.zeros_like(whole), (slice(None),) * axis + (indices,)
        array[places] = whole[places]
        target.const_value = ir.Tensor(array, dtype=tensor.dtype, name=value.name)
    return copy


def _divides(node: ir.Node, index: int) -> bool:
    return (node.op_type, index) in (("BatchNormalization", 4), ("Div", 1), ("Pow", 0)) or node.op_type in (
        "Log",
        "Reciprocal",
        "Sqrt",
    )


def steady(model: ir.Model) -> list[ir.Value]:
    """The outputs, and instead of those that jump with a rounding error of what is learned, what the jumping ops read."""
    learned: set[ir.Value] = set()
    jumping: set[ir.Value] = set()
    found: dict[ir.Value, None] = {}
    for node in model.graph:
        inputs = [v for v in node.inputs if v is not None]
        if any(v in jumping for v in inputs):
            jumping.update(node.outputs)
        elif any(v in learned or (v.const_value is not None and has(node, Trait.LINEAR)) for v in inputs):
            if node.op_type in STEPS:
                found |= dict.fromkeys(v for v in inputs if v in learned)
                jumping.update(node.outputs)
            else:
                learned.update(node.outputs)
    found |= dict.fromkeys(model.graph.outputs)
    return [v for v in found if v not in jumping]


def measure(model: ir.Model, feed: Feed) -> dict[ir.Value, tuple[int, ...]]:
    """The shapes of all tensors of the main graph when the model runs on ``feed``.

    Raises:
        QGraphError: it cannot run on it.
    """
    copy = model.clone()
    sources: dict[int, ir.Value] = {}
    shown: list[ir.Value] = []
    for original, node in zip(model.graph, list(copy.graph), strict=True):
        for value, twin in zip(original.outputs, node.outputs, strict=True):
            if value.name and (value.type is None or isinstance(value.type, ir.TensorType)):
                shape = ir.Node("", "Shape", [twin], name=f"shape_of.{value.name}")
                shape.outputs[0].name, shape.outputs[0].type = f"shape_of.{value.name}", ir.TensorType(ir.DataType.INT64)
                copy.graph.append(shape)
                sources[len(shown)] = value
                shown.append(shape.outputs[0])
    try:
        found = session(copy, shown, quiet=True).run(None, feed)
    except Exception as error:
        raise QGraphError(_line(error)) from error
    inputs = {v: feed[v.name or ""].shape for v in model.graph.inputs}
    return inputs | {sources[i]: tuple(int(n) for n in dims) for i, dims in enumerate(found)}


def free(value: ir.Value) -> list[int]:
    """The axes of an input whose lengths are open."""
    return [i for i, d in enumerate(value.shape or ()) if not isinstance(d, int)]


def feeds(model: ir.Model, context: PassContext, name: str) -> Iterator[Feed]:
    """Inputs to try: the first batch of the data, then made ones, from odd lengths to round ones."""
    if context.data is not None:
        yield check_batch(model, next(context.batches(name)), 0)
    open_axes = [(v, i) for v in model.graph.inputs for i in free(v)]
    symbols = list(dict.fromkeys(_symbol(v, i) for v, i in open_axes))
    batches = {_symbol(v, i) for v, i in open_axes if i == 0}
    rest = [s for s in symbols if s not in batches]
    choices: list[Callable[[int], Mapping[str, int]]] = [
        lambda k: dict.fromkeys(batches, 3 - k) | {s: PRIMES[(i + 3 * k) % len(PRIMES)] for i, s in enumerate(rest)},
        lambda k: dict.fromkeys(batches, 3 - k) | {s: 32 * (3 + i + k) for i, s in enumerate(rest)},
        lambda k: dict.fromkeys(batches, 1) | {s: 32 * (3 + i + k) for i, s in enumerate(rest)},
        lambda k: dict.fromkeys(batches, 1) | dict.fromkeys(rest, 32 * (2 + k)),
        lambda k: dict.fromkeys(symbols, 1 + k),
    ]
    if len(rest) == 1:  # a signal
        choices.append(lambda k: dict.fromkeys(batches, 1) | {rest[0]: 16000 + 1600 * k})
    if not symbols:
        choices = [lambda k: {}]
    for choice, shift in itertools.product(choices, (0, 1) if symbols else (0,)):
        yield _made(model, choice(shift))


def _symbol(value: ir.Value, axis: int) -> str:
    assert value.shape is not None
    dim = value.shape[axis]
    named = None if isinstance(dim, int) else dim.value
    return str(named) if named else f"{value.name}:{axis}"


def _made(model: ir.Model, lengths: Mapping[str, int]) -> Feed:
    shapes = {}
    for value in model.graph.inputs:
        shapes[value.name or ""] = [
            d if isinstance(d, int) else lengths[_symbol(value, i)] for i, d in enumerate(value.shape or ())
        ]
    return made_inputs(model, shapes)
