"""The textual form of pipelines: exact round trip, and errors that help."""

from __future__ import annotations

import json
import re

import onnx_ir as ir
import onnx_ir.passes
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qgraph.errors import QGraphError
from qgraph.ir.snapshot import Snapshot, difference, take
from qgraph.pipeline import Pass, PassContext, PassReport, Pipeline, passes, register

TEXT = "canonicalize,calibrate{method=entropy percentile=99.5},quantize{weights=int4 exclude=[Gemm,*.head]}"


def test_round_trip() -> None:
    pipeline = Pipeline(TEXT)
    assert str(pipeline) == TEXT
    assert Pipeline(str(pipeline)) == pipeline


def test_list_form_equals_text() -> None:
    listed = Pipeline(
        [
            "canonicalize",
            {"calibrate": {"method": "entropy", "percentile": 99.5}},
            {"quantize": {"weights": "int4", "exclude": ["Gemm", "*.head"]}},
        ]
    )
    assert listed == Pipeline(TEXT)


@given(st.floats(0.01, 0.99), st.sampled_from(["int8", "int4", "int2", "codebook", "none"]), st.integers(0, 512))
def test_round_trip_of_values(alpha: float, weights: str, block: int) -> None:
    text = str(Pipeline([{"smooth-quant": {"alpha": alpha}}, {"quantize": {"weights": weights, "weight-block": block}}]))
    assert str(Pipeline(text)) == text
    assert Pipeline(text).passes[0].options.alpha == alpha


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("canonicalise", "did you mean 'canonicalize'"),
        ("quantize{weigths=int8}", "did you mean 'weights'"),
        ("quantize{weights=int9}", "choose from int8, int4, int2, codebook, none"),
        ("quantize{weight-block=many}", "a value of type int"),
        ("quantize{weights}", "write option=value"),
        ("canonicalize,", "ends with a comma"),
        ("canonicalize;quantize", "cannot read the pipeline at character"),
    ],
)
def test_errors_say_what_to_do(text: str, message: str) -> None:
    with pytest.raises(QGraphError, match=re.escape(message)):
        Pipeline(text)


def test_every_pass_describes_itself() -> None:
    for name, cls in passes().items():
        assert cls.__doc__, name
        assert issubclass(cls, ir.passes.PassBase)
        assert str(Pipeline(name)) == name


def test_data_is_asked_for_before_anything_runs() -> None:
    model = ir.from_onnx_text('<ir_version: 10, opset_import: ["" : 21]> g (float[2] x) => (float[2] y) { y = Relu(x) }')
    with pytest.raises(QGraphError, match="needs real calibration data"):
        Pipeline("canonicalize,calibrate").run(model)
    with pytest.raises(QGraphError, match="empty calibration data"):
        Pipeline("calibrate").run(model, PassContext(data=[]))


def test_third_party_pass_and_record_of_the_graph() -> None:
    @register("test-drop-relu")
    class DropRelu(Pass):
        """Remove every Relu."""

        def apply(self, model: ir.Model, report: PassReport) -> None:
            for node in list(model.graph):
                if node.op_type == "Relu":
                    ir.convenience.replace_all_uses_with(node.outputs[0], node.inputs[0], replace_graph_outputs=True)
                    model.graph.remove(node, safe=True)
                    report.count("relus")

    text = '<ir_version: 10, opset_import: ["" : 21]> g (float[2] x) => (float[2] y) { a = Relu(x) y = Abs(a) }'
    model = ir.from_onnx_text(text)
    before = take(model)
    (report,) = Pipeline("test-drop-relu").run(model, PassContext(record=True))
    assert report.counts == {"relus": 1}
    after = Snapshot.from_json(json.loads(json.dumps(report.graph)))
    change = difference(before, after)
    assert [n.op for n in after.nodes] == ["Abs"] and after.values["y"].shape == "[2]"
    assert (change.added, change.removed, change.changed) == ([], ["a"], ["y"])
