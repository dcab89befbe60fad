"""The rule for axes of every op: what it says can go together is removed, and the op must compute the same of what is left."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from qgraph.passes.prune.remove import remove

from qgraph.ir.axes import AXIS_RULES, AxisGraph
from qgraph.ir.op_traits import family
from tests.conftest import run_onnx
from tests.passes.graphs import model_of

RNG = np.random.default_rng(0)

CASES = [  # the call, the shapes of its inputs, how many of their units can go one at a time
    ("Relu(a)", [(2, 3)], 5),
    ("Add(a, b)", [(2, 3, 4), (3, 4)], 9),
    ("Add(a, b)", [(2, 3), (1,)], 5),
    ("Where(b, a, a)", [(2, 3), (2, 3)], 5),
    ("Gemm(a, b, c)", [(2, 3), (3, 4), (4,)], 9),
    ("Gemm(a, b, c)", [(2, 3), (3, 4), (2, 4)], 9),
    ("Gemm(a, b, c)", [(2, 3), (3, 4), (2, 1)], 9),
    ("Gemm(a, b, c)", [(2, 3), (3, 4), (1, 4)], 9),
    ("Gemm(a, b, c)", [(2, 3), (3, 4), ()], 9),
    ("Gemm<transA=1, transB=1>(a, b)", [(3, 2), (4, 3)], 9),
    ("MatMul(a, b)", [(2, 3, 4), (4, 5)], 14),
    ("MatMul(a, b)", [(2, 3, 4), (2, 4, 5)], 14),
    ("MatMul(a, b)", [(3,), (3, 2)], 5),
    ("MatMul(a, b)", [(2, 3), (3,)], 5),
    ("MatMul(a, b)", [(4, 2, 3), (3,)], 9),
    ("MatMul(a, b)", [(3,), (4, 3, 2)], 9),
    ("MatMul(a, b)", [(2, 3), (4, 3, 5)], 14),
    ("Conv(a, b, c)", [(1, 3, 5, 5), (4, 3, 2, 2), (4,)], 7),
    ("ConvTranspose(a, b, c)", [(1, 3, 4, 4), (3, 4, 2, 2), (4,)], 7),
    ("ConvTranspose<group=2>(a, b, c)", [(1, 4, 4, 4), (4, 3, 2, 2), (6,)], 5),
    ("ConvTranspose<group=4>(a, b, c)", [(1, 4, 4, 4), (4, 2, 2, 2), (8,)], 4),
    ("Conv<group=2>(a, b, c)", [(1, 4, 4, 4), (6, 2, 2, 2), (6,)], 5),
    ("Conv<group=4>(a, b, c)", [(1, 4, 4, 4), (8, 1, 2, 2), (8,)], 4),
    ("BatchNormalization(a, b, c, d, e)", [(2, 3, 4), (3,), (3,), (3,), (3,)], 9),
    ("InstanceNormalization(a, b, c)", [(2, 3, 4), (3,), (3,)], 5),
    ("LayerNormalization(a, b)", [(2, 3, 4), (4,)], 5),
    ("LayerNormalization<axis=1>(a, b)", [(2, 3, 4), (3, 4)], 2),
    ("Softmax(a)", [(2, 3, 4)], 5),
    ("LogSoftmax<axis=1>(a)", [(2, 3, 4)], 6),
    ("LRN<size=3>(a)", [(2, 3, 4, 4)], 10),
    ("LpNormalization<axis=1>(a)", [(2, 3, 4)], 6),
    ("LpNormalization(a)", [(2, 3, 4)], 5),
    ("GroupNormalization<num_groups=1>(a, b, c)", [(2, 4, 3), (4,), (4,)], 2),
    ("GroupNormalization<num_groups=2>(a, b, c)", [(2, 4, 3), (4,), (4,)], 4),
    ("MeanVarianceNormalization<axes=[0,2]>(a)", [(2, 3, 4)], 3),
    ("MeanVarianceNormalization<axes=[0,2,3]>(a)", [(2, 3, 4, 4)], 3),
    ("Hardmax(a)", [(2, 3, 4)], 5),
    ("LpPool<kernel_shape=[2,2]>(a)", [(2, 3, 4, 4)], 5),
    ("MaxPool<kernel_shape=[2,2]>(a)", [(2, 3, 4, 4)], 5),
    ("AveragePool<kernel_shape=[2,2]>(a)", [(2, 3, 4, 4)], 5),
    ("GlobalAveragePool(a)", [(2, 3, 4, 4)], 5),
    ("GlobalMaxPool(a)", [(2, 3, 4, 4)], 5),
    ("ReduceMean(a, i1)", [(2, 3, 4)], 6),
    ("ReduceMax<keepdims=0>(a, i1)", [(2, 3, 4)], 6),
    ("ReduceSum(a)", [(2, 3)], 0),
    ("ArgMax<axis=1, keepdims=0>(a)", [(2, 3, 4)], 6),
    ("TopK<axis=1>(a, i2)", [(2, 3, 4)], 6),
    ("CumSum(a, i1)", [(2, 3, 4)], 6),
    ("Transpose<perm=[2,0,1]>(a)", [(2, 3, 4)], 9),
    ("Expand(a, wide)", [(3, 1)], 3),
    ("Expand(a, wide)", [(3, 4)], 7),
    ("Pad(a, pads)", [(2, 3)], 7),
    ('Pad<mode="edge">(a, pads)', [(2, 3)], 2),
    ("Reshape(a, same)", [(2, 3, 4)], 9),
    ("Concat<axis=1>(a, b)", [(2, 3), (2, 4)], 9),
    ("Slice(a, i1, i2, i1)", [(2, 3, 4)], 9),
    ("Slice(a, back, far, i1, i1)", [(2, 3, 4)], 9),
    ("Slice(a, i1, far, i1, i2)", [(2, 3, 4)], 6),
    ("Gather<axis=1>(a, i1)", [(2, 3, 4)], 9),
    ("Gather<axis=1>(a, pick)", [(2, 4, 3)], 9),
    ("Gather<axis=1>(a, one)", [(2, 3, 4)], 6),
    ("Gather<axis=0>(a, i2)", [(3, 4)], 7),
    ("Flatten(a)", [(2, 3, 4)], 5),
    ("Squeeze(a, i1)", [(2, 1, 4)], 6),
    ("Unsqueeze(a, i1)", [(2, 4)], 6),
    ("Resize(a, , scales)", [(2, 3, 4, 4)], 5),
    ("ReverseSequence<batch_axis=0, time_axis=1>(a, lens)", [(2, 3, 4)], 4),
    ("CenterCropPad<axes=[1]>(a, i2)", [(2, 3, 4)], 6),
    ("GridSample(a, b)", [(1, 3, 4, 4), (1, 2, 2, 2)], 3),
    ('RoiAlign<coordinate_transformation_mode="output_half_pixel">(a, b, first)', [(1, 3, 4, 4), (1, 4)], 3),
    ("Tile(a, twice)", [(2, 3, 1)], 5),
    ("DepthToSpace<blocksize=2>(a)", [(1, 8, 2, 3)], 2),
    ('DepthToSpace<blocksize=2, mode="CRD">(a)', [(1, 8, 2, 3)], 2),
    ("SpaceToDepth<blocksize=2>(a)", [(1, 3, 2, 4)], 3),
    ("Split<num_outputs=2, axis=1>(a)", [(2, 4, 3)], 9),
    ("Reshape(a, joined)", [(3, 4, 2)], 7),
    ("Reshape(a, blocks)", [(4, 6)], 6),
    ("Reshape(a, mixed)", [(4, 3)], 0),
    ('Einsum<equation="bik,kj->bij">(a, b)', [(2, 3, 4), (4, 5)], 14),
    ('Einsum<equation="ij,jk">(a, b)', [(2, 3), (3, 2)], 0),
    ('Einsum<equation="ijk->ij">(a)', [(2, 3, 4)], 5),
    ("LSTM<hidden_size=3>(a, b, c, d)", [(5, 2, 4), (1, 12, 4), (1, 12, 3), (1, 24)], 9),
    (
        'LSTM<hidden_size=3, direction="bidirectional">(a, b, c, d, , e, e, f)',
        [(5, 2, 4), (2, 12, 4), (2, 12, 3), (2, 24), (2, 2, 3), (2, 9)],
        9,
    ),
    ("GRU<hidden_size=3, linear_before_reset=1>(a, b, c, d)", [(5, 2, 4), (1, 9, 4), (1, 9, 3), (1, 18)], 9),
    ("GRU<hidden_size=3>(a, b, c)", [(5, 2, 4), (1, 9, 4), (1, 9, 3)], 9),
    ("RNN<hidden_size=3>(a, b, c)", [(5, 2, 4), (1, 3, 4), (1, 3, 3)], 9),
]


def model_with(call: str, arrays: dict[str, np.ndarray]) -> ir.Model:
    """A model of one op whose inputs are all initializers."""
    op = call.split("(")[0].split("<")[0]
    constants = [f"int64[1] i{n} = {{{n}}}" for n in (1, 2)] + ["float[4] scales = {1, 1, 2, 2}"]
    constants += ["int64[2] wide = {3, 4}", "int64[4] pads = {0, 1, 0, 1}", "int64[3] same = {0, 0, 0}"]
    constants += [
        "int64[1] back = {-2}",
        "int64[1] far = {99}",
        "int64[4] pick = {2, 0, 0, 3}",
        "int64 one = {1}",
        "int64[2] lens = {3, 1}",
        "int64[1] first = {0}",
        "int64[3] twice = {1, 2, 1}",
    ]
    constants += ["int64[2] joined = {3, 8}", "int64[3] blocks = {4, 2, 3}", "int64[2] mixed = {6, 2}"]
    for name, values in arrays.items():
        kind = "bool" if op == "Where" and name == "b" else "float"
        numbers = [str(int(v > 0)) if kind == "bool" else repr(float(v)) for v in values.reshape(-1)]
        dims = f"[{','.join(map(str, values.shape))}]" if values.shape else ""
        constants.append(f"{kind}{dims} {name} = {{{', '.join(numbers)}}}")
    made = {"TopK": "y, index", "Split": "y, z"}.get(op, "y")
    return model_of(f"g () => ({'int64' if op == 'ArgMax' else 'float'}[] y) <{', '.join(constants)}> {{ {made} = {call} }}")


@pytest.mark.parametrize(("call", "shapes", "units"), CASES)
def test_what_goes_together_can_go(call: str, shapes: list[tuple[int, ...]], units: int) -> None:
    arrays = {n: RNG.uniform(0.5, 2, s).astype(np.float32) for n, s in zip("abcdef", shapes, strict=False)}
    model = model_with(call, arrays)
    complete(model)
    (y,) = model.graph.outputs
    model.graph.outputs.clear()  # outputs of a model stay whole
    axes = AxisGraph(model)
    count = 0
    for group in axes.groups():
        for unit in np.flatnonzero(group.free) if group.units > 1 else ():
            kept = {(v.name, axis): group.unit_of[group.nodes[v, axis]] != unit for v, axis in group.nodes}
            full = arrays
            # a sum over this axis: what goes must be zero; a recurrent op sums over its state
            if not any(name == y.name for name, _ in kept) or family(y.producer()) == "recurrent":
                full = {n: zeroed(array, n, kept) for n, array in arrays.items()}
            whole = run_onnx(model_with(call, full), {})[0]
            less = complete(model_with(call, full))
            named = {v.name: v for v in (*less.graph.initializers.values(), *(o for node in less.graph for o in node.outputs))}
            remove(
                less, {(named[n], i): np.flatnonzero(stays) for (n, i), stays in kept.items() if n in named and not stays.all()}
            )
            np.testing.assert_allclose(run_onnx(less, {})[0], keep(whole, y.name, kept), 1e-5, 1e-6 * np.abs(whole).max())
            count += 1
    assert count == units


def complete(model: ir.Model) -> ir.Model:
    """The model with the shape that ONNX does not infer for GroupNormalization."""
    (y,) = model.graph.outputs
    y.shape = y.shape or model.graph.initializers["a"].shape
    return model


def keep(array: np.ndarray, name: str | None, kept: dict[tuple[str | None, int], np.ndarray]) -> np.ndarray:
    """``array`` without the indices that go from each axis of the value ``name``."""
    for axis in range(array.ndim):
        if (name, axis) in kept:
            array = array.compress(kept[name, axis], axis)
    return array


def zeroed(array: np.ndarray, name: str, kept: dict[tuple[str | None, int], np.ndarray]) -> np.ndarray:
    """``array`` with zeros where indices go."""
    for axis in range(array.ndim):
        if (name, axis) in kept:
            array = array * kept[name, axis].reshape([-1 if a == axis else 1 for a in range(array.ndim)])
    return array


def test_every_case_has_a_rule_and_an_op_without_one_freezes_what_it_touches() -> None:
    assert {call.split("(")[0].split("<")[0] for call, _, _ in CASES} <= set(AXIS_RULES)
    model = model_with("Det(a)", {"a": np.eye(3, dtype=np.float32)})
    reasons = AxisGraph(model).frozen
    a = model.graph.initializers["a"]
    assert [reasons[a, axis] for axis in (0, 1)] == ["Det node 'y' has no rule for pruning"] * 2
