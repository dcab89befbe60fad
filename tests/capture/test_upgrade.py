"""Old opsets: ONNX Runtime computes the same from the upgraded model as from the file as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import helper, numpy_helper

from qgraph.capture import from_onnx
from qgraph.errors import QGraphError
from qgraph.ir import io

RNG = np.random.default_rng(0)
F = np.float32


def r(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(F)


def i(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


IMAGE = r(1, 4, 6, 6)
MATRIX = r(3, 4, 6)
EVERYTHING = 2**63 - 1
PAIR = (1.0, 1.0, 2.0, 2.0)
ODD = np.array((1, 1, 1.5, 1.7), F)

# opset, op, attributes, inputs (x first; the others are initializers)
Case = tuple[int, str, dict[str, Any], list[np.ndarray | None]]
CASES: list[Case] = [
    *(
        (v, "Upsample", {"mode": m, "scales": s}, [IMAGE])
        for v in (7, 8)
        for m in ("nearest", "linear")
        for s in (PAIR, (1.0, 1.0, 1.5, 2.7))
    ),
    *((9, "Upsample", {"mode": m}, [IMAGE, s]) for m in ("nearest", "linear") for s in (np.array(PAIR, F), ODD)),
    *(
        (10, "Resize", {"mode": m}, [IMAGE, s])
        for m in ("nearest", "linear")
        for s in (np.array(PAIR, F), ODD, np.array((1, 1, 0.5, 0.6), F))
    ),
    *(
        (v, "Resize", {"mode": "linear", "coordinate_transformation_mode": m}, [IMAGE, np.zeros(0, F), ODD])
        for v in (11, 13, 18)
        for m in ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel")
    ),
    *(
        (v, "Resize", {"mode": "nearest", "nearest_mode": m}, [IMAGE, np.zeros(0, F), ODD])
        for v in (11, 13, 18)
        for m in ("floor", "ceil", "round_prefer_floor", "round_prefer_ceil")
    ),
    *(
        (v, "Resize", {"mode": "cubic", "cubic_coeff_a": -0.5, "exclude_outside": 1}, [IMAGE, np.zeros(0, F), ODD])
        for v in (11, 13)
    ),
    (11, "Resize", {"mode": "linear"}, [IMAGE, np.zeros(0, F), np.zeros(0, F), i(1, 4, 9, 11)]),
    (11, "Resize", {"mode": "nearest"}, [IMAGE, np.zeros(0, F), np.zeros(0, F), i(1, 4, 9, 11)]),
    (12, "Resize", {"mode": "linear", "coordinate_transformation_mode": "tf_half_pixel_for_nn"}, [IMAGE, np.zeros(0, F), ODD]),
    (
        12,
        "Resize",
        {"mode": "nearest", "coordinate_transformation_mode": "tf_half_pixel_for_nn", "nearest_mode": "floor"},
        [IMAGE, np.zeros(0, F), ODD],
    ),
    (
        12,
        "Resize",
        {"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize", "extrapolation_value": 2.0},
        [IMAGE, np.array([0, 0, 0.1, 0.2, 1, 1, 0.9, 1.2], F), ODD],
    ),
    *((18, "GroupNormalization", {"num_groups": 2, "epsilon": e}, [IMAGE, r(2), r(2)]) for e in (1e-5, 0.1)),
    (20, "GroupNormalization", {"num_groups": 4}, [IMAGE, r(4), r(4)]),
    (18, "GroupNormalization", {"num_groups": 1}, [MATRIX, r(1), r(1)]),
    *(
        (v, "AveragePool", {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1], "count_include_pad": c, "strides": [2, 1]}, [IMAGE])
        for v in (7, 10, 11, 19)
        for c in (0, 1)
    ),
    *(
        (
            v,
            "AveragePool",
            {"kernel_shape": [3, 3], "ceil_mode": 1, "strides": [2, 2], "pads": [1, 1, 1, 1], "count_include_pad": c},
            [IMAGE],
        )
        for v in (10, 11, 19)
        for c in (0, 1)
    ),
    *(
        (v, "AveragePool", {"kernel_shape": [3, 3], "auto_pad": p, "strides": [2, 2]}, [IMAGE])
        for v in (7, 11, 19)
        for p in ("SAME_UPPER", "SAME_LOWER", "VALID")
    ),
    *(
        (19, "AveragePool", {"kernel_shape": [2, 2], "dilations": [2, 3], "pads": [1, 1, 1, 1], "count_include_pad": c}, [IMAGE])
        for c in (0, 1)
    ),
    *((v, "MaxPool", {"kernel_shape": [3, 2], "pads": [1, 0, 1, 1], "strides": [2, 1]}, [IMAGE]) for v in (7, 8, 10, 11, 12)),
    *((v, "MaxPool", {"kernel_shape": [2, 2], "dilations": [2, 3], "ceil_mode": 1}, [IMAGE]) for v in (10, 11, 12)),
    *((v, "LpPool", {"kernel_shape": [2, 2], "p": p}, [IMAGE]) for v in (7, 11, 18) for p in (1, 2)),
    *(
        (v, op, {"axis": a} if a is not None else {}, [MATRIX])
        for v in (7, 11, 12, 13)
        for op in ("Softmax", "LogSoftmax", "Hardmax")
        for a in (None, 0, 1, 2)
    ),
    *((v, op, {"axis": a}, [MATRIX]) for v in (11, 12, 13) for op in ("Softmax", "LogSoftmax", "Hardmax") for a in (-1, -2, -3)),
    (7, "BatchNormalization", {"epsilon": 0.01}, [IMAGE, r(4), r(4), r(4), np.abs(r(4))]),
    *((v, "BatchNormalization", {}, [IMAGE, r(4), r(4), r(4), np.abs(r(4))]) for v in (7, 9, 14, 15)),
    *((v, "Clip", a, [MATRIX]) for v in (7, 10) for a in ({"min": -0.5, "max": 0.25}, {"min": 0.0}, {"max": 0.5}, {})),
    *((v, "Clip", {}, [MATRIX, np.array(-0.5, F), np.array(0.25, F)]) for v in (11, 12, 13)),
    (11, "Clip", {}, [MATRIX, None, np.array(0.25, F)]),
    *((v, "Dropout", {"ratio": 0.4}, [MATRIX]) for v in (7, 10)),
    *((v, "Dropout", {}, [MATRIX, np.array(0.4, F)]) for v in (12, 13)),
    *(
        (v, "Pad", {"pads": [0, 0, 1, 2, 0, 0, 3, 0], "mode": m}, [IMAGE])
        for v in (7, 10)
        for m in ("constant", "reflect", "edge")
    ),
    *((v, "Pad", {"pads": [0, 0, -1, 2, 0, 0, 3, -2], "value": 1.5}, [IMAGE]) for v in (7, 10)),
    *((v, "Pad", {}, [IMAGE, i(0, 0, 1, 2, 0, 0, 3, 0), np.array(1.5, F)]) for v in (11, 13, 18, 19)),
    *((v, "Pad", {"mode": m}, [IMAGE, i(0, 0, 1, 2, 0, 0, 3, 0)]) for v in (11, 13, 18, 19) for m in ("reflect", "edge")),
    *((v, "Slice", {"starts": [0, 1], "ends": [1, EVERYTHING], "axes": [0, 1]}, [IMAGE]) for v in (7, 9)),
    (7, "Slice", {"starts": [0, -3], "ends": [1, -1]}, [IMAGE]),
    *((v, "Slice", {}, [IMAGE, i(-1, 0), i(-100, 5), i(3, 2), i(-1, 2)]) for v in (10, 11, 13)),
    *((v, "Split", {"axis": 2, "split": [1, 5]}, [IMAGE]) for v in (7, 11)),
    *((v, "Split", {"axis": 1}, [IMAGE]) for v in (7, 11, 13)),
    (13, "Split", {"axis": 2}, [IMAGE, i(1, 5)]),
    *((v, "Squeeze", {"axes": [0]}, [IMAGE]) for v in (7, 11, 12)),
    *((v, "Squeeze", {}, [IMAGE]) for v in (7, 11, 13)),
    *((v, "Unsqueeze", {"axes": [0, 2]}, [IMAGE]) for v in (7, 11)),
    *(
        (v, f"Reduce{op}", {"axes": [1], "keepdims": k}, [MATRIX])
        for v in (7, 11, 12)
        for k in (0, 1)
        for op in ("Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSumExp")
    ),
    *(
        (v, f"Reduce{op}", {"axes": [-1]}, [MATRIX])
        for v in (11, 13, 17)
        for op in ("Mean", "Max", "Min", "Prod", "L1", "L2", "SumSquare", "LogSumExp")
    ),
    *((v, f"Reduce{op}", {"keepdims": 0}, [MATRIX]) for v in (7, 11, 13, 17) for op in ("Sum", "Mean", "Max", "L2")),
    *((13, "ReduceSum", {"noop_with_empty_axes": n}, [MATRIX]) for n in (0, 1)),
    (7, "TopK", {"k": 2, "axis": 1}, [MATRIX]),
    *((v, "TopK", {"axis": 1}, [MATRIX, i(2)]) for v in (10, 11)),
    (11, "TopK", {"axis": 2, "largest": 0}, [MATRIX, i(2)]),
    *((v, op, {"axis": 1, "keepdims": 0}, [MATRIX]) for v in (7, 11, 12, 13) for op in ("ArgMax", "ArgMin")),
    (12, "ArgMax", {"axis": 1, "select_last_index": 1}, [np.round(MATRIX)]),
    *((v, "Flatten", {"axis": a}, [IMAGE]) for v in (7, 9, 11, 13) for a in (0, 1, 2)),
    (7, "Gemm", {"transB": 1, "alpha": 0.5, "beta": 2.0}, [r(3, 4), r(5, 4), r(5)]),
    *((v, "Gemm", {"transA": 1}, [r(4, 3), r(4, 5), c]) for v in (7, 9, 10) for c in (r(5), r(3, 1), r(1, 1), r(3, 5))),
    *((v, "Gemm", {}, [r(3, 4), r(4, 5)]) for v in (11, 13)),
    *((v, "PRelu", {}, [IMAGE, r(4, 1, 1)]) for v in (7, 9, 16)),
    *((v, op, {}, [IMAGE, r(4, 1, 1)]) for v in (7, 12, 13) for op in ("Add", "Mul", "Sub", "Div")),
    *((v, op, {}, [IMAGE, r(1, 4, 6, 6), r(1, 4, 6, 6)]) for v in (7, 8, 12) for op in ("Max", "Min", "Sum", "Mean")),
    *((v, "Pow", {}, [np.abs(IMAGE), np.array(1.5, F)]) for v in (7, 12, 13)),
    *((v, "Transpose", {"perm": [0, 2, 1]}, [MATRIX]) for v in (7, 13)),
    *((v, "Gather", {"axis": 1}, [MATRIX, i(0, 2, 2)]) for v in (7, 11)),
    (11, "Gather", {"axis": 1}, [MATRIX, i(0, -1)]),
    (9, "Scatter", {"axis": 1}, [r(3, 5), np.array([[1, 3]]), r(1, 2)]),
    (10, "Scatter", {"axis": 0}, [r(3, 5), np.array([[1, 2]]), r(1, 2)]),
    *((v, "ScatterElements", {"axis": 1}, [r(3, 5), np.array([[1, 3]]), r(1, 2)]) for v in (11, 13, 16)),
    *((v, "ScatterND", {}, [r(3, 5), np.array([[1], [2]]), r(2, 5)]) for v in (11, 13, 16)),
    *((v, "GatherElements", {"axis": 1}, [r(3, 5), np.array([[1, 3]])]) for v in (11, 13)),
    *((v, "GatherND", {}, [MATRIX, np.array([[1, 3], [0, 2]])]) for v in (11, 12)),
    *((v, "DepthToSpace", {"blocksize": 2}, [IMAGE]) for v in (7, 11, 13)),
    (11, "DepthToSpace", {"blocksize": 2, "mode": "CRD"}, [IMAGE]),
    *((v, "SpaceToDepth", {"blocksize": 2}, [IMAGE]) for v in (7, 13)),
    *(
        (v, "Conv", {"auto_pad": p, "strides": [2, 2]}, [IMAGE, r(3, 4, 3, 3)])
        for v in (7, 11)
        for p in ("SAME_UPPER", "SAME_LOWER", "VALID")
    ),
    *((v, "ConvTranspose", {"strides": [2, 2], "output_padding": [1, 1], "group": 2}, [IMAGE, r(4, 3, 3, 3)]) for v in (7, 11)),
    *(
        (v, "ConvTranspose", {"strides": [2, 2], "output_shape": [12, 12], "auto_pad": p}, [IMAGE, r(4, 3, 3, 3)])
        for v in (7, 11)
        for p in ("SAME_UPPER", "SAME_LOWER", "NOTSET")
    ),
    *(
        (v, "LSTM", {"hidden_size": 4, "direction": d}, [r(5, 2, 6), r(n, 16, 6), r(n, 16, 4), r(n, 32)])
        for v in (7, 14)
        for d, n in (("forward", 1), ("bidirectional", 2))
    ),
    *(
        (v, "GRU", {"hidden_size": 4, "linear_before_reset": b}, [r(5, 2, 6), r(1, 12, 6), r(1, 12, 4), r(1, 24)])
        for v in (7, 14)
        for b in (0, 1)
    ),
    *((v, "RNN", {"hidden_size": 4, "activations": ["Relu"]}, [r(5, 2, 6), r(1, 4, 6), r(1, 4, 4), r(1, 8)]) for v in (7, 14)),
    *((v, "Cast", {"to": 7}, [3 * MATRIX]) for v in (7, 9, 13, 19)),
    *(
        (v, "GridSample", {"mode": m, "align_corners": a}, [IMAGE, np.clip(r(1, 3, 3, 2), -1, 1)])
        for v in (16,)
        for m in ("bilinear", "nearest", "bicubic")
        for a in (0, 1)
    ),
    *(
        (
            v,
            "RoiAlign",
            {"output_height": 2, "output_width": 2, "sampling_ratio": 2, "spatial_scale": 0.5, "mode": m},
            [IMAGE, np.array([[0, 0, 9, 7], [1, 2, 5, 8]], F), i(0, 0)],
        )
        for v in (10, 16)
        for m in ("avg", "max")
    ),
    (
        16,
        "RoiAlign",
        {"output_height": 2, "output_width": 2, "coordinate_transformation_mode": "output_half_pixel"},
        [IMAGE, np.array([[0, 0, 5, 4]], F), i(0)],
    ),
    *((v, "CumSum", {}, [MATRIX, np.array(1, np.int64)]) for v in (11, 14)),
    *((v, "OneHot", {"axis": 1}, [i(1, -1, 2), i(4), np.array((-1, 2), F)]) for v in (9, 11)),
    *((v, "Concat", {"axis": 1}, [MATRIX, r(3, 2, 6)]) for v in (7, 11)),
    *((v, "Expand", {}, [r(3, 1, 6), i(2, 3, 4, 6)]) for v in (8, 13)),
    *((v, "Tile", {}, [MATRIX, i(1, 2, 3)]) for v in (7, 13)),
    *((v, "Reshape", {}, [MATRIX, i(0, -1, 2)]) for v in (7, 13, 14, 19)),
    (14, "Reshape", {"allowzero": 1}, [MATRIX, i(3, 8, 3)]),
    (15, "Shape", {"start": -2}, [MATRIX]),
    (7, "Shape", {}, [MATRIX]),
    (10, "Mod", {"fmod": 1}, [MATRIX, np.array(0.7, F)]),
    (9, "MeanVarianceNormalization", {}, [IMAGE]),
    (7, "LRN", {"size": 3, "alpha": 0.1}, [IMAGE]),
    (10, "IsInf", {"detect_negative": 0}, [np.array((1, np.inf, -np.inf), F)]),
    (9, "IsNaN", {}, [np.array((1, np.nan), F)]),
    (17, "DFT", {"axis": 1, "onesided": 1}, [r(1, 8, 1)]),
    (17, "DFT", {"axis": 1}, [r(1, 8, 2)]),
    (9, "Where", {}, [np.array([[True, False, True]]), r(2, 3), r(2, 3)]),
    *((v, op, {}, [MATRIX, r(6)]) for v in (7, 9, 12) for op in ("Greater", "Less")),
    (7, "Equal", {}, [i(1, 2), i(1, 3)]),
    (9, "Compress", {"axis": 1}, [MATRIX, np.array((True, False, True, False))]),
    (9, "NonZero", {}, [np.round(MATRIX)]),
    (9, "ConstantOfShape", {}, [i(2, 3)]),
    (9, "EyeLike", {}, [r(3, 4)]),
    *(
        (v, op, {}, [np.abs(MATRIX)])
        for v in (7, 12)
        for op in (
            "Abs",
            "Ceil",
            "Exp",
            "Floor",
            "LeakyRelu",
            "Log",
            "Neg",
            "Reciprocal",
            "Relu",
            "Sigmoid",
            "Sqrt",
            "Tanh",
            "Identity",
            "Elu",
            "Selu",
            "HardSigmoid",
            "Softplus",
            "GlobalAveragePool",
            "GlobalMaxPool",
        )
    ),
    *((v, "NonMaxSuppression", {}, [np.abs(r(1, 5, 4)), np.abs(r(1, 2, 5)), i(3)]) for v in (10, 11)),
    *((v, "MatMul", {}, [MATRIX, r(6, 5)]) for v in (7, 9)),
]
OUTPUTS = {"TopK": 2, "LSTM": 3, "GRU": 2, "RNN": 2, "Split": 2}


def model_of(version: int, op: str, attributes: dict[str, Any], inputs: list[np.ndarray | None]) -> onnx.ModelProto:
    """A model of one node; its first input is the graph's ``x``, the others are initializers."""
    names = ["" if a is None else "x" if k == 0 else f"i{k}" for k, a in enumerate(inputs)]
    outputs = [f"y{k}" for k in range(OUTPUTS.get(op, 1))]
    node = helper.make_node(op, names, outputs, **attributes)
    constants = [numpy_helper.from_array(a, n) for n, a in zip(names[1:], inputs[1:], strict=True) if a is not None]
    x = inputs[0]
    assert x is not None
    first = helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
    graph = helper.make_graph([node], "g", [first], [onnx.ValueInfoProto(name=n) for n in outputs], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)], ir_version=4 if version < 12 else 8)


def run(path: Path, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]).run(None, feed)


def label(case: Case) -> str:
    return "-".join([f"{case[0]}", case[1], *(f"{k}={v}" for k, v in case[2].items())])


@pytest.mark.parametrize("case", CASES, ids=label)
def test_the_upgraded_model_computes_the_same(tmp_path: Path, case: Case) -> None:
    x = case[3][0]
    assert x is not None
    onnx.save(model_of(*case), tmp_path / "old.onnx")
    wanted = run(tmp_path / "old.onnx", {"x": x})
    io.save(from_onnx(tmp_path / "old.onnx"), tmp_path / "new.onnx")
    for old, new in zip(wanted, run(tmp_path / "new.onnx", {"x": x}), strict=True):
        assert old.dtype == new.dtype and old.shape == new.shape
        np.testing.assert_allclose(new, old, rtol=1e-5, atol=1e-6)


GRAPHS = {
    "Upsample by computed scales": (9, 'y = Upsample<mode = "nearest">(x, s)', {"s": np.array((1, 1, 2.5, 1.2), F)}),
    "Resize by computed scales": (10, 'y = Resize<mode = "nearest">(x, s)', {"s": np.array((1, 1, 1.4, 0.6), F)}),
    "linear Resize by computed scales": (10, 'y = Resize<mode = "linear">(x, s)', {"s": np.array((1, 1, 1.4, 0.6), F)}),
    "Resize of both kinds twice": (10, "a = Resize(x, w) y = Resize(a, w)", {}),
    "Resize by a Constant": (10, "c = Constant<value = float[4] {1.0, 1.0, 1.5, 0.5}>() y = Resize(x, c)", {}),
    "Hardmax of unknown dims": (11, "a = Reshape(x, n) b = Hardmax<axis = 1>(a) y = Relu(b)", {"n": i(2, -1, 6)}),
    "GroupNormalization by computed scales": (18, "a = Relu(g) y = GroupNormalization<num_groups = 2>(x, a, g)", {"g": r(2)}),
    "GroupNormalization behind a Conv": (18, "a = Conv(x, k) y = GroupNormalization<num_groups = 2>(a, h, h)", {}),
}


@pytest.mark.parametrize("title", GRAPHS)
def test_values_that_are_computed_or_of_unknown_shape(tmp_path: Path, title: str) -> None:
    version, body, more = GRAPHS[title]
    text = f'<ir_version: 8, opset_import: ["" : {version}]> g (float[1,4,6,6] x) => (float[] y) {{ {body} }}'
    made = onnx.parser.parse_model(text)
    made.graph.output[0].ClearField("type")
    feed = {"x": IMAGE, **more}
    for name, array in more.items():
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        made.graph.input.append(helper.make_tensor_value_info(name, kind, array.shape))
    for name, array in {"w": np.array((1, 1, 1.5, 0.7), F), "k": r(6, 4, 3, 3), "h": r(2)}.items():
        made.graph.initializer.append(numpy_helper.from_array(array, name))
    onnx.save(made, tmp_path / "old.onnx")
    io.save(from_onnx(tmp_path / "old.onnx"), tmp_path / "new.onnx")
    (old,), (new,) = (run(tmp_path / name, feed) for name in ("old.onnx", "new.onnx"))
    np.testing.assert_allclose(new, old, rtol=1e-5, atol=1e-6)


def test_groups_of_an_unknown_number_of_channels_are_refused(tmp_path: Path) -> None:
    case = model_of(18, "GroupNormalization", {"num_groups": 2}, [IMAGE, r(2), r(2)])
    case.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "c"
    onnx.save(case, tmp_path / "old.onnx")
    with pytest.raises(QGraphError, match=r"old.onnx: GroupNormalization node .* its number of channels is not known"):
        from_onnx(tmp_path / "old.onnx")


def test_large_weights_pass_the_converter_untouched(tmp_path: Path) -> None:
    case = model_of(9, "Conv", {}, [IMAGE, r(64, 4, 3, 3)])
    case.graph.node.append(helper.make_node("Upsample", ["y0", "s"], ["z"], mode="linear"))
    case.graph.output[0].name = "z"
    case.graph.initializer.append(numpy_helper.from_array(np.array(PAIR, F), "s"))
    onnx.save(case, tmp_path / "old.onnx")
    model = from_onnx(tmp_path / "old.onnx")
    io.save(model, tmp_path / "new.onnx")
    (old,), (new,) = (run(tmp_path / name, {"x": IMAGE}) for name in ("old.onnx", "new.onnx"))
    np.testing.assert_allclose(new, old, rtol=1e-5, atol=1e-6)


def test_a_scan_over_batches_is_refused(tmp_path: Path) -> None:
    from qgraph.tools.node_tests import cases

    case = next(case for case in cases() if case.name == "test_scan_sum")
    onnx.save(case.model, tmp_path / "scan.onnx")
    with pytest.raises(QGraphError, match=r"Scan .* of opset 8 runs over batches; export with opset 9 or later"):
        from_onnx(tmp_path / "scan.onnx")
