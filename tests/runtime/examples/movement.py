"""Ops that move elements of any type."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from qgraph.ir.integer_ops import CacheMode, PadMode, ScatterReduction
from tests.runtime.examples.example import SEEDS, Case, Example, example
from tests.runtime.examples.pool import sizes_for, windows

ANY = st.sampled_from(["float32", "int64", "int32", "int16", "int8", "uint8", "bool"])
SHAPES = st.lists(st.integers(1, 5), min_size=1, max_size=4).map(tuple)


def int64(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def data(draw: st.DrawFn, shape: tuple[int, ...]) -> tuple[np.ndarray, str]:
    """Elements of a random type, and its name."""
    kind = draw(ANY)
    return Case(draw(SEEDS)).any(shape, kind), kind


@example("Reshape")
def reshape(draw: st.DrawFn, op: str) -> Example:
    n, zeros = draw(st.integers(0, 5)), draw(st.booleans())
    x, kind = data(draw, (2, 3, n) if zeros else (2, 3, n + 1))
    if zeros:  # 0 is a length
        return Example([x, int64(n, 6, 1)], {"allowzero": 1}, (kind,), constants=(1,))
    target = draw(st.sampled_from([(-1,), (0, -1), (6, n + 1), (2, 0, -1, 1), (n + 1, 3, 2), (0, 0, 0)]))
    return Example([x, int64(*target)], draw(st.sampled_from([{}, {"allowzero": 0}])), (kind,), constants=(1,))


@example("Squeeze")
def squeeze(draw: st.DrawFn, op: str) -> Example:
    x, kind = data(draw, (1, 3, 1, draw(st.integers(0, 4))))
    axes = draw(st.sampled_from([None, (0,), (-2,), (0, 2)]))
    return Example([x] if axes is None else [x, int64(*axes)], {}, (kind,), constants=(1,))


@example("Unsqueeze")
def unsqueeze(draw: st.DrawFn, op: str) -> Example:
    x, kind = data(draw, draw(SHAPES))
    return Example([x, int64(*draw(st.sampled_from([(0,), (-1,), (1, 0), (0, -1)])))], {}, (kind,), constants=(1,))


@example("Flatten")
def flatten(draw: st.DrawFn, op: str) -> Example:
    x, kind = data(draw, shape := draw(SHAPES))
    return Example([x], {"axis": draw(st.integers(-len(shape), len(shape)))}, (kind,))


@example("Identity")
def identity(draw: st.DrawFn, op: str) -> Example:
    x, kind = data(draw, draw(SHAPES))
    return Example([x], {}, (kind,))


@example("Transpose")
def transpose(draw: st.DrawFn, op: str) -> Example:
    x, kind = data(draw, draw(st.lists(st.integers(0, 40), min_size=1, max_size=3).map(tuple)))
    perm = draw(st.permutations(range(x.ndim)))
    return Example([x], draw(st.sampled_from([{}, {"perm": list(perm)}])), (kind,))


@example("Slice")
def slice_(draw: st.DrawFn, op: str) -> Example:
    x, kind = data(draw, shape := draw(SHAPES))
    axes = draw(st.lists(st.integers(0, len(shape) - 1), min_size=1, unique=True))
    ends = st.integers(-7, 7) | st.sampled_from([2**62, -(2**62)])
    stops, steps = [draw(ends) for _ in axes], [draw(st.sampled_from([1, 2, -1, -3])) for _ in axes]
    # ONNX takes a start before the first element for the first one, backwards too; its evaluator then takes none
    starts = [draw(ends if step > 0 else st.integers(-shape[a], 7)) for a, step in zip(axes, steps, strict=True)]
    inputs = [x, int64(*starts), int64(*stops), int64(*axes), int64(*steps)]
    return Example([*inputs], {}, (kind,), constants=(1, 2, 3, 4))


@example("Split")
def split(draw: st.DrawFn, op: str) -> Example:
    parts, axis = draw(st.lists(st.integers(0, 3), min_size=1, max_size=3)), draw(st.integers(-3, 2))
    shape = [2, 3, 4]
    shape[axis] = sum(parts)
    x, kind = data(draw, tuple(shape))
    return Example([x, int64(*parts)], {"axis": axis}, (kind,) * len(parts), constants=(1,))


@example("Split")
def split_evenly(draw: st.DrawFn, op: str) -> Example:
    parts, each = draw(st.integers(1, 3)), draw(st.integers(1, 3))
    x, kind = data(draw, (parts * each, 2))
    return Example([x], {"axis": 0, "num_outputs": parts}, (kind,) * parts)


@example("Concat")
def concat(draw: st.DrawFn, op: str) -> Example:
    kind, axis, case = draw(ANY), draw(st.integers(-3, 2)), Case(draw(SEEDS))
    shape = [2, 3, 4]
    arrays = []
    for n in draw(st.lists(st.integers(0, 4), min_size=1, max_size=3)):
        shape[axis] = n
        arrays.append(case.any(tuple(shape), kind))
    return Example([*arrays], {"axis": axis}, (kind,))


def indices(draw: st.DrawFn, shape: tuple[int, ...], dim: int) -> np.ndarray:
    kind = draw(st.sampled_from([np.int64, np.int32]))
    return np.random.default_rng(draw(SEEDS)).integers(-dim, dim, shape).astype(kind)


@example("Gather")
def gather(draw: st.DrawFn, op: str) -> Example:
    x, kind = data(draw, shape := draw(SHAPES))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    return Example([x, indices(draw, draw(st.sampled_from([(), (3,), (2, 2), (0,)])), shape[axis])], {"axis": axis}, (kind,))


@example("Gather")
def gather_packed(draw: st.DrawFn, op: str) -> Example:
    rows, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    table = Case(draw(SEEDS)).weights((rows, width), 4)
    return Example([table, indices(draw, (2, 3), rows)], {"axis": 0}, ("int8",), constants=(0,), bits=4, packed=0)


@example("GatherElements")
def gather_elements(draw: st.DrawFn, op: str) -> Example:
    x, kind = data(draw, shape := draw(SHAPES))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    wanted = [draw(st.integers(1, n)) for n in shape]
    wanted[axis] = draw(st.integers(0, 6))
    return Example([x, indices(draw, tuple(wanted), shape[axis])], {"axis": axis}, (kind,))


@example("GatherND")
def gather_nd(draw: st.DrawFn, op: str) -> Example:
    batch, depth = draw(st.integers(0, 1)), draw(st.integers(1, 2))
    x, kind = data(draw, (3, 3, 3, draw(st.integers(1, 3))))
    return Example([x, indices(draw, (3, 2, depth), 3).astype(np.int64)], {"batch_dims": batch}, (kind,))


@example("Expand")
def expand(draw: st.DrawFn, op: str) -> Example:
    x, kind = data(draw, draw(st.sampled_from([(3, 1), (1, 4), (3, 4), (1,)])))
    return Example([x, int64(*draw(st.sampled_from([(3, 4), (2, 3, 4), (1, 1), (0, 3, 4)])))], {}, (kind,), constants=(1,))


@example("Tile")
def tile(draw: st.DrawFn, op: str) -> Example:
    x, kind = data(draw, shape := draw(SHAPES))
    return Example([x, int64(*(draw(st.integers(0, 3)) for _ in shape))], {}, (kind,), constants=(1,))


@example("DepthToSpace", "SpaceToDepth")
def blocks(draw: st.DrawFn, op: str) -> Example:
    b, c, h, w = draw(st.integers(1, 3)), draw(st.integers(1, 3)), draw(st.integers(1, 4)), draw(st.integers(1, 4))
    to_space = op == "DepthToSpace"
    x, kind = data(draw, (2, c * b * b, h, w) if to_space else (2, c, h * b, w * b))
    return Example([x], {"blocksize": b, **({"dcr": draw(st.integers(0, 1))} if to_space else {})}, (kind,))


@example("Pad")
def pad(draw: st.DrawFn, op: str) -> Example:
    case, mode = Case(draw(SEEDS)), draw(st.sampled_from(PadMode))
    kind = draw(st.sampled_from(["uint8", "int16", "int32", "int64", "bool"]))
    pads = draw(st.lists(st.integers(-1, 9), min_size=4, max_size=4))
    value = case.zero(kind) if kind in ("uint8", "int16") else draw(st.integers(0, 1))
    attributes: dict[str, Any] = {"mode": int(mode), "value": value, "axes": [1, 2]}
    return Example([case.any((2, 4, 5), kind), int64(*pads)], attributes, (kind,), constants=(1,))


@example("ai.onnx.Pad")
def onnx_pad(draw: st.DrawFn, op: str) -> Example:
    mode, axes = draw(st.sampled_from(PadMode)), draw(st.sampled_from([None, (1,), (-1, 0)]))
    x, kind = data(draw, shape := draw(st.sampled_from([(2, 4, 5), (1, 1, 3), (3, 2, 1, 4)])))
    along = range(len(shape)) if axes is None else axes
    pads = [draw(st.integers(-1, 7)) for _ in range(2 * len(along))]
    for i, axis in enumerate(along):  # what is cut of an axis of one leaves nothing
        if shape[axis] < 3:
            pads[i], pads[i + len(along)] = abs(pads[i]), abs(pads[i + len(along)])
    value = draw(st.sampled_from([None, Case(draw(SEEDS)).any((1,), kind).reshape(())]))
    chosen = None if axes is None else np.array(axes, draw(st.sampled_from([np.int64, np.int32])))
    inputs: list[np.ndarray | None] = [x, int64(*pads), value, chosen]
    while inputs[-1] is None:
        inputs.pop()
    return Example(inputs, {"mode": int(mode)}, (kind,), constants=(1, 3))


@example("CenterCropPad")
def center_crop_pad(draw: st.DrawFn, op: str) -> Example:
    x, kind = data(draw, shape := draw(SHAPES))
    axes = draw(st.lists(st.integers(-len(shape), -1), min_size=1, unique=True))
    given = draw(st.booleans())
    shape_of = np.array(
        [draw(st.integers(0, 9)) for _ in (axes if given else shape)], draw(st.sampled_from([np.int64, np.int32]))
    )
    return Example([x, shape_of], {"axes": axes} if given else {}, (kind,), constants=(1,))


@example("Trilu")
def trilu(draw: st.DrawFn, op: str) -> Example:
    x, kind = data(draw, draw(st.lists(st.integers(0, 6), min_size=2, max_size=4).map(tuple)))
    k = draw(st.none() | st.integers(-7, 7) | st.sampled_from([2**62, -(2**62)]))
    return Example([x] if k is None else [x, int64(k).reshape(())], {"upper": draw(st.integers(0, 1))}, (kind,), constants=(1,))


@example("ReverseSequence")
def reverse_sequence(draw: st.DrawFn, op: str) -> Example:
    x, kind = data(draw, shape := draw(st.lists(st.integers(1, 5), min_size=2, max_size=4).map(tuple)))
    batch = draw(st.integers(0, 1))
    lengths = int64(*(draw(st.integers(0, shape[1 - batch])) for _ in range(shape[batch])))
    return Example([x, lengths], {"batch_axis": batch, "time_axis": 1 - batch}, (kind,))


@example("ScatterElements")
def scatter_elements(draw: st.DrawFn, op: str) -> Example:
    x, kind = data(draw, shape := draw(SHAPES))
    axis = draw(st.integers(-len(shape), len(shape) - 1))
    wanted = [draw(st.integers(1, n)) for n in shape]
    wanted[axis] = draw(st.integers(0, 6))
    updates = Case(draw(SEEDS)).any(tuple(wanted), kind)
    attributes = {"axis": axis, "reduction": int(draw(st.sampled_from(ScatterReduction)))}
    return Example([with_nan(draw, x), indices(draw, tuple(wanted), shape[axis]), with_nan(draw, updates)], attributes, (kind,))


@example("ScatterND")
def scatter_nd(draw: st.DrawFn, op: str) -> Example:
    x, kind = data(draw, shape := (3, 3, draw(st.integers(1, 40))))
    depth, n = draw(st.integers(0, 2)), draw(st.integers(0, 5))
    updates = Case(draw(SEEDS)).any((n, *shape[depth:]), kind)
    attributes = {"reduction": int(draw(st.sampled_from(ScatterReduction)))}
    return Example([with_nan(draw, x), indices(draw, (n, depth), 3), with_nan(draw, updates)], attributes, (kind,))


@example("TensorScatter")
def tensor_scatter(draw: st.DrawFn, op: str) -> Example:
    x, kind = data(draw, shape := (2, 3, 4, 5))
    axis, mode = draw(st.sampled_from([1, 2, 3, -1, -3])), draw(st.sampled_from(CacheMode))
    n = draw(st.integers(0, shape[axis]))
    wanted = list(shape)
    wanted[axis] = n
    update = Case(draw(SEEDS)).any(tuple(wanted), kind)
    most = 20 if mode == CacheMode.CIRCULAR else shape[axis] - n
    starts = int64(*(draw(st.integers(0, most)) for _ in range(2)))
    inputs = [x, update, starts] if draw(st.booleans()) else [x, update]
    return Example([*inputs], {"axis": axis, "mode": int(mode)}, (kind,))


def with_nan(draw: st.DrawFn, x: np.ndarray) -> np.ndarray:
    """``x`` with a few NaN, where it can have them."""
    if x.dtype != np.float32:
        return x
    return np.where(np.random.default_rng(draw(SEEDS)).random(x.shape) < 0.1, np.float32(np.nan), x)


@example("Compress")
def compress(draw: st.DrawFn, op: str) -> Example:
    x, kind = data(draw, shape := draw(SHAPES))
    axis = draw(st.none() | st.integers(-len(shape), len(shape) - 1))
    longest = x.size if axis is None else shape[axis]
    condition = np.array(draw(st.lists(st.booleans(), max_size=longest)), bool)
    return Example([x, condition], {} if axis is None else {"axis": axis}, (kind,))


@example("Col2Im")
def col2im(draw: st.DrawFn, op: str) -> Example:
    case, n = Case(draw(SEEDS)), draw(st.integers(1, 3))
    window = draw(windows(n))
    image = sizes_for(window, draw(st.lists(st.integers(0, 5), min_size=n, max_size=n)))
    parts = zip(image, *(window[k] for k in ("begin", "end", "dilations", "kernel", "strides")), strict=True)
    places = [(i + b + e - d * (k - 1) - 1) // s + 1 for i, b, e, d, k, s in parts]
    x = case.floats((2, 3 * int(np.prod(window["kernel"])), int(np.prod(places))))
    attributes = {"strides": window["strides"], "dilations": window["dilations"], "pads": window["begin"] + window["end"]}
    if draw(st.integers(0, 2)) == 0:
        attributes = {k: v for k, v in attributes.items() if set(v) != ({0} if k == "pads" else {1})}
    return Example([x, np.array(image), np.array(window["kernel"])], attributes, ("float32",), constants=(1, 2))
