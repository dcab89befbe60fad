"""Every integer op, on random shapes, codes, zero points and scales: the reference, every ISA, 1 and 2 threads give the
bytes of the NumPy definition. Codes crowd at the ends of their type, zero points lie at both ends, scales saturate."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qgraph import _runtime
from qgraph.deploy.program_file import write
from qgraph.deploy.session import Session
from qgraph.execute.integer import evaluate
from qgraph.ir.dialects import INTEGER
from qgraph.ir.integer_ops import INTEGER_OPS

THOROUGH = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
DTYPES = {"uint8": ir.DataType.UINT8, "int16": ir.DataType.INT16, "float32": ir.DataType.FLOAT}
KINDS = st.sampled_from(["uint8", "int16"])
OUTPUTS = st.sampled_from(["uint8", "int16", "float32"])
SEEDS = st.integers(0, 2**31)
BITS = st.sampled_from([8, 4, 2])
NARROW = {4: ir.DataType.INT4, 2: ir.DataType.INT2}
INDICES = {4: ir.DataType.UINT4, 2: ir.DataType.UINT2}


class Case:
    """Random numbers of one example, and the model under test."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def codes(self, shape: tuple[int, ...], dtype: str = "uint8") -> np.ndarray:
        """A third of the codes at each end of the type's range, a third between; or all of one kind."""
        info = np.iinfo(dtype)
        kind = self.rng.integers(0, 3, shape) if self.rng.random() < 0.7 else np.full(shape, self.rng.integers(0, 3))
        between = self.rng.integers(info.min, info.max + 1, shape)
        return np.choose(kind, [np.full(shape, info.min), np.full(shape, info.max), between]).astype(dtype)

    def weights(self, shape: tuple[int, ...], bits: int) -> np.ndarray:
        """Codes of so many bits, as int8."""
        return self.codes(shape, "int8") >> (8 - bits)

    def levels(self, bits: int, inputs: list[np.ndarray | None]) -> dict[str, list[int]]:
        """At times the weights of fewer bits, input 1, become indices of levels."""
        if bits == 8 or self.rng.random() < 0.5:
            return {}
        inputs[1] = self.codes(inputs[1].shape) >> (8 - bits)  # type: ignore[union-attr]
        return {"levels": self.codes((1 << bits,), "int8").tolist()}

    def zero(self, dtype: str = "uint8") -> int:
        if dtype == "float32":
            return 0
        info = np.iinfo(dtype)
        return int(self.rng.choice([info.min, info.max, 0, int(self.rng.integers(info.min, info.max + 1))]))

    def factor(self, typical: float) -> float:
        """A multiplier: fitting, or one that saturates, or one that vanishes."""
        return float(np.float32(typical * self.rng.choice([1, 1, 1, 300, 1e-4]) * self.rng.uniform(0.5, 2)))

    def factors(self, n: int, typical: float) -> np.ndarray:
        return np.array([self.factor(typical) for _ in range(n)], np.float32)

    def output(self, dtype: str) -> dict[str, int]:
        """Zero point and, at times, a clamp."""
        if dtype == "float32":
            return {}
        made = {"y_zero": self.zero(dtype)}
        if self.rng.random() < 0.3:
            low, high = sorted(int(c) for c in self.codes((2,), dtype))
            made |= {"clamp_min": low, "clamp_max": high}
        return made


def check(
    folder: Path,
    op: str,
    inputs: list[np.ndarray | None],
    attributes: dict[str, Any],
    dtype: str,
    *,
    constants: tuple[int, ...] = (),
    bits: int = 8,
    outputs: tuple[str, ...] = (),
) -> None:
    """Run one op in every variant of the runtime and in NumPy; all bytes must be equal."""
    values: list[ir.Value | None] = []
    feed, initializers = {}, []
    for i, array in enumerate(inputs):
        if array is None:
            values.append(None)
            continue
        packed = INDICES if "levels" in attributes else NARROW
        kind = packed.get(bits if i == 1 else 8) or ir.DataType.from_numpy(array.dtype)
        value = ir.Value(name=f"x{i}", shape=ir.Shape(array.shape), type=ir.TensorType(kind))
        values.append(value)
        if i in constants:
            value.const_value = ir.Tensor(array.astype(kind.numpy()), dtype=kind, name=f"x{i}")
            initializers.append(value)
        else:
            feed[f"x{i}"] = array
    given_values = [v for v in values if v is not None and v.name in feed]
    made = [ir.convenience.convert_attribute(k, v) for k, v in attributes.items()]
    node = ir.Node(INTEGER, op, values, made, num_outputs=1 + len(outputs), name="op")
    for i, (value, kind_name) in enumerate(zip(node.outputs, (dtype, *outputs), strict=True)):
        value.name, value.dtype = f"y{i}", DTYPES[kind_name]
    graph = ir.Graph(
        given_values, node.outputs, nodes=[node], initializers=initializers, opset_imports={"": 21, INTEGER: 1}, name="one"
    )
    model = ir.Model(graph, ir_version=10)
    path = folder / "op.qgp"
    write(model, path)
    wanted = evaluate(model, feed)
    for isa, threads in itertools.product(_runtime.available_isas(), (1, 2)):
        found = Session(path, isa=isa, threads=threads).run(feed)
        for name, array in found.items():
            want = wanted[name]
            assert array.shape == want.shape and array.dtype == want.dtype, (isa, threads, array.shape, want.shape)
            assert array.tobytes() == np.ascontiguousarray(want).tobytes(), (isa, threads, name)


def test_all_integer_ops_are_tested_here() -> None:
    source = Path(__file__).read_text()
    assert [op for domain, op in INTEGER_OPS if domain and f'"{op}"' not in source] == []


@THOROUGH
@given(SEEDS, st.integers(0, 11), st.integers(1, 150), st.integers(1, 80), OUTPUTS, st.booleans(), BITS)
def test_linear(tmp_path: Path, seed: int, rows: int, k: int, n: int, dtype: str, biased: bool, bits: int) -> None:
    case = Case(seed)
    weight = case.weights((n, k), bits)
    bias = case.rng.integers(-(2**20), 2**20, n).astype(np.int32) if biased else None
    inputs = [case.codes((rows, k)), weight, case.factors(n, 1e-2), bias]
    attributes = {"x_zero": case.zero(), **case.output(dtype), **case.levels(bits, inputs)}
    check(tmp_path, "Linear", inputs, attributes, dtype, constants=(1, 2, 3), bits=bits)


@THOROUGH
@given(SEEDS, st.integers(0, 9), st.integers(1, 100), st.integers(1, 70), OUTPUTS, KINDS, BITS, st.sampled_from([0, 4, 32]))
def test_linear_of_tokens(
    tmp_path: Path, seed: int, rows: int, k: int, n: int, dtype: str, kind: str, bits: int, block: int
) -> None:
    case = Case(seed)
    blocks = -(-k // block) if block else 1
    residual = case.codes((2, rows, n), kind) if case.rng.random() < 0.5 else None
    inputs = [
        case.codes((2, rows, k)),
        case.weights((n, k), bits),
        case.factors(n * blocks, 1e-2).reshape((blocks, n) if block else n),
        case.rng.standard_normal(n).astype(np.float32) * 50 if case.rng.random() < 0.5 else None,
        case.factors(2 * rows, 1e-1).reshape(2, rows, 1),
        residual,
    ]
    attributes: dict[str, Any] = {"x_zero": 128, **case.output(dtype)}
    if block:
        attributes["block"] = block
    if residual is not None:
        attributes |= {"residual_zero": case.zero(kind), "residual_multiplier": case.factor(1.0)}
    else:
        inputs = inputs[:5]
    check(tmp_path, "Linear", inputs, attributes, dtype, constants=(1, 2, 3), bits=bits)


@THOROUGH
@given(SEEDS, st.integers(1, 3), st.integers(0, 50), st.integers(1, 70), st.integers(1, 70), OUTPUTS)
def test_matmul(tmp_path: Path, seed: int, batch: int, m: int, k: int, n: int, dtype: str) -> None:
    case = Case(seed)
    inputs = [case.codes((batch, 2, m, k)), case.codes((2, k, n) if seed % 2 else (batch, 1, k, n))]
    attributes = {"a_zero": case.zero(), "b_zero": case.zero(), "multiplier": case.factor(1e-3), **case.output(dtype)}
    check(tmp_path, "MatMul", list(inputs), attributes, dtype)


@st.composite
def windows(draw: st.DrawFn, spatial: int) -> dict[str, list[int]]:
    each = {"kernel": (1, 4), "strides": (1, 3), "dilations": (1, 2), "begin": (0, 2), "end": (0, 2)}
    return {k: draw(st.lists(st.integers(*limits), min_size=spatial, max_size=spatial)) for k, limits in each.items()}


def sizes_for(window: dict[str, list[int]], room: list[int]) -> tuple[int, ...]:
    """Input sizes that hold at least one window."""
    parts = zip(window["kernel"], window["dilations"], window["begin"], window["end"], room, strict=True)
    return tuple(max(1, d * (k - 1) + 1 - b - e) + r for k, d, b, e, r in parts)


@THOROUGH
@given(
    SEEDS,
    st.data(),
    st.integers(1, 2),
    st.sampled_from([(1, 5, 1), (3, 4, 1), (7, 18, 1), (4, 6, 2), (6, 6, 6), (45, 45, 45), (3, 6, 3)]),
    OUTPUTS,
)
def test_conv(tmp_path: Path, seed: int, data: st.DataObject, spatial: int, channels: tuple[int, int, int], dtype: str) -> None:
    case, window = Case(seed), data.draw(windows(spatial))
    inputs, outputs, group = channels
    size = sizes_for(window, data.draw(st.lists(st.integers(0, 9), min_size=spatial, max_size=spatial)))
    arrays = [
        case.codes((2, *size, inputs)),
        case.codes((outputs, *window["kernel"], inputs // group), "int8"),
        case.factors(outputs, 1e-2),
        case.rng.integers(-(2**20), 2**20, outputs).astype(np.int32) if seed % 3 else None,
    ]
    attributes = {
        **{k: window[k] for k in ("strides", "dilations")},
        "pads": window["begin"] + window["end"],
        "group": group,
        "x_zero": case.zero(),
        **case.output(dtype),
    }
    bits = (8, 4, 2)[seed // 12 % 3]
    if bits < 8:
        arrays[1] = case.weights(arrays[1].shape, bits)  # type: ignore[union-attr]
        attributes |= case.levels(bits, arrays)
    if seed % 2:
        steps = zip(size, window["begin"], window["end"], window["dilations"], window["kernel"], window["strides"], strict=True)
        places = [(n + b + e - d * (k - 1) - 1) // s + 1 for n, b, e, d, k, s in steps]
        kind, middle = ("uint8", "int16")[:: 1 if seed % 4 == 1 else -1]
        arrays.append(case.codes((2, *places, outputs), kind))
        attributes |= {"residual_zero": case.zero(kind), "residual_multiplier": case.factor(1.0)}
        if case.rng.random() < 0.7:
            own = {"clamp_min": int(np.iinfo(middle).min), "clamp_max": int(np.iinfo(middle).max), **case.output(middle)}
            names = {"y_zero": "mid_zero", "clamp_min": "mid_min", "clamp_max": "mid_max"}
            attributes |= {"staged": 1, "mid_multiplier": case.factor(1.0), **{names[k]: v for k, v in own.items()}}
    check(tmp_path, "Conv", arrays, attributes, dtype, constants=(1, 2, 3), bits=bits)


@THOROUGH
@given(SEEDS, st.data(), st.integers(1, 2), st.sampled_from([(3, 4, 1), (4, 6, 2)]), OUTPUTS)
def test_conv_transpose(
    tmp_path: Path, seed: int, data: st.DataObject, spatial: int, channels: tuple[int, int, int], dtype: str
) -> None:
    case, window = Case(seed), data.draw(windows(spatial))
    inputs, outputs, group = channels
    size = tuple(data.draw(st.integers(3, 7)) for _ in range(spatial))
    arrays = [
        case.codes((2, *size, inputs)),
        case.codes((inputs, *window["kernel"], outputs // group), "int8"),
        case.factors(outputs, 1e-2),
        case.rng.integers(-(2**20), 2**20, outputs).astype(np.int32) if seed % 3 else None,
    ]
    begin = [min(1, b) for b in window["begin"]]
    attributes = {
        **{k: window[k] for k in ("strides", "dilations")},
        "pads": begin + [0] * spatial,
        "output_padding": [min(e, s - 1) for e, s in zip(window["end"], window["strides"], strict=True)],
        "group": group,
        "x_zero": case.zero(),
        **case.output(dtype),
    }
    check(tmp_path, "ConvTranspose", arrays, attributes, dtype, constants=(1, 2, 3))


@THOROUGH
@given(
    SEEDS,
    st.integers(1, 2),
    st.integers(1, 3),
    st.integers(1, 30),
    st.integers(1, 40),
    st.integers(1, 20),
    OUTPUTS,
    st.booleans(),
)
def test_attention(
    tmp_path: Path, seed: int, batch: int, heads: int, rows: int, keys: int, width: int, dtype: str, token_major: bool
) -> None:
    case = Case(seed)

    def part(length: int, size: int) -> np.ndarray:
        return case.codes((batch, length, heads, size) if token_major else (batch, heads, length, size))

    mask = None
    if seed % 3:
        mask = np.where(case.rng.random((batch, 1, 1 if seed % 2 else rows, keys)) < 0.3, -np.inf, 0).astype(np.float32)
    attributes = {
        **{f"{name}_zero": case.zero() for name in "qkv"},
        "scale": case.factor(1e-3),
        "multiplier": case.factor(1e-2),
        "token_major": int(token_major),
        **case.output(dtype),
    }
    check(tmp_path, "Attention", [part(rows, width), part(keys, width), part(keys, width + 3), mask], attributes, dtype)


@THOROUGH
@given(SEEDS, st.integers(0, 70), KINDS)
def test_quantize_and_back(tmp_path: Path, seed: int, n: int, kind: str) -> None:
    case = Case(seed)
    x = (case.rng.standard_normal((3, n)) * 10.0 ** case.rng.integers(-3, 6)).astype(np.float32)
    half = np.float32(0.25) * (case.rng.integers(-5, 6, (3, n)) + np.float32(0.5))  # ties
    check(tmp_path, "Quantize", [x], {"scale": abs(case.factor(0.1)), **case.output(kind)}, kind)
    check(tmp_path, "Quantize", [half.astype(np.float32)], {"scale": 0.25, **case.output(kind)}, kind)
    check(tmp_path, "Dequantize", [case.codes((3, n), kind)], {"scale": case.factor(0.1), "x_zero": case.zero(kind)}, "float32")


@THOROUGH
@given(SEEDS, st.integers(1, 70), st.sampled_from(["uint8", "int16", "int8"]), OUTPUTS, st.booleans())
def test_requantize(tmp_path: Path, seed: int, n: int, kind: str, dtype: str, columns: bool) -> None:
    case = Case(seed)
    zero = case.zero(kind) if kind != "int8" else 0
    attributes = {"x_zero": zero, **case.output(dtype)}
    check(
        tmp_path,
        "Requantize",
        [case.codes((4, n), kind), case.factors(n if columns else 1, 1.0)],
        attributes,
        dtype,
        constants=(1,),
    )


@THOROUGH
@given(SEEDS, st.integers(0, 5), st.integers(1, 100), st.sampled_from(["uint8", "int16", "float32"]), st.booleans())
def test_quantize_tokens(tmp_path: Path, seed: int, rows: int, n: int, kind: str, channels: bool) -> None:
    case = Case(seed)
    if kind == "float32":
        x = (case.rng.standard_normal((2, rows, n)) * case.rng.choice([0, 1e-20, 1, 1e20], (2, rows, 1))).astype(np.float32)
    else:
        x = case.codes((2, rows, n), kind)
    attributes = {} if kind == "float32" else {"scale": case.factor(0.1), "x_zero": case.zero(kind)}
    inputs = [x, case.factors(n, 1.0)] if channels else [x]
    check(tmp_path, "QuantizeTokens", list(inputs), attributes, "uint8", constants=(1,), outputs=("float32",))


@THOROUGH
@given(SEEDS, st.integers(1, 5), st.integers(1, 70), KINDS, OUTPUTS, st.booleans())
def test_lookup(tmp_path: Path, seed: int, channels: int, n: int, kind: str, dtype: str, each: bool) -> None:
    case = Case(seed)
    each = each and kind == "uint8"
    shape = ((channels,) if each else ()) + (256 if kind == "uint8" else 65536,)
    table = case.rng.standard_normal(shape).astype(np.float32) if dtype == "float32" else case.codes(shape, dtype)
    x = case.codes((2, channels, n), kind)
    check(tmp_path, "Lookup", [x, table], {"axis": 1} if each else {}, dtype, constants=(1,))


@THOROUGH
@given(SEEDS, st.integers(1, 5), st.integers(1, 70), KINDS, st.integers(0, 11))
def test_curve(tmp_path: Path, seed: int, rows: int, n: int, dtype: str, shift: int) -> None:
    case = Case(seed)
    sizes = np.array([1e4 if dtype == "int16" else 1e2, 3, 1e-3, 1e-6, 1e-9], np.float32)[:, None]
    coefficients = case.rng.standard_normal((5, 32)).astype(np.float32) * sizes
    if case.rng.random() < 0.3:
        coefficients[case.rng.integers(0, 5), case.rng.integers(0, 32)] = case.rng.choice([np.nan, np.inf, -1e38])
    attributes = {"start": int(case.rng.integers(-32768, 32768)), "shift": shift, **case.output(dtype)}
    check(tmp_path, "Curve", [case.codes((rows, n), "int16"), coefficients], attributes, dtype, constants=(1,))


@THOROUGH
@given(SEEDS, st.integers(0, 5), KINDS, KINDS, OUTPUTS, st.integers(0, 5), st.integers(1, 40))
def test_binary(tmp_path: Path, seed: int, op: int, a: str, b: str, dtype: str, form: int, n: int) -> None:
    case = Case(seed)
    shapes = [
        ((2, 3, n), (2, 3, n)),
        ((2, 3, n), (n,)),
        ((2, 3, n), (3, 1)),
        ((1,), (2, n)),
        ((2, 1, n), (3, 1)),
        ((2, 0, n), (1,)),
    ]
    left, right = shapes[form]
    divisor = case.codes(right, b)
    zero_b = case.zero(b)
    if op == 3 and dtype == "float32":
        zero_b, divisor = 0, np.where(divisor == 0, 1, divisor).astype(b)
    typical = 1.0 if op != 2 else 1e-2
    attributes = {
        "op": op,
        "a_zero": case.zero(a),
        "b_zero": zero_b,
        "a_multiplier": case.factor(typical),
        "b_multiplier": case.factor(typical),
        **case.output(dtype),
    }
    check(tmp_path, "Binary", [case.codes(left, a), divisor], attributes, dtype)


@THOROUGH
@given(SEEDS, st.integers(0, 4), st.integers(1, 300), KINDS, OUTPUTS)
def test_layer_norm(tmp_path: Path, seed: int, rows: int, n: int, kind: str, dtype: str) -> None:
    case = Case(seed)
    inputs = [case.codes((2, rows, n), kind), case.factors(n, 20.0), case.factors(n, 3.0)]
    attributes = {"epsilon": float(np.float32(case.rng.choice([1e-12, 1e-5, 10.0]))), **case.output(dtype)}
    check(tmp_path, "LayerNorm", list(inputs), attributes, dtype, constants=(1, 2))


@THOROUGH
@given(SEEDS, st.integers(1, 4), st.integers(1, 3), st.integers(1, 20), KINDS, OUTPUTS)
def test_group_norm(tmp_path: Path, seed: int, groups: int, each: int, n: int, kind: str, dtype: str) -> None:
    case, channels = Case(seed), groups * each
    inputs = [case.codes((2, channels, n, 3), kind), case.factors(channels, 20.0), case.factors(channels, 3.0)]
    attributes = {"epsilon": float(np.float32(1e-5)), "groups": groups, **case.output(dtype)}
    check(tmp_path, "GroupNorm", list(inputs), attributes, dtype, constants=(1, 2))


@THOROUGH
@given(SEEDS, st.integers(1, 300), KINDS, OUTPUTS, st.integers(0, 1))
def test_softmax(tmp_path: Path, seed: int, n: int, kind: str, dtype: str, axis: int) -> None:
    case = Case(seed)
    attributes = {"axis": axis, "x_zero": case.zero(kind), "scale": abs(case.factor(0.05))}
    if dtype != "float32":
        attributes |= {"top": 255.0 if dtype == "uint8" else 32767.0, "y_zero": 0}
    check(tmp_path, "Softmax", [case.codes((n, 3) if axis == 0 else (3, n), kind)], attributes, dtype)


@THOROUGH
@given(SEEDS, st.integers(1, 9), st.integers(1, 6), KINDS, OUTPUTS)
def test_local_response_norm(tmp_path: Path, seed: int, channels: int, size: int, kind: str, dtype: str) -> None:
    case = Case(seed)
    attributes = {
        "size": size,
        "x_zero": case.zero(kind),
        "factor": float(np.float32(1e-4)),
        "bias": float(np.float32(case.rng.choice([1.0, 2.0]))),
        "beta": float(np.float32(case.rng.choice([0.75, 0.5]))),
        "multiplier": case.factor(1.0),
        **case.output(dtype),
    }
    check(tmp_path, "LocalResponseNorm", [case.codes((2, channels, 3, 5), kind)], attributes, dtype)


@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
@THOROUGH
@given(SEEDS, st.data(), st.integers(1, 2), KINDS, OUTPUTS)
def test_pools(tmp_path: Path, op: str, seed: int, data: st.DataObject, spatial: int, kind: str, dtype: str) -> None:
    case, window = Case(seed), data.draw(windows(spatial))
    window["begin"] = [min(b, k - 1) for b, k in zip(window["begin"], window["kernel"], strict=True)]
    window["end"] = [min(e, k - 1) for e, k in zip(window["end"], window["kernel"], strict=True)]
    size = sizes_for(window, data.draw(st.lists(st.integers(0, 6), min_size=spatial, max_size=spatial)))
    attributes: dict[str, Any] = {
        **{k: window[k] for k in ("kernel", "strides", "dilations")},
        "pads": window["begin"] + window["end"],
        "ceil": data.draw(st.integers(0, 1)),
        "count_include_pad": data.draw(st.integers(0, 1)),
    }
    if op == "AveragePool":
        attributes |= {"x_zero": case.zero(kind), "multiplier": case.factor(1.0), **case.output(dtype)}
    check(tmp_path, op, [case.codes((2, *size, 3), kind)], attributes, dtype if op == "AveragePool" else kind)


@THOROUGH
@given(SEEDS, st.sets(st.integers(0, 3)), st.integers(0, 1), KINDS, OUTPUTS)
def test_reduce_mean(tmp_path: Path, seed: int, axes: set[int], keep: int, kind: str, dtype: str) -> None:
    case = Case(seed)
    attributes = {
        "axes": sorted(axes),
        "keepdims": keep,
        "x_zero": case.zero(kind),
        "multiplier": case.factor(1.0),
        **case.output(dtype),
    }
    if not axes:
        return
    check(tmp_path, "ReduceMean", [case.codes((2, 3, 5, 4), kind)], attributes, dtype)


@THOROUGH
@given(SEEDS, st.integers(1, 2), st.integers(0, 1), st.integers(0, 3), st.integers(0, 3), st.booleans(), KINDS, OUTPUTS)
def test_resize(
    tmp_path: Path, seed: int, axes: int, linear: int, coordinates: int, nearest: int, by_size: bool, kind: str, dtype: str
) -> None:
    case = Case(seed)
    old = case.rng.integers(1, 8, axes)
    target = case.rng.integers(1, 12, axes) if by_size else case.rng.choice([0.5, 1, 1.5, 2, 3.25], axes).astype(np.float32)
    attributes = {"linear": linear, "coordinates": coordinates, "nearest": nearest, "x_zero": case.zero(kind)}
    if linear:
        attributes |= {"multiplier": case.factor(1.0), **case.output(dtype)}
    x = case.codes((2, 3, *(int(n) for n in old)), kind)
    check(tmp_path, "Resize", [x, target], attributes, dtype if linear else kind, constants=(1,))


@THOROUGH
@given(SEEDS, st.integers(0, 3), st.lists(st.integers(-1, 2), min_size=4, max_size=4), KINDS)
def test_pad(tmp_path: Path, seed: int, mode: int, pads: list[int], kind: str) -> None:
    case = Case(seed)
    pads = [max(0, p) for p in pads] if mode else pads
    attributes = {"mode": mode, "value": case.zero(kind), "axes": [1, 2]}
    check(tmp_path, "Pad", [case.codes((2, 4, 5), kind), np.array(pads, np.int64)], attributes, kind, constants=(1,))
