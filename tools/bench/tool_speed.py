"""Speed of the tool itself: ``python -m qgraph.tools.bench.tool_speed``.

1. ``transform`` with the preset int8 against ONNX Runtime's ``quantize_static``: MiniLM, the same 64 sentences, each in
   processes of its own that alternate. Both write their file; ``transform`` also compares its result with the model.
2. ``canonicalize`` on graphs of 5,000, 10,000 and 20,000 nodes.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from qgraph.capture import from_factory, from_onnx
from qgraph.ir import io
from qgraph.pipeline import Pipeline

ROUNDS = 5
SIZES = (5_000, 10_000, 20_000)


def _transform(source: str, target: str) -> Callable[[], None]:
    from qgraph.workflow import transform
    from qgraph.zoo import calibration

    data = list(calibration())

    def call() -> None:
        model = from_onnx(source)
        transform(model, preset="int8", data=data)
        io.save(model, target)

    return call


def _quantize_static(source: str, target: str) -> Callable[[], None]:
    from onnxruntime.quantization import CalibrationDataReader, quantize_static

    from qgraph.zoo import calibration

    logging.disable(logging.WARNING)
    data = list(calibration())

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.left = iter(data)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.left, None)

    return lambda: quantize_static(source, target, Reader())


SIDES = {"transform": _transform, "quantize_static": _quantize_static}


def _call_time(side: str, source: str, target: str) -> float:
    call = SIDES[side](source, target)
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def against_onnxruntime() -> None:
    """Print the medians of the calls and of the whole processes."""
    with tempfile.TemporaryDirectory() as folder:
        source = os.path.join(folder, "minilm.onnx")
        io.save(from_factory("qgraph.zoo:minilm"), source)
        calls: dict[str, list[float]] = {side: [] for side in SIDES}
        wholes: dict[str, list[float]] = {side: [] for side in SIDES}
        for _ in range(ROUNDS):
            for side in SIDES:
                command = [sys.executable, "-m", "qgraph.tools.bench.tool_speed", side, source, os.path.join(folder, "q.onnx")]
                start = time.perf_counter()
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                wholes[side].append(time.perf_counter() - start)
                calls[side].append(float(done.stdout.strip().splitlines()[-1]))
        for what, found in (("call", calls), ("process", wholes)):
            ours, peer = (float(np.median(found[side])) for side in SIDES)
            print(f"{what:8} transform {ours:.2f} s   quantize_static {peer:.2f} s   ratio {ours / peer:.2f}", flush=True)


def chain(nodes: int) -> ir.Model:
    """Residual blocks of MatMul, bias and decomposed GELU, with shape arithmetic; about ``nodes`` nodes."""
    rng = np.random.default_rng(0)
    x = ir.val("x", ir.DataType.FLOAT, ["batch", 8])
    made: list[ir.Node] = []
    table: dict[str, ir.Value] = {}

    def constant(array: np.ndarray) -> ir.Value:
        name = f"w{len(table)}"
        table[name] = ir.val(name, const_value=ir.tensor(array, name=name))
        return table[name]

    def op(kind: str, *inputs: ir.Value) -> ir.Value:
        node = ir.node(kind, list(inputs), name=f"n{len(made)}")
        node.outputs[0].name = f"v{len(made)}"
        made.append(node)
        return node.outputs[0]

    first, flat = constant(np.array([0])), constant(np.array([8]))
    root, one, half = (constant(np.array(v, np.float32)) for v in (2**0.5, 1.0, 0.5))
    value = x
    while len(made) < nodes:
        shape = op("Concat", op("Gather", op("Shape", value), first), flat)
        made[-1].attributes["axis"] = ir.AttrInt64("axis", 0)
        value = op("Reshape", value, shape)
        weight, bias = rng.standard_normal((8, 8), np.float32), rng.standard_normal(8, np.float32)
        hidden = op("Add", op("MatMul", value, constant(weight)), constant(bias))
        inner = op("Add", op("Erf", op("Div", hidden, root)), one)
        value = op("Identity", op("Add", value, op("Mul", op("Mul", hidden, inner), half)))
    value.shape, value.dtype = ir.Shape(["batch", 8]), ir.DataType.FLOAT
    graph = ir.Graph([x], [value], nodes=made, initializers=list(table.values()), opset_imports={"": 21}, name="chain")
    return ir.Model(graph, ir_version=10)


def linear_time() -> None:
    """Print how long ``canonicalize`` takes for each thousand nodes."""
    for size in SIZES:
        model = chain(size)
        before = len(model.graph)
        start = time.perf_counter()
        Pipeline("canonicalize").run(model)
        seconds = time.perf_counter() - start
        print(
            f"canonicalize {before} -> {len(model.graph)} nodes: {seconds:.1f} s, {1e6 * seconds / before:.0f} us a node",
            flush=True,
        )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(_call_time(*sys.argv[1:4]))
    else:
        against_onnxruntime()
        linear_time()
