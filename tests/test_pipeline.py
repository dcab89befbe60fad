"""The textual form of pipelines: exact round trip, and errors that help."""

from __future__ import annotations

import json
import re

import numpy as np
import onnx_ir as ir
import onnx_ir.passes
import onnx_ir.passes.common as common
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qgraph.analyze.compare import compare
from qgraph.capture import from_factory
from qgraph.errors import QGraphError
from qgraph.execute.onnxruntime import session
from qgraph.ir.snapshot import Snapshot, difference
from qgraph.pipeline import AnalysisState, MeasuredRange, Pass, PassContext, PassReport, Pipeline, passes, register
from qgraph.workflow import transform
from tests.passes.graphs import model_of

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


@pytest.mark.parametrize("names", [("blocks[0].w", "head"), ("a, b", "c{1}"), ('say "x"',), ("it's",), ("plain.*", "[[]0]")])
def test_names_with_brackets_stand_in_quotes(names: tuple[str, ...]) -> None:
    text = str(Pipeline([{"quantize": {"exclude": list(names)}}]))
    assert Pipeline(text).passes[0].options.exclude == names
    assert str(Pipeline(text)) == text


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
        ("quantize{exclude=[a[0], b]}", "in quotes"),
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
    before = Snapshot.of(model)
    (report,) = Pipeline("test-drop-relu").run(model, PassContext(record=True))
    assert report.counts == {"relus": 1}
    after = Snapshot.from_json(json.loads(json.dumps(report.graph)))
    change = difference(before, after)
    assert [n.op for n in after.nodes] == ["Abs"] and after.values["y"].shape == "[2]"
    assert (change.added, change.removed, change.changed) == ([], ["a"], ["y"])


HEAD = '<ir_version: 10, opset_import: ["" : 21, "local" : 1]>\n'
FUNCTION = """<domain: "local", opset_import: ["" : 21]> Twice (a) => (b) { b = Add(a, a) }"""
SMALL = (
    HEAD
    + """g (float[n,2] x) => (float[n,3] y) <float[2,3] w = {1, 2, 3, 4, 5, 6}, float[3] c = {1, -1, 1}>
    { m = MatMul(x, w) s = Add(m, c) r = Relu(s) t = local.Twice(r) y = Abs(t) }\n"""
    + FUNCTION
)
DATA = [{"x": np.array([[1, 2], [-3, 4]], np.float32)}]


def small() -> ir.Model:
    model = ir.from_onnx_text(SMALL)
    model.metadata_props["made by"] = "hand"
    common.ShapeInferencePass()(model)
    return model


def serialized(model: ir.Model) -> bytes:
    return ir.to_proto(model).SerializeToString(deterministic=True)


@register("test-ruin")
class Ruin(Pass):
    """Change everything that a model shares with its clone, and then fail."""

    error: BaseException = QGraphError("ruined")

    def apply(self, model: ir.Model, report: PassReport) -> None:
        for number, value in enumerate(list(model.graph.initializers.values())):
            value.name = f"other_{number}"
            value.const_value = ir.Tensor(np.zeros(3, np.float32), name=value.name)
        for node in list(model.graph):
            node.name, node.outputs[0].name, node.outputs[0].dtype = "other", "other", ir.DataType.DOUBLE
            node.metadata_props["ruined"] = "yes"
        model.graph.outputs.clear()
        model.graph.opset_imports[""] = 5
        model.metadata_props.clear()
        model.functions.clear()
        model.producer_name = "nobody"
        self.context.state.ranges["y"] = MeasuredRange(0, 0, 0, 0)
        raise self.error


@pytest.mark.parametrize("error", [QGraphError("ruined"), ValueError("a bug"), KeyboardInterrupt()])
@pytest.mark.parametrize("front", ["", "canonicalize,calibrate,quantize,"])
def test_a_pipeline_that_fails_leaves_the_model_as_it_was(
    error: BaseException, front: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ruin, "error", error)
    model, context = small(), PassContext(data=DATA)
    before, weight = serialized(model), model.graph.initializers["w"]
    with pytest.raises(type(error)):
        Pipeline(f"{front}test-ruin").run(model, context)
    assert serialized(model) == before
    assert context.state == AnalysisState()
    assert model.graph.initializers["w"] is not weight  # the passes had the graph itself


def test_a_failure_after_real_passes_leaves_a_real_model_and_its_weights_uncopied() -> None:
    model = from_factory("qgraph.zoo:digits_cnn")
    before = serialized(model)
    arrays = {name: v.const_value.numpy() for name, v in model.graph.initializers.items()}  # type: ignore[union-attr]
    with pytest.raises(QGraphError, match="put it behind 'quantize'"):
        Pipeline("canonicalize,fold-batchnorm,fuse-bias,prune-channels,bias-correction").run(model)
    assert serialized(model) == before
    for name, value in model.graph.initializers.items():
        assert np.shares_memory(value.const_value.numpy(), arrays[name])  # type: ignore[union-attr]


def test_a_transform_that_loses_too_much_leaves_the_model_as_it_was() -> None:
    model = small()
    before = serialized(model)
    with pytest.raises(QGraphError, match="the result lost too much"):
        transform(model, "canonicalize,calibrate,quantize", data=DATA, min_sqnr=1e3)
    assert serialized(model) == before
    report = transform(model, "canonicalize,calibrate,quantize", data=DATA, min_sqnr=1e3, force=True)
    assert serialized(model) != before and report.output_sqnr["y"] < 1e3


def test_an_output_whose_length_follows_from_values_is_refused_and_forced() -> None:
    model = model_of("""g (float[200,1] x) => (float[k] y) <float[1,1] w = {1}, float t = {0.47}, int64[1] flat = {-1}> {
        h = MatMul(x, w) keep = Greater(h, t) v = Reshape(h, flat) b = Reshape(keep, flat) y = Compress(v, b) }""")
    float_model = model.clone()
    data = [{"x": np.linspace(-1, 1, 200, dtype=np.float32)[:, None]}]
    with pytest.raises(QGraphError, match=r"the result lost too much: output y -inf dB"):
        transform(model, preset="int8", data=data)
    report = transform(model, preset="int8", data=data, force=True)
    assert report.output_sqnr == {"y": float("-inf")}
    (got,) = session(model).run(None, data[0])
    assert got.shape != (53,)  # as many as are over 0.47 in float
    with pytest.raises(QGraphError, match=r"output 'y' has shape \[53\] in one model and \[\d+\] in the other"):
        compare(float_model, model, data)


def test_a_pipeline_that_succeeds_changes_the_model_that_was_given() -> None:
    model = small()
    x, y, w = model.graph.inputs[0], model.graph.outputs[0], model.graph.initializers["w"]
    Pipeline("canonicalize").run(model)
    assert (model.graph.inputs[0], model.graph.outputs[0], model.graph.initializers["w"]) == (x, y, w)
    assert not model.functions and [n.op_type for n in model.graph] == ["MatMul", "Add", "Relu", "Add", "Abs"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("calibrate,bias-correction", "needs the float model; put it behind 'quantize'"),
        ("canonicalize,quantize", "has no measured range; put 'calibrate' (with data) before 'quantize'"),
        ("canonicalize,calibrate,quantize,lower,lower", "is in the integer dialect already; take 'lower' out"),
        ("canonicalize,calibrate,quantize,prune-magnitude", "put it in front of 'quantize'"),
        ("canonicalize,prune-magnitude,calibrate,quantize{latent=true},finalize-pruning", "run 'bake', which folds them"),
    ],
)
def test_passes_refuse_a_model_that_they_cannot_take_before_they_change_it(text: str, message: str) -> None:
    model = small()
    before, pipeline = serialized(model), Pipeline(text)
    applied: list[str] = []
    pipeline.passes[-1].apply = lambda model, report: applied.append("last")  # type: ignore[method-assign]
    with pytest.raises(QGraphError, match=re.escape(message)):
        pipeline.run(model, PassContext(data=DATA))
    assert not applied and serialized(model) == before


def test_what_requires_and_ensures_raise_names_the_pass() -> None:
    @register("test-picky")
    class Picky(Pass):
        """Want a Sigmoid, promise a Tanh."""

        def requires(self, model: ir.Model) -> None:
            if not any(n.op_type == "Relu" for n in model.graph):
                raise ir.passes.PreconditionError("no Relu")

        def ensures(self, model: ir.Model) -> None:
            assert any(n.op_type == "Tanh" for n in model.graph), "no Tanh"

        def apply(self, model: ir.Model, report: PassReport) -> None:
            next(n for n in model.graph if n.op_type == "Relu").op_type = "Elu"

    model = small()
    before = serialized(model)
    with pytest.raises(QGraphError, match="pass 'test-picky' left a model that is not what it promises: no Tanh"):
        Pipeline("test-picky").run(model)
    assert serialized(model) == before
    Pipeline("test-drop-relu-again").run(model)
    with pytest.raises(QGraphError, match="pass 'test-picky' cannot take this model: no Relu"):
        Pipeline("test-picky").run(model)


@register("test-drop-relu-again")
class DropReluAgain(Pass):
    """Make every Relu an Abs."""

    def apply(self, model: ir.Model, report: PassReport) -> None:
        for node in model.graph:
            node.op_type = "Abs" if node.op_type == "Relu" else node.op_type


@register("test-rename")
class Rename(Pass):
    """Give every value another name, in ways that passes do: by hand, by NameFixPass, by handing a name on."""

    def apply(self, model: ir.Model, report: PassReport) -> None:
        named = {v.name: v for n in model.graph for v in n.outputs}
        named["r"].name = "clamped"
        named["m"].name = "s"  # twice in the graph now, so that NameFixPass renames one
        common.NameFixPass()(model)


def test_what_was_measured_follows_a_value_that_is_renamed() -> None:
    plain, renamed = small(), small()
    first, second = PassContext(data=DATA), PassContext(data=DATA)
    Pipeline("canonicalize,calibrate,quantize{activations=uint8}").run(plain, first)
    Pipeline("canonicalize,calibrate").run(renamed, second)
    values = {v: second.state.ranges[v.name or ""] for n in renamed.graph for v in n.outputs}
    Pipeline("test-rename").run(renamed, second)
    assert {n.outputs[0].name for n in renamed.graph} == {"s", "s_1", "clamped", "t", "y"}
    assert {v: second.state.ranges[v.name or ""] for n in renamed.graph for v in n.outputs} == values
    assert second.state.channels["x"].count == first.state.channels["x"].count > 0
    Pipeline("quantize{activations=uint8}").run(renamed, second)

    def scales(model: ir.Model) -> list[float]:
        found = [n.inputs[1].const_value.numpy() for n in model.graph if n.op_type == "QuantizeLinear"]  # type: ignore[union-attr]
        return [float(scale) for scale in found]

    assert scales(renamed) == scales(plain) and len(scales(plain)) == 2
    assert {n.inputs[0].name for n in renamed.graph if n.op_type == "QuantizeLinear"} == {"x", "s_1"}  # type: ignore[union-attr]
