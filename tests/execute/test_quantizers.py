"""Fake quantizers: values of ONNX's definition, gradients of the papers' equations, and codes that ship unchanged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from qgraph.capture import from_factory
from qgraph.deploy.onnxruntime import export
from qgraph.deploy.program import compile
from qgraph.deploy.session import Session
from qgraph.errors import QGraphError
from qgraph.execute import from_torch, to_torch
from qgraph.execute.onnxruntime import session
from qgraph.execute.quantizers import FakeQuantize, bucket_quantize, fake_quantize, fake_quantize_tokens, least_squares_scale
from qgraph.ir import io
from qgraph.ir.ops.fake_quantize_tokens import reference
from qgraph.numerics.affine import INT_TYPES, QParams, dequantize, quantize, weight_params
from qgraph.pipeline import PassContext, Pipeline
from qgraph.zoo.digits import digits_data, split

KINDS = st.sampled_from(["int2", "uint2", "int4", "uint4", "int8", "uint8", "int16"])


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**31), KINDS, st.sampled_from(["tensor", "channel", "block"]))
def test_values_are_those_of_the_numpy_quantizer(seed: int, name: str, form: str) -> None:
    rng, kind = np.random.default_rng(seed), INT_TYPES[name]
    x = (rng.standard_normal((6, 10)) * 3).astype(np.float32)
    shape = {"tensor": (), "channel": (10,), "block": (2, 10)}[form]
    scale = rng.uniform(0.01, 1, shape).astype(np.float32)
    zero = rng.integers(kind.qmin, kind.qmax + 1, shape)
    axis, block = {"tensor": (None, 0), "channel": (1, 0), "block": (0, 4)}[form]
    params = QParams(kind, scale, np.asarray(zero, kind.container), axis, block)
    wanted = dequantize(quantize(x, params), params)
    steps, points = torch.from_numpy(np.asarray(scale)), torch.from_numpy(np.asarray(zero, np.float32))
    found = fake_quantize(torch.from_numpy(x), steps, points, kind, axis, block)
    np.testing.assert_array_equal(found.numpy(), wanted)


def test_gradients_are_those_of_lsq() -> None:
    kind, s = INT_TYPES["int4"], torch.tensor(0.5, requires_grad=True)
    x = torch.tensor([-9.0, -1.3, 0.2, 0.9, 7.0], requires_grad=True)
    fake_quantize(x, s, torch.tensor(0.0), kind).sum().backward()
    ratio = x.detach() / 0.5
    inside = (ratio >= -8) & (ratio <= 7)
    assert torch.equal(x.grad, inside.float())  # type: ignore[arg-type]
    wanted = torch.where(inside, torch.round(ratio) - ratio, ratio.clamp(-8, 7)).sum()  # Esser et al. 2020, equation 3
    torch.testing.assert_close(s.grad, wanted)


def test_step_gradient_is_scaled_and_freezing_stops_it() -> None:
    module = FakeQuantize(torch.tensor([0.1, 0.2]), torch.zeros(2), INT_TYPES["int4"], 0, 0, "learned")
    x = torch.randn(2, 30)
    module(x).square().sum().backward()
    raw = torch.tensor([0.1, 0.2], requires_grad=True)
    fake_quantize(x, raw, torch.zeros(2), INT_TYPES["int4"], 0).square().sum().backward()
    torch.testing.assert_close(module.scale.grad, raw.grad / (30 * 7) ** 0.5)  # type: ignore[operator]
    module.frozen, module.scale.grad = True, None
    module(x.requires_grad_()).sum().backward()
    assert module.scale.grad is None


def test_offset_and_pact_gradients() -> None:
    kind = INT_TYPES["uint4"]
    zero = torch.tensor(3.0, requires_grad=True)
    x = torch.tensor([-10.0, 0.4, 10.0])
    fake_quantize(x, torch.tensor(0.5), zero, kind).sum().backward()
    assert zero.grad == -1.0  # two values lie outside, each moves by -s
    module = FakeQuantize(torch.tensor(0.4), torch.tensor(0.0), kind, ranges="pact")
    y = module(torch.tensor([1.0, 5.0, 7.0, 8.0]))  # alpha = 6
    y.sum().backward()
    torch.testing.assert_close(y[2:], torch.tensor([6.0, 6.0]))
    torch.testing.assert_close(module.scale.grad, torch.tensor(2 * 15.0))  # d alpha / d s = 15; two values are clipped


@pytest.mark.parametrize("block", [0, 4])
def test_least_squares_start_is_never_worse_than_the_widest(block: int) -> None:
    rng = np.random.default_rng(0)
    w = rng.standard_t(3, (12, 5)).astype(np.float32)
    params = weight_params(w, INT_TYPES["int2"], 0 if block else 1, block=block)
    like, zero = torch.from_numpy(params.scale), torch.zeros(params.scale.shape)
    found = least_squares_scale(torch.from_numpy(w), zero, params.type, like, params.axis, block)
    best, widest = (
        (fake_quantize(torch.from_numpy(w), s, zero, params.type, params.axis, block) - torch.from_numpy(w)).square().sum()
        for s in (found, like)
    )
    assert best < 0.7 * widest


def test_tokens_equal_the_definition() -> None:
    x, channel = np.random.default_rng(0).standard_normal((3, 7)).astype(np.float32), np.ones(1, np.float32)
    x[1] = 0
    codes, scale = reference(x, channel)
    found = fake_quantize_tokens(torch.from_numpy(x), torch.from_numpy(channel)).numpy()
    np.testing.assert_array_equal(found, (codes.astype(np.float32) - 128) * scale)


@pytest.mark.parametrize(
    ("bits", "bucket", "wanted"), [(2, 0, 0.72), (2, 256, 0.30), (2, 64, 0.20), (4, 0, 0.026), (4, 256, 0.012), (4, 64, 0.008)]
)
def test_buckets_help_as_measured(bits: int, bucket: int, wanted: float) -> None:
    torch.manual_seed(0)
    w = torch.randn(65536)
    assert (bucket_quantize(w, bits, bucket) - w).square().mean() == pytest.approx(wanted, rel=0.15)


def test_stochastic_rounding_is_unbiased() -> None:
    torch.manual_seed(0)
    w = torch.tensor([0.0, 0.31, 1.0]).repeat(20000, 1).reshape(-1)
    found = bucket_quantize(w, 2, 0, stochastic=True)[1::3]
    assert abs(float(found.mean()) - 0.31) < 4 * float(found.std()) / len(found) ** 0.5


@pytest.mark.parametrize(
    ("weights", "ranges", "least"),
    [("int8", "fixed", 0.98), ("int4", "learned", 0.98), ("int2", "learned", 0.96), ("int4", "minmax", 0.97)],
)
def test_what_is_trained_is_what_ships(tmp_path: Path, weights: str, ranges: str, least: float) -> None:
    model = from_factory("qgraph.zoo:digits_cnn")
    text = f"canonicalize,fold-batchnorm,fuse-bias,calibrate,quantize{{weights={weights} latent=true}}"
    Pipeline(text).run(model, PassContext(data=list(digits_data())))
    module = to_torch(model, weights=ranges)  # type: ignore[arg-type]
    images, labels, test, truth = split()
    x, y = torch.from_numpy(images), torch.from_numpy(labels)
    torch.manual_seed(0)
    optimizer = torch.optim.AdamW(module.train().parameters(), lr=2e-3)
    for _ in range(4):
        for batch in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(module(x[batch])[next(iter(model.graph.outputs)).name], y[batch]).backward()
            optimizer.step()
    with torch.no_grad():
        simulated = next(iter(module.eval()(torch.from_numpy(test)).values())).numpy()
    from_torch(module, model)
    Pipeline("bake").run(model)
    export(model, tmp_path / "ort.onnx")
    compile(model, tmp_path / "net.qgp")
    deployed = session(io.load(tmp_path / "ort.onnx")).run(None, {"input": test})[0]
    shipped = next(iter(Session(tmp_path / "net.qgp").run({"input": test}).values()))
    assert (simulated.argmax(1) == truth).mean() >= least
    exact = to_torch(model, exact=True)(torch.from_numpy(test[:40]))
    assert next(iter(exact.values())).numpy().tobytes() == shipped[:40].tobytes()
    for other in (deployed, shipped):
        assert (other.argmax(1) == simulated.argmax(1)).mean() >= 0.995
        assert np.sum(other * simulated) / np.linalg.norm(other) / np.linalg.norm(simulated) >= 0.9995


def test_two_bit_latents_are_refused_by_onnx_runtime_in_words() -> None:
    model = from_factory("qgraph.zoo:digits_cnn")
    text = "canonicalize,fold-batchnorm,fuse-bias,calibrate,quantize{weights=int2 latent=true}"
    Pipeline(text).run(model, PassContext(data=list(digits_data())))
    with pytest.raises(QGraphError, match="run the pass 'bake' first"):
        session(model)
