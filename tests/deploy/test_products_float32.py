"""Float32 products in programs against ONNX Runtime: another order of sums, the same function."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest

from qgraph.deploy.program import compile
from qgraph.deploy.session import Session
from tests.conftest import run_onnx, same_bytes
from tests.passes.graphs import model_of

CASES = {
    "MatMul of vectors": ("y = MatMul(x, w)", {"x": (5,), "w": (5,)}, ""),
    "MatMul of a vector": ("y = MatMul(x, w)", {"x": (5,), "w": (2, 5, 3)}, "2,3"),
    "MatMul, broadcast": ("y = MatMul(x, w)", {"x": (2, 1, 4, 5), "w": (3, 5, 3)}, "2,3,4,3"),
    "Gemm, a column": ("y = Gemm<transA=1, alpha=0.5, beta=2.0>(x, w, b)", {"x": (5, 4), "w": (5, 3), "b": (4, 1)}, "4,3"),
    "Gemm, a scalar": ("y = Gemm<transB=1>(x, w, b)", {"x": (4, 5), "w": (3, 5), "b": (1,)}, "4,3"),
    "Conv, one axis": ("y = Conv<strides=[2], pads=[1, 2]>(x, w, b)", {"x": (2, 4, 9), "w": (6, 4, 3), "b": (6,)}, "2,6,5"),
    "Conv, upper pads": (
        'y = Conv<auto_pad="SAME_UPPER", strides=[2, 3]>(x, w)', {"x": (1, 4, 9, 8), "w": (6, 4, 2, 2)}, "1,6,5,3"
    ),
    "Conv, lower pads": (
        'y = Conv<auto_pad="SAME_LOWER", strides=[1, 2]>(x, w)', {"x": (1, 4, 9, 8), "w": (6, 4, 2, 4)}, "1,6,9,4"
    ),
    "Conv, no pads": ('y = Conv<auto_pad="VALID", group=2>(x, w)', {"x": (1, 4, 9, 8), "w": (6, 2, 2, 4)}, "1,6,8,5"),
    "Conv, three axes": ("y = Conv<dilations=[1, 2, 1]>(x, w)", {"x": (2, 4, 5, 6, 7), "w": (6, 4, 2, 3, 3)}, "2,6,4,2,5"),
    "Conv of channels": ("y = Conv<group=4, pads=[1, 1, 1, 1]>(x, w)", {"x": (2, 4, 5, 70), "w": (8, 1, 3, 3)}, "2,8,5,70"),
    "ConvTranspose": (
        "y = ConvTranspose<strides=[3, 2], pads=[1, 0, 0, 1], output_padding=[2, 1], dilations=[1, 2], group=2>(x, w, b)",
        {"x": (2, 4, 5, 6), "w": (4, 3, 3, 2), "b": (6,)}, "2,6,16,13",
    ),
    "ConvTranspose of a shape": (
        "y = ConvTranspose<strides=[3, 2], output_shape=[14, 12]>(x, w)", {"x": (1, 4, 5, 6), "w": (4, 3, 3, 3)}, "1,3,14,12"
    ),
    "ConvTranspose, upper pads": (
        'y = ConvTranspose<auto_pad="SAME_UPPER", strides=[2]>(x, w)', {"x": (1, 4, 5), "w": (4, 3, 3)}, "1,3,10"
    ),
    "ConvTranspose, three axes": (
        "y = ConvTranspose<strides=[1, 2, 2]>(x, w)", {"x": (1, 2, 3, 3, 3), "w": (2, 3, 2, 2, 3)}, "1,3,4,6,7"
    ),
    "Einsum of three": ('y = Einsum<equation="ij,jk,kl->li">(x, w, b)', {"x": (4, 3), "w": (3, 5), "b": (5, 2)}, "2,4"),
    "Einsum of a diagonal": ('y = Einsum<equation="...ii->...i">(x)', {"x": (2, 4, 4)}, "2,4"),
    "Einsum, implied": ('y = Einsum<equation="bij, bjk">(x, w)', {"x": (2, 4, 3), "w": (2, 3, 5)}, "2,4,5"),
    "Einsum, attention": ('y = Einsum<equation="bhid,bhjd->bhij">(x, w)', {"x": (2, 3, 20, 8), "w": (2, 3, 30, 8)}, "2,3,20,30"),
}  # fmt: skip


@pytest.mark.parametrize("constant", [False, True], ids=["computed", "constant"])
@pytest.mark.parametrize("case", CASES)
def test_close_to_onnx_runtime(case: str, constant: bool, tmp_path: Path) -> None:
    nodes, shapes, out = CASES[case]
    feed = {name: np.random.default_rng(i).standard_normal(s).astype(np.float32) for i, (name, s) in enumerate(shapes.items())}
    inputs = ", ".join(f"float[{','.join(map(str, s))}] {name}" for name, s in shapes.items())
    model = model_of(f"g ({inputs}) => (float[{out}] y) {{ {nodes} }}" if out else f"g ({inputs}) => (float y) {{ {nodes} }}")
    if constant:
        for value in list(model.graph.inputs)[1:]:
            value.const_value = ir.Tensor(feed.pop(value.name or ""), name=value.name)
            model.graph.register_initializer(value)
            model.graph.inputs.remove(value)
    wanted = run_onnx(model, feed)[0]
    compile(model, tmp_path / "m.qgp")
    found = Session(tmp_path / "m.qgp").run(feed)["y"]
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=2e-5)
    same_bytes(tmp_path / "m.qgp", feed)


def test_free_sizes_decide_the_pads(tmp_path: Path) -> None:
    text = 'y = Conv<auto_pad="SAME_UPPER", strides=[2, 2]>(x, w)'
    model = model_of(f"g (float[n,2,h,w] x, float[3,2,3,3] w) => (float[n,3,p,q] y) {{ {text} }}")
    compile(model, tmp_path / "m.qgp")
    session = Session(tmp_path / "m.qgp")
    for shape in ((1, 2, 7, 8), (2, 2, 8, 7), (1, 2, 1, 1)):
        feed = {n: np.random.default_rng(0).standard_normal(s).astype(np.float32) for n, s in (("x", shape), ("w", (3, 2, 3, 3)))}
        np.testing.assert_allclose(session.run(feed)["y"], run_onnx(model, feed)[0], rtol=1e-5, atol=1e-5)
