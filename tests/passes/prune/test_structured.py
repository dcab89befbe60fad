"""Structured pruning: any network stays consistent, and removing what is zero changes nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from qgraph.passes.prune.remove import kept_indices, remove, untie_vectors

from qgraph.analyze import cost
from qgraph.capture import from_factory, from_onnx
from qgraph.errors import QGraphError
from qgraph.ir.axes import AxisGraph
from qgraph.pipeline import AnalysisState, PassContext, Pipeline
from tests.conftest import run_onnx

LIGHT = Path(onnx.__file__).parent / "backend/test/data/light"
ZOO = ["digits_mlp", "digits_cnn", "mobilenet_v2", "resnet50", "minilm"]
HEAD = '<ir_version: 10, opset_import: ["" : 21]>\n'


def feed_of(model: ir.Model, seed: int = 0) -> dict[str, np.ndarray]:
    rng, found = np.random.default_rng(seed), {}
    for value in model.graph.inputs:
        shape = [d if isinstance(d, int) else 5 for d in value.shape or ()]
        is_float = value.dtype == ir.DataType.FLOAT
        found[value.name or ""] = (
            rng.standard_normal(shape).astype(np.float32) if is_float else rng.integers(0, 2, shape).astype(np.int64)
        )
    return found


def load(name: str) -> ir.Model:
    model = from_factory(f"qgraph.zoo:{name}") if name in ZOO else from_onnx(LIGHT / f"light_{name}.onnx")
    Pipeline("canonicalize").run(model)
    return model


def same_function_without_zeros(model: ir.Model, part: float, seed: int = 0) -> int:
    """Zero every weight of some units, remove those units, and compare; returns how many units went."""
    untie_vectors(model)
    rng, total = np.random.default_rng(seed), 0
    kept = {}
    for group in AxisGraph(model).groups():
        keep = np.ones(group.units, bool)
        free = np.flatnonzero(group.free)
        keep[rng.permutation(free)[: int(part * group.units)]] = False
        if not all(keep[units].any() for units in group.unit_of.values()):
            continue
        total += int((~keep).sum())
        for value, axis in group.weights():
            gone = ~keep[group.unit_of[group.nodes[value, axis]]]
            array = np.moveaxis(value.const_value.numpy().copy(), axis, 0)  # type: ignore[union-attr]
            array[gone] = 0
            value.const_value = ir.Tensor(np.ascontiguousarray(np.moveaxis(array, 0, axis)), name=value.name)
        kept |= kept_indices(group, keep)
    feed = feed_of(model)
    before = run_onnx(model, feed)
    remove(model, kept)
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    for a, b in zip(before, run_onnx(model, feed), strict=True):
        assert a.shape == b.shape
        assert np.abs(a - b).max() <= 1e-5 * max(1.0, float(np.abs(a).max()))
    return total


def with_weights(model: ir.Model, weights: dict[str, np.ndarray]) -> None:
    """Make initializers of the names that nothing makes."""
    for name, array in weights.items():
        tensor = ir.Tensor(array, name=name)
        value = ir.Value(name=name, const_value=tensor, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype))
        model.graph.initializers[name] = value
        for node in model.graph:
            for i, old in enumerate(node.inputs):
                if old is not None and old.name == name and old is not value:
                    node.replace_input_with(i, value)


LIGHT_NAMES = [p.stem.removeprefix("light_") for p in sorted(LIGHT.glob("*.onnx"))]


@pytest.mark.parametrize("ratio", [0.25, 0.5])
@pytest.mark.parametrize("name", [*ZOO, *LIGHT_NAMES])
def test_every_network_stays_consistent(name: str, ratio: float) -> None:
    model = load(name)
    feed, before = feed_of(model), cost.macs(model)
    shapes = [y.shape for y in run_onnx(model, feed)]
    Pipeline(f"prune-channels{{ratio={ratio}}}").run(model)
    if name == "minilm":
        Pipeline(f"prune-heads{{ratio={ratio}}}").run(model)
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    assert [y.shape for y in run_onnx(model, feed)] == shapes
    after = cost.macs(model)
    assert before is not None and after is not None and after < before * (1 - ratio / 5)


@pytest.mark.parametrize(
    "name", ["digits_cnn", "mobilenet_v2", "resnet50", "minilm", "shufflenet", "inception_v1", "densenet121"]
)
def test_units_of_zeros_change_nothing(name: str) -> None:
    assert same_function_without_zeros(load(name), 0.4) > 10


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 2**31))
def test_random_graphs(seed: int) -> None:
    """Chains of convolutions with residual adds, concats, splits, groups, depthwise layers, shuffles and a linear end."""
    rng, lines, weights = np.random.default_rng(seed), [], {}
    value, channels, size, number = "x", 8, 6, 0

    def fresh() -> str:
        nonlocal number
        number += 1
        return f"v{number}"

    def conv(source: str, inputs: int, outputs: int, group: int = 1) -> str:
        name, out = f"w{len(weights)}", fresh()
        weights[name] = rng.standard_normal((outputs, inputs // group, 3, 3)).astype(np.float32) * 0.2
        weights[f"{name}b"] = rng.standard_normal(outputs).astype(np.float32)
        lines.append(f"{out} = Conv<group={group}, pads=[1,1,1,1]>({source}, {name}, {name}b)")
        return out

    def unary(op: str, source: str) -> str:
        out = fresh()
        lines.append(f"{out} = {op}({source})")
        return out

    value, channels = conv(value, 8, 12), 12
    for _ in range(int(rng.integers(2, 6))):
        kind = rng.choice(["plain", "residual", "concat", "group", "depthwise", "shuffle", "split"])
        out = fresh()
        if kind == "plain":
            wide = int(rng.choice([8, 12, 16]))
            value, channels = unary("Relu", conv(value, channels, wide)), wide
        elif kind == "residual":
            inner = unary("Relu", conv(value, channels, 16))
            lines.append(f"{out} = Add({conv(inner, 16, channels)}, {value})")
            value = out
        elif kind == "concat":
            lines.append(f"{out} = Concat<axis=1>({conv(value, channels, 4)}, {value}, {conv(value, channels, 8)})")
            value, channels = out, channels + 12
        elif kind == "group":
            value = conv(value, channels, channels, 4)
        elif kind == "depthwise":
            value, channels = conv(value, channels, 2 * channels, channels), 2 * channels
        elif kind == "shuffle":
            a, b = fresh(), fresh()
            weights[f"s{out}"] = np.array([0, 2, channels // 2, size, size], np.int64)
            weights[f"t{out}"] = np.array([0, channels, size, size], np.int64)
            lines += [
                f"{a} = Reshape({value}, s{out})",
                f"{b} = Transpose<perm=[0,2,1,3,4]>({a})",
                f"{out} = Reshape({b}, t{out})",
            ]
            value = out
        else:
            a, b = fresh(), fresh()
            lines.append(f"{a}, {b} = Split<axis=1, num_outputs=2>({value})")
            lines.append(f"{out} = Mul({unary('Sigmoid', a)}, {b})")
            value, channels = out, channels // 2
        if channels % 4:
            value, channels = conv(value, channels, 12), 12
    # after two shuffles all channels may be one unit; this layer can always lose some
    value, channels = unary("Relu", conv(value, channels, 8)), 8
    weights["last"] = rng.standard_normal((channels * size * size, 5)).astype(np.float32) * 0.05
    lines += [f"flat = Flatten({value})", "y = Gemm(flat, last)"]
    model = ir.from_onnx_text(HEAD + f"g (float[n,8,{size},{size}] x) => (float[n,5] y) {{\n" + "\n".join(lines) + "\n}")
    with_weights(model, weights)
    onnx.shape_inference.infer_shapes(ir.to_proto(model), strict_mode=True)
    Pipeline("canonicalize").run(model)
    zeroed = model.clone()
    same_function_without_zeros(zeroed, 0.3, seed)
    Pipeline("prune-channels{ratio=0.4 scope=global}").run(model)
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    assert run_onnx(model, feed_of(model))[0].shape == (5, 5)


def test_heads_and_layers_of_minilm() -> None:
    model = load("minilm")
    whole = cost.macs(model)
    less = model.clone()
    report = Pipeline("prune-heads{ratio=0.5},prune-ffn{ratio=0.5}").run(less)
    assert whole is not None and cost.macs(less) == pytest.approx(whole / 2, rel=0.01)
    assert next(n for n in less.graph if n.op_type == "Reshape").inputs[1].const_value.numpy().tolist() == [0, 0, 6, 32]  # type: ignore[union-attr]
    assert all("12 -> 6" in text for text in report[0].details["layers"].values())
    Pipeline("prune-layers{keep=[1,3,5]}").run(model)
    assert cost.macs(model) == whole / 2
    assert run_onnx(model, feed_of(model))[0].shape == run_onnx(less, feed_of(less))[0].shape


@pytest.mark.parametrize("target", ["macs", "size"])
def test_targets_are_met(target: str) -> None:
    model = load("resnet50")
    before = cost.macs(model), sum(v.const_value.size for v in model.graph.initializers.values() if v.const_value)
    Pipeline(f"prune-channels{{ratio=0.5 target={target} scope=global round-to=8}}").run(model)
    after = cost.macs(model), sum(v.const_value.size for v in model.graph.initializers.values() if v.const_value)
    place = 0 if target == "macs" else 1
    assert 0.4 < after[place] / before[place] <= 0.5  # type: ignore[operator]


def test_criteria_order_units() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((4, 6)).astype(np.float32), rng.standard_normal((6, 2)).astype(np.float32)
    a[:, 2], b[2] = 1e-3, 1e-3
    text = "g (float[n,4] x) => (float[n,2] y) { h = MatMul(x, a) r = Relu(h) y = MatMul(r, b) }"
    model = ir.from_onnx_text(HEAD + text)
    with_weights(model, {"a": a, "b": b})
    Pipeline("canonicalize").run(model)
    gradients = {"a": np.ones_like(a), "b": np.ones_like(b)}
    gradients["a"][:, 2] = gradients["b"][2] = 1e5
    small = {"l1": True, "l2": True, "activation": True, "taylor": False}
    for criterion, goes in small.items():
        context = PassContext(
            data=[{"x": rng.standard_normal((9, 4)).astype(np.float32)}], state=AnalysisState(gradients=gradients)
        )
        pruned = model.clone()
        Pipeline(f"prune-channels{{ratio=0.17 criterion={criterion}}}").run(pruned, context)
        left = pruned.graph.initializers["a"].const_value.numpy()  # type: ignore[union-attr]
        assert left.shape == (4, 5) and (1e-3 not in left) == goes, criterion


@pytest.mark.parametrize(
    ("model", "text", "message"),
    [
        ("digits_cnn", "prune-channels{ratio=1}", "would empty every layer"),
        ("digits_mlp", "prune-channels{ratio=0.0001}", "rounds to no unit of any layer, the largest of which is"),
        ("digits_cnn", "prune-heads", "finds nothing that it can remove"),
        ("digits_cnn", "prune-channels{include=[12.bias]}", "is an output of the model"),
        ("digits_cnn", "prune-channels{criterion=taylor}", "'gradients: 8'"),
        ("digits_cnn", "prune-channels{target=size ratio=0.9999}", "even the smallest model has"),
        ("digits_cnn", "prune-layers{keep=[99]}", "there is no layer 99"),
        ("digits_cnn", "calibrate,quantize,prune-channels", "put it in front of 'quantize'"),
        ("digits_mlp", "prune-channels{target=latency}", "needs real calibration data"),
    ],
)
def test_refusals(model: str, text: str, message: str) -> None:
    graph = load(model)
    context = PassContext(data=[feed_of(graph)] if "calibrate" in text else None)
    with pytest.raises(QGraphError, match=message):
        Pipeline(text).run(graph, context)
