"""Files that other tools quantized -> the quantized dialect, with their own scales.

    QLinearConv(x, sx, zx, w, sw, zw, sy, zy, b)   ->   Q(Conv(DQ(x), DQ(w), DQ(b)), sy, zy)
    Reshape(codes)                                 ->   Q(Reshape(DQ(codes)))
    DynamicQuantizeMatMul(x, w, sw)                ->   DynamicQuantizeLinear, MatMulInteger, Cast, Mul

Scales, zero points and codes stay what the file says. ONNX's operator specification and the contrib operators of ONNX Runtime
(docs/ContribOperators.md) define what every op computes.
"""

from __future__ import annotations

from qgraph.capture.quantized import conv, linear, pointwise, recurrent
from qgraph.capture.quantized.driver import holds_foreign, to_quantized

__all__ = ["conv", "holds_foreign", "linear", "pointwise", "recurrent", "to_quantized"]
