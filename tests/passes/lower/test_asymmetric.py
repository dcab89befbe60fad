"""Weights with zero points: the program gives the codes that ONNX Runtime gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qgraph.deploy.program import compile
from qgraph.deploy.session import Session
from qgraph.execute.onnxruntime import session
from tests.passes.graphs import model_of

RNG = np.random.default_rng(0)
LINEAR = {
    "conv": ("float[2,4,6,6] x", "Conv<pads=[1,1,1,1]>(a, v)", (6, 4, 3, 3), 0),
    "grouped": ("float[2,4,6,6] x", "Conv<group=2>(a, v)", (6, 2, 3, 3), 0),
    "depthwise": ("float[2,4,6,6] x", "Conv<group=4>(a, v)", (4, 1, 3, 3), 0),
    "transposed": ("float[2,4,6,6] x", "ConvTranspose<strides=[2,2]>(a, v)", (4, 6, 2, 2), None),
    "transposed, grouped": ("float[2,4,6,6] x", "ConvTranspose<group=2>(a, v)", (4, 3, 2, 2), None),
    "matmul": ("float[2,3,8] x", "MatMul(a, v)", (8, 5), 1),
    "gemm": ("float[3,8] x", "Gemm<transB=1>(a, v)", (5, 8), 0),
}
ZEROS = {
    "the middle": (np.uint8, 128),
    "none": (np.uint8, 0),
    "all": (np.uint8, 255),
    "near": (np.uint8, 140),
    "signed": (np.int8, -37),
}


def declared(name: str, array: np.ndarray) -> str:
    """``array`` as an initializer of a graph's text."""
    kind = {"float32": "float"}.get(array.dtype.name, array.dtype.name)
    dims = f"[{','.join(map(str, array.shape))}]" if array.ndim else ""
    return f"{kind}{dims} {name} = {{{', '.join(map(str, array.reshape(-1).tolist()))}}}"


@pytest.mark.parametrize("zero", ZEROS)
@pytest.mark.parametrize("kind", LINEAR)
def test_program_agrees_with_onnxruntime(tmp_path: Path, kind: str, zero: str) -> None:
    inputs, op, shape, axis = LINEAR[kind]
    dtype, point = ZEROS[zero]
    limits = np.iinfo(dtype)
    codes = RNG.integers(limits.min, limits.max + 1, shape).astype(dtype)
    codes.reshape(-1)[:2] = limits.min, limits.max  # w - z reaches both ends
    channels = 1 if axis is None else shape[axis]
    scale = np.float32(0.01) if axis is None else RNG.uniform(0.005, 0.02, channels).astype(np.float32)
    tensors = {
        "w": codes, "sw": scale, "zw": np.full(scale.shape, point, dtype), "sx": np.float32(0.021), "zx": np.uint8(117),
        "sy": np.float32(0.19), "zy": np.uint8(121),
    }  # fmt: skip
    model = model_of(
        f"g ({inputs}) => (y) <{', '.join(declared(n, np.asarray(a)) for n, a in tensors.items())}> {{ "
        "q = QuantizeLinear(x, sx, zx) a = DequantizeLinear(q, sx, zx) "
        f"v = DequantizeLinear<axis={axis or 0}>(w, sw, zw) c = {op} "
        "d = QuantizeLinear(c, sy, zy) y = DequantizeLinear(d, sy, zy) }"
    )
    dims = tuple(int(d) for d in inputs.split("[")[1].split("]")[0].split(","))
    feed = {"x": RNG.normal(0, 2, dims).astype(np.float32)}
    wanted = session(model, optimize=False).run(None, feed)[0]
    compile(model, tmp_path / "m.qgp", sparse=False)
    (found,) = Session(tmp_path / "m.qgp", threads=1).run(feed).values()
    distance = np.abs(np.rint((found - wanted) / np.float32(0.19)))
    assert len(np.unique(wanted)) > 10
    assert distance.max() <= 1 and (distance > 0).mean() <= 0.01
