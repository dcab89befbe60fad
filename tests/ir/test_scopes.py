"""Names that options choose by: globs, names that hold brackets, and globs that match nothing."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from qgraph.errors import QGraphError
from qgraph.ir.scopes import check_globs, chosen, fits
from qgraph.pipeline import PassContext, Pipeline
from tests.passes.graphs import model_of


@pytest.mark.parametrize(
    ("name", "glob", "wanted"),
    [
        ("head.weight", "head.*", True),
        ("head.weight", "head", False),
        ("blocks[0].weight", "blocks[0].weight", True),
        ("blocks0.weight", "blocks[0].weight", True),  # a glob: one of the characters in brackets
        ("blocks[0].weight", "blocks[[]0].*", True),
        ("blocks[1].weight", "blocks[[]0].*", False),
    ],
)
def test_a_name_fits_itself_and_its_globs(name: str, glob: str, wanted: bool) -> None:
    assert fits(name, glob) == wanted
    assert chosen([name], (glob,), ()) == wanted


def test_globs_that_match_nothing_name_the_nearest() -> None:
    names = ["encoder.layer.0.weight", "encoder.layer.1.weight", "head.bias"]
    check_globs(("encoder.*", "head.bias"), names, "here")
    with pytest.raises(
        QGraphError, match=r"^here: 'encoder.layers.0.weight' matches no name .* nearest are 'encoder.layer.0.weight'"
    ):
        check_globs(("head.bias", "encoder.layers.0.weight"), names, "here")


def masked_model() -> ir.Model:
    weight = ", ".join(map(str, np.arange(1, 9)))
    return model_of(
        f"g (float[n,2] x) => (float[n,2] y) <float[2,4] w = {{{weight}}}, float[4,2] u = {{{weight}}}> "
        "{ h = MatMul(x, w) r = Relu(h) y = MatMul(r, u) }"
    )


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("prune-channels{include=[v]}", "v"),
        ("prune-channels{exclude=[weights.*]}", "weights.*"),
        ("prune-magnitude{exclude=[w,ww]}", "ww"),
        ("calibrate,quantize{exclude=[MatMull]}", "MatMull"),
        ("calibrate,quantize{include=[MatMul,Conv]}", "Conv"),
        ("attach-taps{at=[rr]}", "rr"),
    ],
)
def test_passes_refuse_globs_that_match_nothing(text: str, wrong: str) -> None:
    context = PassContext(data=[{"x": np.ones((3, 2), np.float32)}])
    with pytest.raises(QGraphError, match=f"{wrong!r} matches no name".replace("*", r"\*")):
        Pipeline(text).run(masked_model(), context)
