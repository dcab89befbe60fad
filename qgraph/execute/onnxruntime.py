"""Run a model in ONNX Runtime, whole or up to values inside it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from qgraph.data import Batch, as_type
from qgraph.errors import QGraphError, suggest
from qgraph.ir.matchers.attention import mask_inputs
from qgraph.ir.narrow_types import widened
from qgraph.ir.patterns import attr, is_op, new_node, nodes

LARGE = 4096
LONGEST = 300
"""Characters of a message of ONNX Runtime that are passed on."""
LENDABLE = {ir.DataType.FLOAT, ir.DataType.INT8, ir.DataType.UINT8, ir.DataType.INT32, ir.DataType.INT64}


class Engine:
    """An ``onnxruntime.InferenceSession`` whose errors are one sentence; ``weights`` are read in place and live as long as it."""

    def __init__(self, data: bytes, options: Any, weights: Any) -> None:
        import onnxruntime as ort

        self.weights = weights
        try:
            self.session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # its exceptions have no common class
            raise QGraphError(f"ONNX Runtime does not load the model: {reason(error)}") from error

    def run(self, outputs: Sequence[str | None] | None, feed: Batch) -> list[Any]:
        """The values of ``outputs`` (all outputs) for ``feed``; raises QGraphError where ONNX Runtime fails."""
        try:
            return self.session.run(outputs, dict(feed))  # type: ignore[no-any-return]
        except Exception as error:
            raise QGraphError(f"ONNX Runtime fails in a run of the model: {reason(error)}") from error


def reason(error: Exception) -> str:
    """What ONNX Runtime says in an exception, without its code and the places in its source."""
    text = " ".join(str(error).split())
    text = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text)
    text = re.sub(r"/onnxruntime_src/\S+ (?:.*\)(?: const)? )?", "", text)
    return text[:LONGEST] + "..." * (len(text) > LONGEST)


def session(
    model: ir.Model, outputs: Sequence[ir.Value] | None = None, *, threads: int = 0, optimize: bool = True, quiet: bool = False
) -> Engine:
    """An ONNX Runtime session of ``model``; with ``outputs`` these values are what it returns.

    A ``quiet`` one prints no errors beside those that it raises.

    Raises:
        QGraphError: ONNX Runtime does not load the model.
    """
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4 if quiet else 3
    options.intra_op_num_threads = threads
    # by default 4-bit products quantize their activations once more, which no other engine does
    options.add_session_config_entry("session.qdq_matmulnbits_accuracy_level", "1")
    # values inside fused ops could not be read back, so reading them needs the graph as it is
    level = ort.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimize else level.ORT_ENABLE_BASIC
    with _outputs(model, outputs), widened(model) as shown, _parted(shown), _without_weights(shown) as weights:
        data = ir.to_proto(shown).SerializeToString()
    arrays = {name: np.ascontiguousarray(tensor.numpy()) for name, tensor in weights.items()}
    lent = [ort.OrtValue.ortvalue_from_numpy(array) for array in arrays.values()]
    options.add_external_initializers(list(arrays), lent)
    return Engine(data, options, (arrays, lent))


@contextlib.contextmanager
def _without_weights(model: ir.Model) -> Iterator[dict[str, ir.TensorProtocol]]:
    """Take the big initializers out of ``model``, which need neither a copy nor protobuf's 2 GB; yields them by name.

    Those that nothing reads stay: ONNX Runtime drops them before it looks for what it is lent.
    """
    taken = {}
    for name, value in model.graph.initializers.items():
        tensor = value.const_value
        read = bool(value.uses()) or value.is_graph_output()
        if tensor is not None and read and tensor.nbytes >= LARGE and tensor.dtype in LENDABLE:
            taken[name] = tensor
            shape = ir.Shape(tensor.shape.numpy())
            value.const_value = ir.ExternalTensor("none", 0, tensor.nbytes, dtype=tensor.dtype, shape=shape, name=name)
    try:
        yield taken
    finally:
        for name, tensor in taken.items():
            model.graph.initializers[name].const_value = tensor


def part_dilated_pools(model: ir.Model) -> list[ir.Node]:
    """Put a Max of one input in front of every dilated AveragePool, in place: ONNX Runtime fuses the pool with Q/DQ pairs to a
    QLinearAveragePool, which has no dilations, and then refuses the file. Returns what was put in."""
    made = []
    for node in nodes(model, "AveragePool"):
        x = node.inputs[0]
        if x is not None and set(attr(node, "dilations", [1])) != {1} and not is_op(x, "Max"):
            copy = new_node(node, "Max", [x], name=f"{node.name}_input")
            copy.outputs[0].name, copy.outputs[0].shape, copy.outputs[0].type = copy.name, x.shape, x.type
            node.graph.insert_before(node, copy)  # type: ignore[union-attr]
            node.replace_input_with(0, copy.outputs[0])
            made.append(copy)
    return made


@contextlib.contextmanager
def _parted(model: ir.Model) -> Iterator[None]:
    made = part_dilated_pools(model)
    try:
        yield
    finally:
        for copy in made:
            copy.outputs[0].replace_all_uses_with(copy.inputs[0])  # type: ignore[arg-type]
            copy.graph.remove(copy, safe=True)  # type: ignore[union-attr]


@contextlib.contextmanager
def _outputs(model: ir.Model, outputs: Sequence[ir.Value] | None) -> Iterator[None]:
    if outputs is None:
        yield
        return
    kept = list(model.graph.outputs)
    model.graph.outputs.clear()
    model.graph.outputs.extend(dict.fromkeys(outputs))
    try:
        yield
    finally:
        model.graph.outputs.clear()
        model.graph.outputs.extend(kept)


def _is_filled_mask(model: ir.Model, value: ir.Value, array: np.ndarray) -> bool:
    """Whether ``array`` is a mask of attention scores whose elements are -infinity where they mask."""
    return value in mask_inputs(model) and not (np.isnan(array) | np.isposinf(array)).any()


def check_batch(model: ir.Model, batch: Batch, number: int) -> dict[str, np.ndarray]:
    """Return the batch's arrays for the model's inputs; refuse missing names, wrong ranks and dtypes, NaN and infinity.

    A mask of attention scores may hold -infinity.
    """
    feed = {}
    for value in model.graph.inputs:
        name = value.name or ""
        if name not in batch:
            raise QGraphError(
                f"data batch {number} has no input {name!r} (it holds {', '.join(map(repr, batch)) or 'nothing'})"
                f"{suggest(name, batch)}"
            )
        array = np.asarray(batch[name])
        wanted = value.dtype.numpy() if value.dtype is not None else array.dtype
        if array.dtype != wanted:
            made = as_type(array, np.dtype(wanted))
            if made is None:
                same = array.dtype.kind == np.dtype(wanted).kind
                what = f"({array.dtype}) holds numbers beyond {wanted}" if same else f"is {array.dtype}"
                raise QGraphError(f"data batch {number}: input {name!r} {what}, the model takes {wanted}")
            array = made
        if value.shape is not None:
            fits = len(array.shape) == len(value.shape) and all(
                not isinstance(d, int) or d == n for d, n in zip(value.shape, array.shape, strict=True)
            )
            if not fits:
                raise QGraphError(
                    f"data batch {number}: input {name!r} has shape {list(array.shape)}, "
                    f"the model takes {[d if isinstance(d, int) else str(d.value) for d in value.shape]}"
                )
        if array.dtype.kind == "f" and not np.isfinite(array).all() and not _is_filled_mask(model, value, array):
            raise QGraphError(f"data batch {number}: input {name!r} holds NaN or infinity; clean the data")
        feed[name] = array
    return feed
