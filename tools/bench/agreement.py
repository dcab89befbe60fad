"""How often our integers are ONNX Runtime's: ``python -m qgraph.tools.bench.agreement``.

Every linear op of a real model is run alone, on the codes that ONNX Runtime computed in front of it, and its output codes
are compared with those of ONNX Runtime: equal, one step apart, further apart. Errors cannot pile up from op to op.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx_ir as ir

from qgraph.deploy.program import compile
from qgraph.deploy.program_file import write
from qgraph.deploy.session import LAST, Session
from qgraph.execute.onnxruntime import session
from qgraph.ir.dialects import INTEGER
from qgraph.ir.patterns import constant

LINEAR = ("Linear", "Conv", "ConvTranspose")
MODELS = {
    "qgraph.zoo:minilm": "qgraph.zoo:calibration",
    "qgraph.zoo:resnet50": "qgraph.zoo:noise_images",
    "qgraph.zoo:mobilenet_v2": "qgraph.zoo:noise_images",
}


@dataclasses.dataclass(frozen=True)
class Agreement:
    """Output codes of one op: how many there are, how many differ by one step, and by more."""

    name: str
    elements: int
    one: int
    more: int


def codes_of(model: ir.Model, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What ONNX Runtime writes at every quantizer, by the name of the value it quantizes; int8 as uint8 with 128 added."""
    quantizers = [n for n in model.graph if n.op_type == "QuantizeLinear" and constant(n.inputs[0]) is None]
    run = session(model, [n.outputs[0] for n in quantizers])
    arrays = run.run([n.outputs[0].name for n in quantizers], dict(feed))
    found = {}
    for node, array in zip(quantizers, arrays, strict=True):
        name = (node.inputs[0].name or "") if node.inputs[0] is not None else ""
        found[name] = (array.astype(np.int16) + 128).astype(np.uint8) if array.dtype == np.int8 else array
    return found


def agreement(model: ir.Model, data: Mapping[str, np.ndarray]) -> list[Agreement]:
    """Compare every linear op of the quantized ``model`` whose codes ONNX Runtime shows."""
    known = codes_of(model, data)
    found = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "op.qgp"
        for node in compile(model, path).graph:
            if node.domain != INTEGER or node.op_type not in LINEAR:
                continue
            one = _alone(node)
            feed = {v.name or "": _laid_out(known, v.name or "") for v in one.graph.inputs}
            theirs = _laid_out(known, node.outputs[0].name or "")
            if theirs is None or any(array is None for array in feed.values()):
                continue
            write(one, path)
            (ours,) = Session(path).run(feed).values()
            steps = np.abs(ours.astype(np.int64) - theirs)
            found.append(Agreement(node.name or "", ours.size, int((steps == 1).sum()), int((steps > 1).sum())))
    return found


def _laid_out(known: Mapping[str, np.ndarray], name: str) -> np.ndarray | None:
    """The codes of the program's value ``name``, in its layout."""
    array = known.get(name.removesuffix(LAST))
    if array is None or not name.endswith(LAST):
        return array
    return np.ascontiguousarray(np.moveaxis(array, 1, -1))


def _alone(node: ir.Node) -> ir.Model:
    """A model of ``node`` and the per-token quantizer in front of it."""
    copies: dict[ir.Value, ir.Value] = {}
    inputs: list[ir.Value] = []
    initializers: list[ir.Value] = []
    made: list[ir.Node] = []

    def copy(value: ir.Value | None) -> ir.Value | None:
        if value is None or value in copies:
            return None if value is None else copies[value]
        producer = value.producer()
        if producer is not None and producer.op_type == "QuantizeTokens":
            made.append(_clone(producer, [copy(v) for v in producer.inputs], copies))
            return copies[value]
        new = ir.Value(name=value.name, shape=value.shape, type=value.type, const_value=value.const_value)
        (inputs if value.const_value is None else initializers).append(new)
        copies[value] = new
        return new

    last = _clone(node, [copy(v) for v in node.inputs], copies)
    graph = ir.Graph(
        inputs, last.outputs[:1], nodes=[*made, last], initializers=initializers, opset_imports={"": 21, INTEGER: 1}, name="op"
    )
    return ir.Model(graph, ir_version=10)


def _clone(node: ir.Node, inputs: list[ir.Value | None], copies: dict[ir.Value, ir.Value]) -> ir.Node:
    new = ir.Node(
        node.domain, node.op_type, inputs, list(node.attributes.values()), num_outputs=len(node.outputs), name=node.name
    )
    for old, value in zip(node.outputs, new.outputs, strict=True):
        value.name, value.shape, value.type = old.name, old.shape, old.type
        copies[old] = value
    return new


def main() -> None:
    """Print the counts of the zoo's models."""
    from qgraph.capture import from_factory
    from qgraph.data import Data
    from qgraph.workflow import transform

    for spec, data in MODELS.items():
        model, batches = from_factory(spec), list(Data(data))[:2]
        transform(model, preset="int8", data=batches, force=True)
        rows = agreement(model, batches[0])
        total, one, more = (sum(getattr(r, key) for r in rows) for key in ("elements", "one", "more"))
        print(
            f"{spec}: {len(rows)} linear ops, {total} codes, {one} differ by one step ({one / total:.1e}), {more} by more",
            flush=True,
        )


if __name__ == "__main__":
    main()
