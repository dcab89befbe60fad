"""Matrix products on codes: static ones become Q/DQ pairs, dynamic ones the standard's integer ops, packed weights codes."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from qgraph.capture.quantized.builder import Builder
from qgraph.capture.quantized.registry import MICROSOFT, rewrites
from qgraph.capture.quantized.signs import positive
from qgraph.ir.bit_types import code_type
from qgraph.ir.patterns import attr, constant, rank
from qgraph.numerics.affine import INT_TYPES, QParams

D = ir.DataType


def _matrix(b: Builder, index: int, axis: int) -> ir.Value:
    """The operand at ``index`` as real numbers; several scales run over ``axis``, counted from the end."""
    codes, scale, zero = b.needed(index), b.needed(index + 1), b.input(index + 2)
    array, dims = constant(scale), rank(codes)
    if array is not None and array.size > 1:
        if dims is None or array.size != array.shape[-1 if axis == -1 or array.ndim == 1 else axis]:
            raise b.refuse("has a scale a row of several matrices, which no DequantizeLinear says; quantize it per tensor")
        scale = b.constant(f"{scale.name}_vector", array.reshape(-1))
        point = constant(zero)
        if zero is not None and point is not None and point.size > 1:
            zero = b.constant(f"{zero.name}_vector", point.reshape(-1), zero.dtype)
        return b.dequantized(codes, scale, zero, axis=axis + dims)
    return b.dequantized(codes, scale, zero)


@rewrites("QLinearMatMul", domain="")
@rewrites("QLinearMatMul", domain=MICROSOFT)
def product(b: Builder, node: ir.Node) -> None:
    """Inputs: a, its scale and zero point, the same of b and of y; scales a row of a and a column of b."""
    made = b.add("MatMul", [_matrix(b, 0, -2), _matrix(b, 3, -1)], name=f"{node.outputs[0].name}_matmul")
    b.finish_codes(made, b.needed(6), b.input(7))


@rewrites("QGemm")
def gemm(b: Builder, node: ir.Node) -> None:
    """Inputs: a and b with scales and zero points, c of int32 at ``s_a * s_b``, perhaps y's parameters; alpha is over both."""
    alpha, turned = attr(node, "alpha", 1.0), attr(node, "transB", 0)
    inputs: list[ir.Value | None] = [_matrix(b, 0, -2), _matrix(b, 3, -2 if turned else -1)]
    if (bias := b.input(6)) is not None:
        scale = b.product(b.needed(1), b.needed(4), f"{bias.name}_scale")
        inputs.append(b.dequantized(bias, scale, None, axis=(rank(bias) or 1) - 1))
    attributes = {"alpha": alpha, "beta": alpha, "transA": attr(node, "transA", 0), "transB": turned}
    made = b.add("Gemm", inputs, attributes, name=f"{node.outputs[0].name}_gemm")
    if (scale_y := b.input(7)) is None:
        b.finish(made)
    else:
        b.finish_codes(made, scale_y, b.input(8))


@rewrites("DynamicQuantizeMatMul")
def dynamic(b: Builder, node: ir.Node) -> None:
    """Inputs: a (float), b, its scale, its zero point, a bias: a is quantized by its own range in every run."""
    name = node.outputs[0].name
    codes = b.add("DynamicQuantizeLinear", [b.needed(0)], name=f"{name}_codes", type=D.UINT8, outputs=3)
    scale, zero = codes.producer().outputs[1:]  # type: ignore[union-attr]
    scale.name, zero.name = f"{name}_scale", f"{name}_zero_point"
    scale.type, zero.type = ir.TensorType(D.FLOAT), ir.TensorType(D.UINT8)
    _integer(b, codes, zero, b.needed(1), b.input(3), b.add("Mul", [scale, b.needed(2)], name=f"{name}_scales"), b.input(4))


@rewrites("MatMulIntegerToFloat")
def to_float(b: Builder, node: ir.Node) -> None:
    """Inputs: a, b, their scales, their zero points, a bias."""
    scales = b.add("Mul", [b.needed(2), b.needed(3)], name=f"{node.outputs[0].name}_scales")
    _integer(b, b.needed(0), b.input(4), b.needed(1), b.input(5), scales, b.input(6))


def _integer(
    b: Builder,
    codes: ir.Value,
    zero: ir.Value | None,
    weight: ir.Value,
    weight_zero: ir.Value | None,
    scales: ir.Value,
    bias: ir.Value | None,
) -> None:
    """MatMulInteger, Cast, Mul and Add."""
    name = b.node.outputs[0].name
    total = b.add("MatMulInteger", [codes, weight, zero, weight_zero], name=f"{name}_integer", type=D.INT32)
    made = b.add("Cast", [total], {"to": int(D.FLOAT)}, name=f"{name}_cast")
    made = b.add("Mul", [made, scales], name=f"{name}_scaled")
    b.finish(made if bias is None else b.add("Add", [made, bias], name=f"{name}_biased"))


def unpacked(packed: np.ndarray, bits: int, count: int) -> np.ndarray:
    """The first ``count`` codes (uint8) of every row of bytes, low bits first."""
    each = 8 // bits
    shifts = np.arange(each, dtype=np.uint8) * bits
    codes = (packed[..., None] >> shifts) & ((1 << bits) - 1)
    return codes.reshape(*packed.shape[:-1], -1)[..., :count].astype(np.uint8)  # type: ignore[no-any-return]


@rewrites("MatMulNBits")
def packed_product(b: Builder, node: ir.Node) -> None:
    """Inputs: a (float), b of bytes [N, blocks, bytes], scales [N, blocks], zero points (packed; none: the middle code), an
    order of groups, a bias. The weight becomes codes [K, N] with scales [blocks, N]."""
    n, k, bits, block = (attr(node, name, default) for name, default in (("N", 0), ("K", 0), ("bits", 4), ("block_size", 0)))
    packed, scale = constant(b.needed(1)), constant(b.needed(2))
    given = b.input(3)
    point = constant(given)
    integers = given is None or (point is not None and point.dtype == np.uint8)
    if packed is None or scale is None or bits not in (2, 4, 8) or not integers:
        raise b.refuse(
            f"has weights of {bits} bits that are computed or have float zero points; quantize it with constant codes of 2, 4 "
            "or 8 bits and integer zero points"
        )
    if b.input(4) is not None:
        raise b.refuse("reorders the groups of its weight (g_idx); quantize it without")
    blocks, middle = -(-k // block), 1 << (bits - 1)
    codes, scale = unpacked(packed.reshape(n, -1), bits, k).T.copy(), scale.reshape(n, blocks).T.copy()
    zeros = np.full(scale.shape, middle, np.uint8) if point is None else unpacked(point.reshape(n, -1), bits, blocks).T.copy()
    params = positive(QParams(INT_TYPES[f"uint{bits}"], scale, zeros, 0, block), codes)
    out = node.outputs[0]
    real = b.dequantized_constant(b.needed(1).name or "weight", *params)
    made = b.add("MatMul", [b.needed(0), real], name=f"{out.name}_matmul")
    b.finish(made if b.input(5) is None else b.add("Add", [made, b.input(5)], name=f"{out.name}_biased"))


@rewrites("GatherBlockQuantized")
def packed_table(b: Builder, node: ir.Node) -> None:
    """Inputs: codes, indices, scales, zero points; blocks run along ``quantize_axis``."""
    table, scale, axis = b.needed(0), constant(b.needed(2)), attr(node, "quantize_axis", 1)
    codes, kind, point = constant(table), code_type(table.dtype), constant(b.input(3))
    if codes is None or scale is None or kind is None or (b.input(3) is not None and point is None):
        raise b.refuse("has codes or scales that are computed; quantize it again with constant ones")
    if table.dtype == ir.DataType.UINT8 and attr(node, "bits", 4) < 8:
        raise b.refuse("has its codes packed in bytes; quantize it again so that they are stored as int4 or uint4")
    zeros = np.zeros(scale.shape, np.int64) if point is None else point
    params = QParams(kind, scale, zeros, axis % codes.ndim, attr(node, "block_size", 128))
    real = b.dequantized_constant(table.name or "table", *positive(params, codes))
    b.finish(b.add("Gather", [real, b.needed(1)], {"axis": attr(node, "gather_axis", 0)}, name=f"{node.outputs[0].name}_gather"))
