"""What goes together in awkward graphs: units that hold only zeros are pruned, and ONNX Runtime must see no difference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnx_ir.passes.common as common
import pytest
import torch
from torch import nn

from qgraph.capture import from_onnx, from_torch
from qgraph.errors import QGraphError
from qgraph.ir.axes import AXIS_RULES
from qgraph.ir.axes.pointwise import pointwise
from qgraph.pipeline import PassReport, Pipeline
from tests.conftest import run_onnx
from tests.passes.prune.test_structured import HEAD, with_weights

RNG = np.random.default_rng(0)
CHANNELS = "prune-channels{ratio=0.5}"


def model_of(text: str, shapes: dict[str, tuple[int, ...]]) -> tuple[ir.Model, dict[str, np.ndarray]]:
    """A model from text with random weights of the given shapes."""
    model = ir.from_onnx_text(HEAD + text)
    arrays = {name: RNG.uniform(0.5, 1.5, shape).astype(np.float32) for name, shape in shapes.items()}
    with_weights(model, arrays)
    for node in model.graph:
        node.name = node.outputs[0].name
        if node.op_type == "GroupNormalization":  # ONNX infers no shape for it
            node.outputs[0].shape = ir.Shape([2, 8, 3])
    common.ShapeInferencePass(data_prop=True)(model)
    return model, arrays


def zero(model: ir.Model, places: dict[str, tuple[int, list[int]]]) -> None:
    """Write zeros at indices of one axis of some weights."""
    for name, (axis, indices) in places.items():
        value = model.graph.initializers[name]
        array = np.moveaxis(value.const_value.numpy().copy(), axis, 0)  # type: ignore[union-attr]
        array[indices] = 0
        value.const_value = ir.Tensor(np.ascontiguousarray(np.moveaxis(array, 0, axis)), name=name)


def pruned(model: ir.Model, feed: dict[str, np.ndarray], text: str) -> PassReport:
    """Prune the model, and compare with what it gave before."""
    before = run_onnx(model, feed)
    report = Pipeline(text).run(model)[-1]
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    for a, b in zip(before, run_onnx(model, feed), strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, 1e-5, 1e-5 * np.abs(a).max())
    return report


HALF = [1, 2, 5, 6]
CASES = {
    "a Linear over time": (
        "g (float[1,4,16] x) => (float[1,8,3] y) { c = Conv(x, w, b) h = MatMul(c, t) r = Relu(h) y = MatMul(r, u) }",
        {"w": (8, 4, 1), "b": (8,), "t": (16, 8), "u": (8, 3)},
        {"t": (1, HALF), "u": (0, HALF)},
    ),
    "channels last flattened": (
        """g (float[n,3,4,5] x) => (float[n,2] y) {
            c = Conv(x, w, b) l = Transpose<perm=[0,2,3,1]>(c) f = Flatten(l) y = Gemm(f, u) }""",
        {"w": (8, 3, 1, 1), "b": (8,), "u": (160, 2)},
        {"w": (0, HALF), "b": (0, HALF), "u": (0, [p * 8 + c for p in range(20) for c in HALF])},
    ),
    "weights on the left": (
        "g (float[4,n] x) => (float[3,n] y) { h = MatMul(w, x) r = Relu(h) y = MatMul(u, r) }",
        {"w": (8, 4), "u": (3, 8)},
        {"w": (0, HALF), "u": (1, HALF)},
    ),
    "a matrix times a vector": (
        "g (float[4] x) => (float[3] y) { h = MatMul(w, x) r = Relu(h) y = MatMul(u, r) }",
        {"w": (8, 4), "u": (3, 8)},
        {"w": (0, HALF), "u": (1, HALF)},
    ),
    "a vector times a matrix": (
        "g (float[4] x) => (float[3] y) { h = MatMul(x, w) r = Relu(h) y = MatMul(r, u) }",
        {"w": (4, 8), "u": (8, 3)},
        {"w": (1, HALF), "u": (0, HALF)},
    ),
    "Gemm with a C of rows": (
        "g (float[4,2] x) => (float[8,2] y) { h = Gemm(w, x, c) r = Relu(h) y = MatMul(u, r) }",
        {"w": (8, 4), "c": (8, 1), "u": (8, 8)},
        {"w": (0, HALF), "c": (0, HALF), "u": (1, HALF)},
    ),
    "Gemm with a C of one row": (
        "g (float[n,4] x) => (float[n,2] y) { h = Gemm(x, w, c) r = Relu(h) y = Gemm(r, u, s) }",
        {"w": (4, 8), "c": (1, 8), "u": (8, 2), "s": (1,)},
        {"w": (1, HALF), "c": (1, HALF), "u": (0, HALF)},
    ),
    "a scale by the number of channels": (
        """g (float[n,4] x) => (float[n,2] y) <int64 one = {1}> {
            h = Gemm(x, w) s = Shape(h) k = Gather(s, one) f = Cast<to=1>(k) q = Sqrt(f) d = Div(h, q) y = Gemm(d, u) }""",
        {"w": (4, 8), "u": (8, 2)},
        {"w": (1, HALF), "u": (0, HALF)},
    ),
    "a flatten whose shape is computed": (
        """g (float[n,4,6] x) => (float[n,2] y)
            <int64[1] i0 = {0}, int64[1] i1 = {1}, int64[1] wide = {16}, int64[2] pick = {4, 1}> {
            h = Conv(x, w) r = Relu(h) p = Gather<axis=2>(r, pick) s = Shape(r) n0 = Slice(s, i0, i1)
            t = Concat<axis=0>(n0, wide) f = Reshape(p, t) y = Gemm(f, u) }""",
        {"w": (8, 4, 1), "u": (16, 2)},
        {"w": (0, HALF), "u": (0, [2 * c + i for c in HALF for i in (0, 1)])},
    ),
    "halves cut by a computed bound": (
        """g (float[n,4] x) => (float[n,2] y) <int64[1] a = {1}, int64[1] z = {0}, int64[1] two = {2}, int64[1] all = {99}> {
            h = Gemm(x, w) s = Shape(h) k = Gather(s, a) m = Div(k, two) p = Slice(h, z, m, a) g = Slice(h, m, all, a)
            q = Sigmoid(g) r = Mul(p, q) y = Gemm(r, u) }""",
        {"w": (4, 8), "u": (4, 2)},
        {"w": (1, [1, 2, 5, 6]), "u": (0, [1, 2])},
    ),
    "a cut with bounds of 32 bits": (
        """g (float[n,4,3] x) => (float[n,2,3] y) <int32[1] a = {1}, int32[1] z = {0}, int32[1] e = {4}, int32[1] all = {99}> {
            h = Conv(x, w) p = Slice(h, z, e, a) q = Slice(h, e, all, a) r = Add(p, q) y = Conv(r, u) }""",
        {"w": (8, 4, 1), "u": (2, 4, 1)},
        {"w": (0, HALF), "u": (1, [1, 2])},
    ),
    "NaN of the shape of an output": (
        """g (float[n,4] x) => (float[n,2] y) {
            h = Gemm(x, w) r = Relu(h) z = Gemm(r, u) s = Shape(z) m = ConstantOfShape<value = float[1] {nan}>(s)
            c = Less(m, z) y = Where(c, m, z) }""",
        {"w": (4, 8), "u": (8, 2)},
        {"w": (1, HALF), "u": (0, HALF)},
    ),
    "channels that are padded": (
        """g (float[n,4,3] x) => (float[n,2,3] y) <int64[6] pads = {0, 2, 0, 0, 2, 0}> {
            h = Conv(x, w) s = Conv(x, v) p = Pad(s, pads) r = Add(h, p) y = Conv(r, u) }""",
        {"w": (8, 4, 1), "v": (4, 4, 1), "u": (2, 8, 1)},
        {"w": (0, HALF), "v": (0, [0, 3]), "u": (1, HALF)},
    ),
    "channels shuffled by a Gather": (
        """g (float[n,4,3] x) => (float[n,2,3] y) <int64[8] order = {0, 4, 1, 5, 2, 6, 3, 7}> {
            h = Conv(x, w) s = Gather<axis=1>(h, order) y = Conv(s, u) }""",
        {"w": (8, 4, 1), "u": (2, 8, 1)},
        {"w": (0, HALF), "u": (1, [2, 3, 4, 5])},
    ),
    "slopes of a PRelu": (
        "g (float[n,4,3] x) => (float[n,2,3] y) { h = Conv(x, w) p = PRelu(h, s) y = Conv(p, u) }",
        {"w": (8, 4, 1), "s": (8, 1), "u": (2, 8, 1)},
        {"w": (0, HALF), "s": (0, HALF), "u": (1, HALF)},
    ),
    "a GroupNormalization": (
        "g (float[2,4,3] x) => (float[2,2,3] y) { h = Conv(x, w) p = GroupNormalization<num_groups=4>(h, s, b) y = Conv(p, u) }",
        {"w": (8, 4, 1), "s": (8,), "b": (8,), "u": (2, 8, 1)},
        {"w": (0, [2, 3, 6, 7]), "s": (0, [2, 3, 6, 7]), "b": (0, [2, 3, 6, 7]), "u": (1, [2, 3, 6, 7])},
    ),
    "a ConvTranspose with groups": (
        "g (float[n,4,3] x) => (float[n,2,3] y) { h = Conv(x, w) p = ConvTranspose<group=2>(h, t) r = Relu(p) y = Conv(r, u) }",
        {"w": (8, 4, 1), "t": (8, 2, 1), "u": (2, 4, 1)},
        {"w": (0, [0, 3, 4, 7]), "t": (0, [0, 3, 4, 7]), "u": (1, [1, 3])},
    ),
    "an Einsum": (
        """g (float[n,4,3] x) => (float[n,5,3] y) {
            h = Einsum<equation="bct,co->bot">(x, w) r = Relu(h) y = Einsum<equation="bot,op->bpt">(r, u) }""",
        {"w": (4, 8), "u": (8, 5)},
        {"w": (1, HALF), "u": (0, HALF)},
    ),
    "pixels made of channels": (
        "g (float[n,4,2,2] x) => (float[n,2,4,4] y) { h = Conv(x, w) p = DepthToSpace<blocksize=2>(h) y = Conv(p, u) }",
        {"w": (16, 4, 1, 1), "u": (2, 4, 1, 1)},
        {"w": (0, [1, 5, 9, 13, 2, 6, 10, 14]), "u": (1, [1, 2])},
    ),
}


@pytest.mark.parametrize("canonical", ["", "canonicalize,"])
@pytest.mark.parametrize("name", CASES)
def test_units_of_zeros_go_and_nothing_changes(name: str, canonical: str) -> None:
    text, shapes, places = CASES[name]
    model, arrays = model_of(text, shapes)
    zero(model, places)
    (x,) = model.graph.inputs
    feed = {"x": RNG.uniform(0.5, 1, [d if isinstance(d, int) else 5 for d in x.shape or ()]).astype(np.float32)}
    pruned(model, feed, canonical + CHANNELS)
    left = {n: v.const_value.shape for n, v in model.graph.initializers.items() if n in places and v.const_value is not None}
    for weight, (axis, indices) in places.items():
        assert left[weight][axis] == arrays[weight].shape[axis] - len(indices), weight


def test_every_group_that_stays_has_its_reason() -> None:
    text, shapes, _ = CASES["a Linear over time"]
    report = Pipeline(CHANNELS).run(model_of(text, shapes)[0])[-1]
    assert report.details["layers"] == {"t": "8 -> 4"}
    assert report.details["kept whole"] == {
        "inputs of w": "'x' is an input of the model",
        "w": "'y' is an output of the model",
        "inputs of t": "Conv node 'c' makes this axis, and no weight",
        "u": "'y' is an output of the model",
    }


def test_a_pruned_model_that_differs_is_refused_by_group(monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule that lets channels of a Softmax go is wrong: the sum over them changes."""
    monkeypatch.setitem(AXIS_RULES, "Softmax", pointwise)
    text = "g (float[n,4] x) => (float[n,2] y) { a = Gemm(x, v) r = Relu(a) h = Gemm(r, w) s = Softmax(h) y = Gemm(s, u) }"
    model, _ = model_of(text, {"v": (4, 6), "w": (6, 8), "u": (8, 2)})
    before = ir.to_proto(model).SerializeToString()
    with pytest.raises(QGraphError, match=r"without units of 'w' \('y' differs by .*exclude="):
        Pipeline(CHANNELS).run(model)
    assert ir.to_proto(model).SerializeToString() == before


def test_a_model_that_runs_on_no_made_inputs_asks_for_data() -> None:
    text = "g (int64[2] t, float[4] x) => (float[2,1] y) { r = Reshape(x, t) h = MatMul(r, w) q = Relu(h) y = MatMul(q, u) }"
    model, _ = model_of(text, {"w": (2, 8), "u": (8, 1)})
    with pytest.raises(QGraphError, match="cannot run it on made inputs"):
        Pipeline(CHANNELS).run(model)


class Attention(nn.Module):
    """Attention whose queries share keys and values, written in the ways that models write it."""

    def __init__(self, keys: int, style: str) -> None:
        super().__init__()
        self.keys, self.style = keys, style
        self.qkv = nn.Linear(16, 16 + 8 * keys)
        self.out = nn.Linear(16, 16)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, t, _ = x.shape
        parts = self.qkv(x).split([16, 4 * self.keys, 4 * self.keys], -1)
        q, k, v = (p.view(b, t, -1, 4).transpose(1, 2) for p in parts)
        if self.style == "repeat":
            k, v = (p.repeat_interleave(4 // self.keys, 1) for p in (k, v))
        elif self.style == "expand":
            wide = (b, self.keys, 4 // self.keys, t, 4)
            k, v = (p[:, :, None].expand(wide).reshape(b, 4, t, 4) for p in (k, v))
        elif self.style == "einsum":
            q = q.reshape(b, self.keys, 4 // self.keys, t, 4)
            weights = (torch.einsum("bkgtd,bksd->bkgts", q, k) / 2).softmax(-1)
            return self.out(torch.einsum("bkgts,bksd->btkgd", weights, v).reshape(b, t, 16))
        y = nn.functional.scaled_dot_product_attention(q, k, v)
        return self.out(y.transpose(1, 2).reshape(b, t, 16))


class Packed(nn.Module):
    """nn.MultiheadAttention, over itself or over something else."""

    def __init__(self, **options: bool) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(16, 4, **options)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.attention(x, x, x, need_weights=False)[0]


HEADS = {
    "packed, batch first": (lambda: Packed(batch_first=True), 4),
    "packed, sequence first, no bias": (lambda: Packed(bias=False), 4),
    "4 heads on 2 keys, repeated": (lambda: Attention(2, "repeat"), 2),
    "4 heads on 2 keys, expanded": (lambda: Attention(2, "expand"), 2),
    "4 heads on 2 keys, Einsum": (lambda: Attention(2, "einsum"), 2),
    "4 heads on 1 key": (lambda: Attention(1, "expand"), 4),
}


@pytest.mark.parametrize("form", ["fixed", "open", "dynamo", "torchscript"])
@pytest.mark.parametrize("name", HEADS)
def test_heads_go_with_the_keys_that_they_share(name: str, form: str, tmp_path: Path) -> None:
    """Heads whose values are zero are pruned first, and change nothing."""
    torch.manual_seed(0)
    make, heads = HEADS[name]
    module, x = make().eval(), torch.randn(2, 5, 16)
    _silence_half(module)
    batch = {0: torch.export.Dim("batch")}
    if form in ("fixed", "open"):
        model = from_torch(module, (x,), dynamic_shapes=None if form == "fixed" else (batch | {1: torch.export.Dim("length")},))
    else:
        dynamic = (
            {"dynamo": True, "dynamic_shapes": (batch,)}
            if form == "dynamo"
            else {"dynamo": False, "dynamic_axes": {"x": {0: "n"}}}
        )
        torch.onnx.export(module, (x,), str(tmp_path / "m.onnx"), input_names=["x"], verbose=False, **dynamic)
        model = from_onnx(tmp_path / "m.onnx")
    feed = {model.graph.inputs[0].name or "": x.numpy()}
    report = pruned(model, feed, "canonicalize,prune-heads{ratio=0.5}")
    assert report.counts["units removed"] == heads / 2
    np.testing.assert_allclose(run_onnx(model, feed)[0], module(x).detach().numpy(), 1e-4, 1e-5)


def _silence_half(module: nn.Module) -> None:
    """Make the second half of the heads small in what they read and zero in what they give."""
    with torch.no_grad():
        if isinstance(module, Packed):
            weight, out = module.attention.in_proj_weight, module.attention.out_proj.weight
            for first in (8, 24, 40):
                weight[first : first + 8] *= 1e-3
        else:
            assert isinstance(module, Attention)
            weight, out, keys = module.qkv.weight, module.out.weight, 4 * module.keys
            weight[8:16] *= 1e-3
            if module.keys > 1:
                for first in (16, 16 + keys):
                    weight[first + keys // 2 : first + keys] *= 1e-3
        out[:, 8:] = 0
