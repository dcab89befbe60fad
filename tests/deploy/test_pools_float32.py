"""Reductions, pools and Fourier transforms of float models, as programs and in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from qgraph.deploy.program import compile
from qgraph.deploy.session import Session
from tests.conftest import run_onnx

KINDS = "Sum Mean Max Min Prod L1 L2 LogSum LogSumExp SumSquare"
REDUCTIONS = [f"Reduce{kind}" for kind in KINDS.split()]
POOLS = [
    "y = MaxPool<kernel_shape=[3,2], strides=[2,1], pads=[1,0,0,1]>(x)",
    "y = MaxPool<kernel_shape=[2,2], strides=[3,2], dilations=[2,3], ceil_mode=1>(x)",
    'y = MaxPool<kernel_shape=[3,4], strides=[2,2], auto_pad="SAME_UPPER">(x)',
    "y, i = MaxPool<kernel_shape=[2,3], strides=[2,2], pads=[1,1,0,1]>(x)",
    "y, i = MaxPool<kernel_shape=[2,3], strides=[1,2], storage_order=1>(x)",
    "p, i = MaxPool<kernel_shape=[2,2], strides=[2,2]>(x) y = MaxUnpool<kernel_shape=[2,2], strides=[2,2]>(p, i)",
    "y = AveragePool<kernel_shape=[3,3], strides=[2,2], pads=[1,1,1,1]>(x)",
    "y = AveragePool<kernel_shape=[3,2], pads=[1,1,1,1], count_include_pad=1, ceil_mode=1, strides=[2,3]>(x)",
    "y = AveragePool<kernel_shape=[3,2], dilations=[2,1]>(x)",
    'y = AveragePool<kernel_shape=[2,2], auto_pad="SAME_LOWER">(x)',
    "y = LpPool<kernel_shape=[3,3], p=3, pads=[0,1,1,0]>(x)",
    "y = LpPool<kernel_shape=[2,3], strides=[2,2]>(x)",
    "y = GlobalAveragePool(x)",
    "y = GlobalMaxPool(x)",
    "y = GlobalLpPool<p=3>(x)",
    "y = GlobalLpPool(x)",
    "y = MaxRoiPool<pooled_shape=[2,3], spatial_scale=0.5>(x, rois)",
    "y = CumSum<exclusive=1>(x, one)",
    "y = CumSum<reverse=1>(x, one)",
    "c = Unsqueeze(x, last) y = DFT<onesided=1>(c)",
    "c = Unsqueeze(x, last) y = DFT(c, length, two)",
    "c = Unsqueeze(x, last) f = DFT<onesided=1>(c) y = DFT<inverse=1, onesided=0>(f)",
    "r = Reshape(x, line) y = STFT(r, step, window)",
    "s = Size(x) w = HannWindow(s) f = Reshape(x, flat) y = Mul(f, w)",
]
CONSTANTS = {
    "axes": [[0, 2], [-1], [1, 2, 3], [0], [0, 1, 2, 3]],
    "rois": np.array([[0, 1, 2, 20, 17], [1, 3, 0, 5, 9], [1, 8, 8, 30, 12]], np.float32),
    "one": np.array(1, np.int64),
    "two": np.array(2, np.int64),
    "length": np.array(12, np.int64),
    "last": np.array([4], np.int64),
    "line": np.array([2, -1, 1], np.int64),
    "flat": np.array([-1], np.int64),
    "step": np.array(7, np.int64),
    "window": np.linspace(0.1, 1, 30, dtype=np.float32),
}


def agree(body: str, x: np.ndarray, constants: dict[str, np.ndarray], folder: Path) -> None:
    kind = ir.DataType.from_numpy(x.dtype).name.lower()
    outputs = f"{kind} y, int64 i" if "y, i" in body else f"{kind} y"
    text = f'<ir_version: 10, opset_import: ["" : 21]> g ({kind}[{",".join(map(str, x.shape))}] x) => ({outputs}) {{ {body} }}'
    model = ir.from_onnx_text(text)
    for value in model.graph.outputs:
        value.shape = None
    unknown = {v.name: v for node in model.graph for v in node.inputs if v is not None and v.producer() is None}
    for name, array in constants.items():
        if name in unknown and not unknown[name].is_graph_input():
            unknown[name].const_value = ir.Tensor(array, name=name)
            unknown[name].type = ir.TensorType(ir.DataType.from_numpy(array.dtype))
            unknown[name].shape = ir.Shape(array.shape)
            model.graph.register_initializer(unknown[name])
    wanted = run_onnx(model, {"x": x})
    compile(model, folder / "op.qgp")
    found = [Session(folder / "op.qgp", threads=n).run({"x": x}) for n in (1, 2)]
    for got, other, want in zip(found[0].values(), found[1].values(), wanted, strict=True):
        assert got.tobytes() == other.tobytes()
        assert got.shape == want.shape and got.dtype == want.dtype
        if want.dtype == np.float32:
            np.testing.assert_allclose(
                got, want, rtol=2e-5, atol=2e-5 * max(1.0, np.abs(want[np.isfinite(want)]).max(initial=0.0))
            )
        else:
            np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize("op", REDUCTIONS)
@pytest.mark.parametrize("axes", CONSTANTS["axes"])
def test_reductions(op: str, axes: list[int], tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    positive = op == "ReduceLogSum"
    x = rng.standard_normal((3, 4, 5, 70)).astype(np.float32) if op != "ReduceProd" else rng.uniform(0.9, 1.1, (3, 4, 5, 70))
    x = (np.abs(x) if positive else x).astype(np.float32)
    constants = {"axes": np.array(axes, np.int64)}
    agree(f"y = {op}<keepdims={len(axes) % 2}>(x, axes)", x, constants, tmp_path)
    if "Log" not in op:
        agree(f"y = {op}(x, axes)", rng.integers(-3, 9, (3, 4, 5, 7)).astype(np.int64), constants, tmp_path)
    if op in ("ReduceMax", "ReduceMin"):
        agree(f"y = {op}(x, axes)", rng.random((2, 3, 4, 5)) < 0.3, constants, tmp_path)


@pytest.mark.parametrize("op", REDUCTIONS)
def test_axes_that_are_left_out(op: str, tmp_path: Path) -> None:
    x = np.random.default_rng(0).uniform(0.5, 1.5, (2, 3, 5)).astype(np.float32)
    agree(f"y = {op}(x)", x, {}, tmp_path)
    agree(f"y = {op}<noop_with_empty_axes=1>(x)", x, {}, tmp_path)


@pytest.mark.parametrize("op", [op for op in REDUCTIONS if op != "ReduceMean"])
def test_reductions_of_nothing(op: str, tmp_path: Path) -> None:
    agree(f"y = {op}<keepdims=0>(x, axes)", np.zeros((2, 0, 3), np.float32), {"axes": np.array([1])}, tmp_path)


@pytest.mark.parametrize("body", POOLS)
def test_pools_and_transforms(body: str, tmp_path: Path) -> None:
    x = np.random.default_rng(0).standard_normal((2, 3, 10, 16)).astype(np.float32)
    agree(body, x, {k: v for k, v in CONSTANTS.items() if k != "axes"}, tmp_path)  # type: ignore[misc]


def test_pools_of_one_and_three_axes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for op in ("MaxPool", "AveragePool"):
        x = rng.standard_normal((2, 3, 7, 8, 9)).astype(np.float32)
        agree(f"y = {op}<kernel_shape=[2,3,2], strides=[1,2,3], pads=[1,0,1,0,1,1]>(x)", x, {}, tmp_path)
        agree(f"y = {op}<kernel_shape=[3], strides=[2], pads=[1,1]>(x)", x.reshape(2, 3, -1), {}, tmp_path)
    agree("y = MaxPool<kernel_shape=[3,3], strides=[2,2]>(x)", rng.integers(0, 255, (2, 3, 9, 9)).astype(np.uint8), {}, tmp_path)
