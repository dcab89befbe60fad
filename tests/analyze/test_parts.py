"""Outputs that join values of different ranges are compared range by range."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from qgraph.analyze.compare import compare
from qgraph.errors import QGraphError
from qgraph.workflow import transform
from tests.passes.graphs import model_of

RNG = np.random.default_rng(0)
BEHIND = {  # what stands between a join t [1,6,4] and the output y
    "nothing": "y = Identity(t)",
    "Transpose": "y = Transpose<perm=[0,2,1]>(t)",
    "Reshape": "y = Reshape(t, flat)",
    "Slice": "s = Transpose<perm=[2,1,0]>(t) y = Slice(s, one, three)",
    "a second join": "u = Transpose<perm=[0,2,1]>(t) y = Concat<axis=1>(u, u)",
    "Split and another order": "p, q = Split<axis=1, num_outputs=2>(t) y = Concat<axis=1>(q, p)",
}
JOIN = """g (float[1,2,4] big, float[1,4,4] small) => (float[{out}] y)
  <int64[1] flat = {{-1}}, int64[1] one = {{1}}, int64[1] three = {{3}}> {{
    a = {big} b = {small} t = Concat<axis=1>(a, b) {behind} }}"""
SHAPES = {"nothing": "1,6,4", "Transpose": "1,4,6", "Reshape": "24", "Slice": "2,6,1", "a second join": "1,8,6"}


def models(behind: str) -> tuple[ir.Model, ir.Model]:
    """A model whose output joins two inputs, and one that makes ones of the second."""
    out, text = SHAPES.get(behind, "1,6,4"), BEHIND[behind]
    first, second = (
        model_of(JOIN.format(out=out, big="Relu(big)", small=small, behind=text)) for small in ("Relu(small)", "Ceil(small)")
    )
    return first, second


@pytest.mark.parametrize("behind", BEHIND)
def test_each_range_has_its_sqnr(behind: str) -> None:
    feed = {
        "big": RNG.uniform(200, 300, (1, 2, 4)).astype(np.float32),
        "small": RNG.uniform(0.2, 0.9, (1, 4, 4)).astype(np.float32),
    }
    small, big = compare(*models(behind), [feed, feed]).groups
    of_small = feed["small"][:, :, 1:3] if behind == "Slice" else feed["small"]
    of_big = feed["big"][:, :, 1:3] if behind == "Slice" else feed["big"]
    assert small.name == "y (part b)" and big.name == "y (part a)"
    assert np.isclose(small.sqnr, 10 * np.log10((of_small**2).sum() / ((of_small - 1) ** 2).sum()), rtol=1e-5)
    times = 4 if behind == "a second join" else 2
    assert (small.count, big.count) == (times * of_small.size, times * of_big.size)
    assert big.sqnr == np.inf and big.peak == of_big.max() and small.peak == of_small.max()


def test_like_ranges_are_one_group() -> None:
    feed = {"big": np.full((1, 2, 4), 2, np.float32), "small": np.full((1, 4, 4), 0.5, np.float32)}
    assert compare(*models("nothing"), [feed]).groups == []


def test_an_output_that_loses_a_range_is_refused() -> None:
    """One quantizer of 4 bits in front of the join leaves nothing of the small half, and the SQNR of the whole is 20 dB."""
    text = """g (float[1,6,4] x) => (float[1,6,4] y) <int64[2] sizes = {2, 4}, float[1,6,1] w = {300, 300, 1, 1, 1, 1}> {
        m = Mul(x, w) p, q = Split<axis=1>(m, sizes) y = Concat<axis=1>(p, q) }"""
    feed = {"x": RNG.uniform(0, 1, (1, 6, 4)).astype(np.float32)}
    with pytest.raises(QGraphError, match=r"output y \(part q\) -?\d"):
        transform(model_of(text), "calibrate,quantize{activations=uint4}", data=[feed])
    report = transform(model_of(text), "calibrate,quantize{activations=uint4}", data=[feed], force=True)
    assert set(report.output_sqnr) == {"y", "y (part p)", "y (part q)"} and report.output_sqnr["y"] > 10
