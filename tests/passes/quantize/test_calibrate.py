"""Measured ranges, seen in the scales that ``quantize`` makes of them, against plain NumPy on the same data."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from qgraph.errors import QGraphError
from qgraph.execute.onnxruntime import session
from qgraph.pipeline import PassContext, Pipeline
from tests.passes.graphs import model_of, quantizers

RNG = np.random.default_rng(0)
LINEAR = "g (float[n,2] x) => (float[n,2] y) <float[2,2] w = {1, 2, 3, 4}> { y = MatMul(x, w) }"
Feed = dict[str, np.ndarray]


def ranges(
    text: str, data: list[Feed], calibrate: str = "calibrate", quantize: str = "quantize"
) -> dict[str, tuple[float, float]]:
    """By value, the interval that its quantizer covers."""
    model = model_of(text)
    Pipeline(f"{calibrate},{quantize}").run(model, PassContext(data=data))
    covered = {}
    for name, (kind, scale, zero) in quantizers(model).items():
        top = {"uint8": 255, "uint4": 15, "int16": 32767}[kind]
        least = 0 if kind[0] == "u" else -top
        covered[name] = (float(scale) * (least - int(zero)), float(scale) * (top - int(zero)))
    return covered


def covered(data: np.ndarray | list[np.ndarray], calibrate: str) -> tuple[float, float]:
    batches = data if isinstance(data, list) else [data]
    return ranges(LINEAR, [{"x": b.reshape(-1, 2).astype(np.float32)} for b in batches], calibrate)["x"]


def near(found: tuple[float, float], low: float, high: float) -> bool:
    """Equal up to the rounding of the zero point, which moves both ends by at most half a step."""
    step = (high - low) / 255
    return abs(found[0] - low) <= 0.51 * step and abs(found[1] - high) <= 0.51 * step


def heavy(count: int, seed: int = 0) -> np.ndarray:
    """Long tails: a few values far from the others."""
    return np.random.default_rng(seed).standard_t(3, count)


def test_minmax_is_that_of_all_batches() -> None:
    batches = [RNG.uniform(-a, b, 40) for a, b in ((1, 2), (3, 1), (2, 5))]
    every = np.concatenate(batches)
    assert near(covered(batches, "calibrate"), every.min(), every.max())


def test_zero_is_always_in_the_range() -> None:
    low, high = covered(RNG.uniform(2, 3, 40), "calibrate")
    assert low == 0 and 2.9 < high < 3.001


def test_moving_average_of_the_extremes_of_batches() -> None:
    batches = [RNG.uniform(-a, b, 400) for a, b in ((1, 2), (3, 1), (2, 5), (0.5, 0.5))]
    low, high = batches[0].min(), batches[0].max()
    for batch in batches[1:]:
        low, high = 0.75 * low + 0.25 * batch.min(), 0.75 * high + 0.25 * batch.max()
    assert near(covered(batches, "calibrate{method=moving-average momentum=0.75}"), low, high)


@pytest.mark.parametrize("percentile", [99.0, 99.9])
def test_percentile_cuts_both_tails(percentile: float) -> None:
    x = heavy(20000)
    found = covered(x, f"calibrate{{method=percentile percentile={percentile}}}")
    tail = (1 - percentile / 100) / 2
    slack = np.abs(x).max() / 2048 + (found[1] - found[0]) / 255  # a bin of the histogram, and a step
    for side, end in ((-x, -found[0]), (x, found[1])):
        assert (side > end + slack).mean() <= tail <= (side > end - slack).mean()


def rounding_error(x: np.ndarray, low: float, high: float, top: int = 255) -> float:
    """Squared error of ``x`` in ``top`` equal steps over [low, high]."""
    step = (high - low) / top
    return float(((low + step * np.clip(np.round((x - low) / step), 0, top) - x) ** 2).sum())


def test_mse_finds_the_clip_of_least_squared_error() -> None:
    x = np.concatenate([RNG.standard_normal(200000), [-30, 40]])
    low, high = covered(x, "calibrate{method=mse}")
    tried = [rounding_error(x, x.min() * f, x.max() * f) for f in np.linspace(0.05, 1, 400)]
    assert rounding_error(x, low, high) < 1.03 * min(tried)
    assert rounding_error(x, low, high) < 0.8 * rounding_error(x, x.min(), x.max())  # min-max is far from the best


@pytest.mark.parametrize("method", ["mse", "entropy"])
def test_codes_of_4_bits_have_a_clip_of_their_own(method: str) -> None:
    """The best one for 16 codes is far inside of that for 256, which is chosen for the input."""
    text = "g (float[n,2] x) => (float[n,2] y) <float[2,2] w = {1, 0, 0, 1}> { h = LeakyRelu<alpha=1.0>(x) y = MatMul(h, w) }"
    x = heavy(200000)
    found = ranges(
        text, [{"x": x.reshape(-1, 2).astype(np.float32)}], f"calibrate{{method={method}}}", "quantize{activations=uint4}"
    )
    (low, high), wide = found["h"], found["x"]
    assert high - low < 0.7 * (wide[1] - wide[0])
    if method == "mse":
        tried = [rounding_error(x, x.min() * f, x.max() * f, 15) for f in np.linspace(0.2, 1, 81)]
        assert rounding_error(x, low, high, 15) < 1.1 * min(tried) < 0.5 * rounding_error(x, *wide, 15)


def test_mse_does_not_cut_what_is_uniform() -> None:
    x = RNG.uniform(-2, 2, 20000)
    assert near(covered(x, "calibrate{method=mse}"), x.min(), x.max())


def divergence(counts: np.ndarray, size: int) -> float:
    """Migacz 2017: KL divergence of the first ``size`` bins, the rest clipped into the last, from their form in 128 levels."""
    clipped = counts[:size].astype(float)
    clipped[-1] += counts[size:].sum()
    quantized = np.zeros(size)
    for level in range(128):
        start, end = -(-level * size // 128), -(-(level + 1) * size // 128)
        part = counts[start:end]
        if (part > 0).any():
            quantized[start:end][part > 0] = part.sum() / (part > 0).sum()
    p, q = clipped / clipped.sum(), (quantized + 1e-12) / (quantized + 1e-12).sum()
    return float(sum(a * np.log(a / b) for a, b in zip(p, q, strict=True) if a > 0))


def test_entropy_finds_the_clip_of_least_divergence() -> None:
    x = np.concatenate([RNG.laplace(0, 1, 20000), [-100, 100]])
    low, high = covered(x, "calibrate{method=entropy}")
    edge = np.abs(x).max() / 2048
    counts, _ = np.histogram(np.abs(x), 2048, (0, np.abs(x).max()))
    sizes = range(128, 2049, 8)
    best = min(divergence(counts, size) for size in sizes)
    chosen = min(sizes, key=lambda size: abs(size * edge - high))
    assert divergence(counts, chosen) == pytest.approx(best)
    assert high < 20 and abs(low + high) < 0.2  # far outliers are cut, on both sides alike


def test_masks_never_set_a_range() -> None:
    text = """g (float[2,4] x) => (float[2,4] y) <float[4] mask = {0, 0, -1e30, 0}> {
        m = Add(x, mask) s = Softmax(m) y = Mul(s, x) }"""
    x = RNG.standard_normal((2, 4)).astype(np.float32)
    for method in ("minmax", "percentile", "entropy", "mse"):
        found = ranges(text, [{"x": x}], f"calibrate{{method={method}}}", "quantize{activations=uint8}")
        assert set(found) >= {"x", "s"} and all(low > -5 and high < 5 for low, high in found.values()), method


def test_a_value_computed_through_a_mask_keeps_the_range_of_its_finite_elements() -> None:
    text = """g (float[1,4] x) => (float[1,4] y) <float[4] mask = {0, 0, -1e30, 0}, float[4,4] w = {
        1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4}> { m = Add(x, mask) y = MatMul(m, w) }"""
    found = ranges(text, [{"x": np.array([[-1, 2, 3, 1]], np.float32)}], quantize="quantize{placement=linear activations=uint8}")
    assert near(found["m"], -1, 2)


@pytest.mark.parametrize("fill", ["nan", "inf", "-inf", "-1e30"])
def test_what_a_tensor_is_filled_with_never_sets_a_range(fill: str) -> None:
    # the fill stands where nothing is known; here everything is, and so the answer is finite
    text = """g (float[n,2] x, bool[n,2] known) => (float[n,2] y) <float[2,2] w = {1, 2, 3, 4}> {
        s = Shape(x) none = ConstantOfShape(s) m = MatMul(x, w) y = Where(known, m, none) }"""
    model = model_of(text)
    (node,) = (n for n in model.graph if n.op_type == "ConstantOfShape")
    node.attributes.add(ir.AttrTensor("value", ir.tensor(np.array([float(fill)], np.float32))))
    x = RNG.standard_normal((8, 2)).astype(np.float32)
    data = [{"x": x, "known": np.arange(16).reshape(8, 2) < 9}]
    Pipeline("calibrate,quantize").run(model, PassContext(data=data))
    assert set(quantizers(model)) == {"x", "m"}
    (got,) = session(model).run(None, data[0])
    known = data[0]["known"]
    np.testing.assert_array_equal(got[~known], np.full(7, float(fill), np.float32))
    wanted = x @ np.array([[1, 2], [3, 4]], np.float32)
    np.testing.assert_allclose(got[known], wanted[known], atol=0.1)


def test_ranges_of_views_are_those_of_their_source() -> None:
    text = """g (float[2,3] x) => (float[3,2] y) { t = Transpose<perm=[1,0]>(x) r = Neg(t) y = Exp(r) }"""
    x = np.array([[-3, 2, 1], [0.5, 4, -1]], np.float32)
    found = ranges(text, [{"x": x}], quantize="quantize{activations=uint4}")  # x has 8 bits, so t cannot take its scale over
    assert near(found["x"], -3, 4)
    assert abs(found["t"][0] + 3) < 0.5 * 7 / 15 and abs(found["t"][1] - 4) < 0.5 * 7 / 15


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_refused_with_its_place(value: float) -> None:
    text = "g (float[n,2] x) => (float[n,2] y) { a = Sqrt(x) y = Relu(a) }"
    if np.isnan(value):
        with pytest.raises(QGraphError, match=r"data batch 2 gives NaN or infinity at .*Sqrt"):
            ranges(text, [{"x": np.ones((1, 2), np.float32)}, {"x": -np.ones((1, 2), np.float32)}])
    else:
        with pytest.raises(QGraphError, match=r"data batch 1: input 'x' holds NaN or infinity"):
            ranges(text, [{"x": np.full((1, 2), value, np.float32)}])


def test_it_reports_what_it_saw() -> None:
    model = model_of(LINEAR)
    (report,) = Pipeline("calibrate").run(model, PassContext(data=[{"x": np.ones((1, 2), np.float32)}] * 3))
    assert report.counts == {"values measured": 2, "batches": 3}


def test_batches_without_a_sample_are_refused() -> None:
    model = model_of("g (float[n,4] x) => (float[n,4] y) { y = Relu(x) }")
    empty, some = ({"x": np.zeros((n, 4), np.float32)} for n in (0, 2))
    with pytest.raises(QGraphError, match="the data hold no element"):
        Pipeline("calibrate").run(model, PassContext(data=[empty]))
    Pipeline("calibrate").run(model, PassContext(data=[empty, some]))
