"""Functions, elementwise ops and norms of float models, as programs and in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qgraph.deploy.program import compile
from qgraph.deploy.session import Session
from tests.conftest import run_onnx
from tests.passes.graphs import model_of

ANY = """
Exp Sigmoid Tanh Erf Softplus Softsign Elu Selu Celu LeakyRelu ThresholdedRelu HardSigmoid HardSwish Mish Gelu Shrink Ceil Floor
Round Sign Abs Neg Relu Sin Cos Tan Sinh Cosh Atan Asinh Reciprocal IsNaN Softmax LogSoftmax Hardmax LpNormalization"""
PLUS, SHARE = "Sqrt Log", "Asin Acos Atanh"
CASES = {
    **{op: (f"y = {op}(x)", "", 0.0) for op in ANY.split()},
    **{op: (f"a = Abs(x) y = {op}(a)", "", 0.0) for op in PLUS.split()},
    **{op: (f"a = Mul(x, c) y = {op}(a)", "float c = {0.2}", 0.0) for op in SHARE.split()},
    "Acosh": ("a = Abs(x) b = Add(a, c) y = Acosh(b)", "float c = {1}", 0.0),
    "tanh Gelu": ('y = Gelu<approximate="tanh">(x)', "", 1e-6),
    "erf Gelu": ("y = Gelu(x)", "", 1e-6),
    "Softmax along 1": ("y = Softmax<axis=1>(x)", "", 0.0),
    "LogSoftmax along 0": ("y = LogSoftmax<axis=0>(x)", "", 0.0),
    "Clip": ("y = Clip(x, low, high)", "float low = {-0.5}, float high = {0.7}", 0.0),
    "Clip above": ("y = Clip(x, , high)", "float high = {0.7}", 0.0),
    "Pow": ("a = Abs(x) y = Pow(a, z)", "", 0.0),
    "Pow of 2": ("y = Pow(x, c)", "float c = {2}", 0.0),
    "Pow of 3": ("y = Pow(x, c)", "float c = {3}", 0.0),
    "fmod": ("y = Mod<fmod=1>(x, z)", "", 0.0),
    "PRelu": ("y = PRelu(x, c)", "float[4,1] c = {0.1, 0.2, 0.3, 0.4}", 0.0),
    "Where": ("m = Greater(x, z) y = Where(m, x, z)", "", 0.0),
    "Sum": ("y = Sum(x, z, r)", "", 1e-6),
    "Mean": ("y = Mean(x, z, r)", "", 1e-6),
    "Max": ("y = Max(x, z, r)", "", 0.0),
    "Min": ("y = Min(x, r)", "", 0.0),
    "Add a row": ("y = Add(x, r)", "", 0.0),
    "Div a column": ("y = Div(x, c)", "float[3,1,1] c = {1, 2, 3}", 0.0),
    "int8": ("a = Cast<to=3>(x) b = Cast<to=3>(z) c = Sub(a, b) y = Cast<to=1>(c)", "", 0.0),
    "uint8": ("p = Abs(x) a = Cast<to=2>(p) y = Cast<to=1>(a)", "", 0.0),
    "LayerNormalization": ("y = LayerNormalization(x, r, s)", "", 1e-5),
    "LayerNormalization of two axes": ("y = LayerNormalization<axis=1>(x, t)", "", 1e-5),
    "GroupNormalization": ("y = GroupNormalization<num_groups=2>(x, u, v)", "", 1e-5),
    "InstanceNormalization": ("y = InstanceNormalization(x, u, v)", "", 1e-5),
    "BatchNormalization": ("w = Abs(u) y = BatchNormalization(x, u, v, v, w)", "", 1e-5),
    "LRN": ("a = Unsqueeze(x, c) y = LRN<size=3, alpha=0.5>(a)", "int64[1] c = {3}", 1e-6),
    "MeanVarianceNormalization": ("y = MeanVarianceNormalization<axes=[0,2]>(x)", "", 1e-5),
}


@pytest.mark.parametrize("case", CASES)
def test_a_program_agrees_with_onnx_runtime(case: str, tmp_path: Path) -> None:
    body, held, absolute = CASES[case]
    rng = np.random.default_rng(0)
    shapes = {"x": (3, 4, 5), "z": (3, 4, 5), "r": (5,), "s": (5,), "t": (4, 5), "u": (4,), "v": (4,)}
    used = {n: shape for n, shape in shapes.items() if any(f"{start}{n}{end}" in body for start in "( " for end in ",)")}
    inputs = ", ".join(f"float[{','.join(map(str, shape))}] {n}" for n, shape in used.items())
    kind = "bool" if case == "IsNaN" else "float"
    model = model_of(f"g ({inputs}) => ({kind}[{'?,' * (3 if case == 'LRN' else 2)}?] y) <{held}> {{ {body} }}")
    feed = {n: (2 * rng.standard_normal(shape)).astype(np.float32) for n, shape in used.items()}
    wanted = run_onnx(model, feed)[0]
    compile(model, tmp_path / "m.qgp")
    found = Session(tmp_path / "m.qgp").run(feed)["y"]
    assert found.dtype == wanted.dtype
    np.testing.assert_allclose(found, wanted, rtol=2e-5, atol=absolute)
