"""Weights as indices into a few int8 levels (differentiable quantization; Polino et al. 2018, section 3.2 and algorithm 2).

W  ->  qgraph.FakeQuantizeCodebook(W, levels, scale)                       (while the levels are trained)
   ->  DequantizeLinear(Gather(int8 levels, Cast(packed indices)), scale)   (once baked)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

import numpy as np
import onnx_ir as ir

from qgraph.errors import QGraphError
from qgraph.ir.bit_types import onnx_type, smallest_unsigned
from qgraph.ir.dialects import DOMAIN
from qgraph.ir.ops.fake_quantize_codebook import nearest, rounded
from qgraph.ir.patterns import add_initializer, constant, new_node, nodes
from qgraph.ir.scopes import where
from qgraph.numerics.affine import QParams

MOST, LEAST = 16, 2


@dataclasses.dataclass
class Codebooks:
    """How many levels each weight gets, and where they start.

    Attributes:
        points: levels of a weight.
        start: ``percentile`` (each the middle of an equal share of the weights) or ``uniform`` (equal steps).
        shares: levels by name of weight where they differ.
    """

    points: int
    start: Literal["percentile", "uniform"]
    shares: Mapping[str, int]

    def levels(self, name: str, x: np.ndarray) -> np.ndarray:
        """The first levels (float32, sorted) of the weight ``name``, whose elements over their scales are ``x``."""
        count = self.shares.get(name, self.points)
        if self.start == "percentile":
            return np.quantile(x, (np.arange(count) + 0.5) / count).astype(np.float32)
        return np.linspace(x.min(), x.max(), count, dtype=np.float32)


def share_points(norms: Mapping[str, float], points: int) -> dict[str, int]:
    """Share ``points`` levels a weight among all by the norms of their gradients (Polino et al. 2018, section 3.2).

    Every weight gets half of ``points``; what is left goes by norm. Bounds are 2 and 16; what they cut off goes to the
    weights with the largest norms that have room.
    """
    if not norms:
        return {}
    total, base = points * len(norms), max(LEAST, points // 2)
    whole = sum(norms.values()) or 1.0
    rest = total - base * len(norms)
    found = {name: int(np.clip(base + round(norm / whole * rest), LEAST, MOST)) for name, norm in norms.items()}
    order = sorted(norms, key=lambda name: -norms[name])
    while (left := total - sum(found.values())) != 0:
        step = 1 if left > 0 else -1
        open_ = [n for n in (order if step > 0 else order[::-1]) if LEAST <= found[n] + step <= MOST]
        if not open_:
            break
        for name in open_[: abs(left)]:
            found[name] += step
    return found


def insert(model: ir.Model, node: ir.Node, value: ir.Value, array: np.ndarray, params: QParams, books: Codebooks) -> ir.Value:
    """Put a codebook behind the weight ``value``; returns what its readers read."""
    name = value.name or "weight"
    scale = np.asarray(params.expand(array.shape)[0], np.float32)
    levels = books.levels(name, array / scale)
    inputs = [value, add_initializer(model, f"{name}_levels", levels), add_initializer(model, f"{name}_scale", scale)]
    made = new_node(node, "FakeQuantizeCodebook", inputs, domain=DOMAIN, name=f"{name}_codebook")
    out = made.outputs[0]
    out.name, out.shape, out.dtype = f"{name}_dequantized", value.shape, ir.DataType.FLOAT
    model.graph.insert_before(model.graph[0], made)
    return out


def check_constants(model: ir.Model) -> None:
    """Refuse codebooks that ``bake`` cannot turn into indices."""
    for node in nodes(model, "FakeQuantizeCodebook", domain=DOMAIN):
        if any(constant(v) is None for v in node.inputs):
            raise QGraphError(f"{where(node)} reads weights or levels that are computed; only constants can be baked")


def bake(model: ir.Model) -> list[int]:
    """Turn every ``FakeQuantizeCodebook`` (of constants) into a table and packed indices; returns the bytes that each saves."""
    saved = []
    for node in nodes(model, "FakeQuantizeCodebook", domain=DOMAIN):
        value = node.inputs[0]
        array, levels, scale = (constant(v) for v in node.inputs)
        assert value is not None and array is not None and levels is not None and scale is not None
        table = rounded(levels)
        packed = onnx_type(smallest_unsigned(len(table)))
        index = nearest(array.astype(np.float32) / scale, table).astype(packed.numpy())
        name = value.name or "weight"
        stored = add_initializer(model, f"{name}.indices", index, packed)
        stored.metadata_props.update(value.metadata_props)
        axes = [i for i, n in enumerate(scale.shape) if n != 1]
        flat = add_initializer(model, f"{name}_step", scale.reshape(-1) if axes else scale.reshape(()))
        cast = new_node(node, "Cast", [stored], {"to": int(ir.DataType.INT32)}, name=f"{name}_indices")
        gather = new_node(
            node, "Gather", [add_initializer(model, f"{name}.levels", table), cast.outputs[0]], {"axis": 0}, name=f"{name}_gather"
        )
        unpack = new_node(
            node, "DequantizeLinear", [gather.outputs[0], flat], {"axis": axes[0] if axes else None}, name=f"{name}_dequantize"
        )
        types = (ir.DataType.INT32, ir.DataType.INT8, ir.DataType.FLOAT)
        for made, kind in zip((cast, gather, unpack), types, strict=True):
            made.outputs[0].name, made.outputs[0].shape, made.outputs[0].dtype = f"{made.name}_out", value.shape, kind
        model.graph.insert_before(node, [cast, gather, unpack])
        ir.convenience.replace_all_uses_with(node.outputs[0], unpack.outputs[0])
        model.graph.remove(node, safe=True)
        saved.append(array.nbytes - stored.const_value.nbytes)  # type: ignore[union-attr]
    return saved
