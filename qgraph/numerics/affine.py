"""The affine quantizer: ``q = clamp(round(x / s) + z, qmin, qmax)``, ``x' = (q - z) * s``.

This is ONNX ``QuantizeLinear`` / ``DequantizeLinear``: scales are float32 > 0, zero points are integers of the
storage type, rounding is half to even unless asked otherwise.
"""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np

Rounding = Literal["even", "floor", "stochastic"]


@dataclasses.dataclass(frozen=True)
class IntType:
    """An integer storage type: its name, width in bits and range."""

    name: str
    bits: int
    signed: bool

    @property
    def qmin(self) -> int:
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def qmax(self) -> int:
        return (1 << (self.bits - 1)) - 1 if self.signed else (1 << self.bits) - 1

    @property
    def container(self) -> np.dtype:
        """The NumPy integer dtype that holds one code a element (``int8`` for int4)."""
        width = 8 if self.bits <= 8 else 16 if self.bits <= 16 else 32
        return np.dtype(f"{'int' if self.signed else 'uint'}{width}")


INT_TYPES = {
    name: IntType(name, int(name.lstrip("uint")), not name.startswith("u"))
    for name in ("int2", "uint2", "int4", "uint4", "int8", "uint8", "int16", "uint16", "int32")
}


@dataclasses.dataclass(frozen=True)
class QParams:
    """Quantization parameters of one tensor.

    ``scale`` (float32) and ``zero_point`` (integer) are 0-d (per tensor), 1-d along ``axis`` (per channel) or of
    the tensor's rank with ``block`` consecutive elements of ``axis`` sharing one entry (per block).
    """

    type: IntType
    scale: np.ndarray
    zero_point: np.ndarray
    axis: int | None = None
    block: int = 0

    def expand(self, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Return scale and zero point (int64) broadcastable against a tensor of ``shape``."""
        scale, zero = self.scale, self.zero_point.astype(np.int64)
        if self.axis is None:
            return scale, zero
        if self.block:
            length = shape[self.axis]
            return tuple(  # type: ignore[return-value]
                np.repeat(a, self.block, axis=self.axis).take(range(length), axis=self.axis) for a in (scale, zero)
            )
        form = [1] * len(shape)
        form[self.axis] = -1
        return scale.reshape(form), zero.reshape(form)


def _round(x: np.ndarray, rounding: Rounding, rng: np.random.Generator | None) -> np.ndarray:
    if rounding == "even":
        return np.rint(x)
    if rounding == "floor":
        return np.floor(x)
    if rng is None:
        raise ValueError("stochastic rounding needs a numpy.random.Generator: pass rng=")
    low = np.floor(x)
    return low + (rng.random(x.shape) < x - low)


def quantize(x: np.ndarray, params: QParams, rounding: Rounding = "even", rng: np.random.Generator | None = None) -> np.ndarray:
    """Quantize float32 ``x``; returns codes of the same shape in ``params.type.container``.

    ``rounding="floor"`` with the zero point's sign turned is the form ``floor(r / S) - Z``.
    """
    scale, zero = params.expand(x.shape)
    codes = np.asarray(_round(np.asarray(x, np.float32) / scale, rounding, rng))
    low, high = params.type.qmin, params.type.qmax
    if params.type.bits > 16:  # float32 does not hold every code
        return np.clip(codes.astype(np.float64) + zero, low, high).astype(params.type.container)
    if zero.any():
        zero = zero.astype(np.float32)
        return (np.clip(codes, low - zero, high - zero) + zero).astype(params.type.container)
    return np.clip(codes, low, high, out=codes).astype(params.type.container)


def dequantize(q: np.ndarray, params: QParams) -> np.ndarray:
    """Return ``(q - z) * s`` as float32, the shape of ``q``."""
    scale, zero = params.expand(q.shape)
    return (q.astype(np.int64) - zero).astype(np.float32) * scale


def from_range(
    low: np.ndarray | float, high: np.ndarray | float, kind: IntType, *, symmetric: bool, axis: int | None = None
) -> QParams:
    """Parameters that cover ``[low, high]`` (scalars or 1-d per channel), zero always exactly representable.

    Symmetric signed types use ``[-qmax, qmax]``. A range of zero width gives scale 1, so that no epsilon ships.
    """
    low = np.minimum(np.asarray(low, np.float64), 0.0)
    high = np.maximum(np.asarray(high, np.float64), 0.0)
    if symmetric:
        half = kind.qmax if kind.signed else (kind.qmax - 1) / 2
        scale = np.maximum(-low, high) / half
        zero = np.full_like(scale, 0 if kind.signed else (kind.qmax + 1) // 2)
    else:
        scale = (high - low) / (kind.qmax - kind.qmin)
        with np.errstate(divide="ignore", invalid="ignore"):
            zero = np.clip(np.rint(kind.qmin - low / scale), kind.qmin, kind.qmax)
    # float32's smallest normal number: a smaller range is a dead tensor, all zeros
    dead = ~(scale >= np.finfo(np.float32).tiny)
    scale = np.where(dead, 1.0, scale).astype(np.float32)
    zero = np.where(dead, kind.qmin if not kind.signed else 0, zero).astype(kind.container)
    return QParams(kind, scale, zero, axis)


def weight_params(w: np.ndarray, kind: IntType, axis: int | None, *, block: int = 0, symmetric: bool = True) -> QParams:
    """Parameters of a weight: per tensor (``axis=None``), per channel of ``axis``, or per ``block`` along ``axis``."""
    if block:
        assert axis is not None
        length = w.shape[axis]
        pad = [(0, 0)] * w.ndim
        pad[axis] = (0, -length % block)
        padded = np.moveaxis(np.pad(w, pad, mode="edge"), axis, 0)
        groups = padded.reshape(-1, block, *padded.shape[1:])
        params = from_range(groups.min(1), groups.max(1), kind, symmetric=symmetric)
        return QParams(kind, np.moveaxis(params.scale, 0, axis), np.moveaxis(params.zero_point, 0, axis), axis, block)
    if axis is None:
        low, high = (w.min(), w.max()) if w.size else (0.0, 0.0)
        return from_range(low, high, kind, symmetric=symmetric)
    if not w.size:
        return from_range(np.zeros(w.shape[axis]), np.zeros(w.shape[axis]), kind, symmetric=symmetric, axis=axis)
    others = tuple(i for i in range(w.ndim) if i != axis)
    return from_range(w.min(others), w.max(others), kind, symmetric=symmetric, axis=axis)


def pack(codes: np.ndarray, bits: int) -> np.ndarray:
    """Pack integer codes of 1, 2 or 4 bits, little end first, into a flat uint8 array (ONNX's layout for INT4/INT2)."""
    per = 8 // bits
    flat = codes.reshape(-1).astype(np.int64) & ((1 << bits) - 1)
    flat = np.pad(flat, (0, -len(flat) % per)).reshape(-1, per)
    return (flat << (np.arange(per) * bits)).sum(1).astype(np.uint8)


def unpack(data: np.ndarray, bits: int, count: int) -> np.ndarray:
    """The first ``count`` signed codes (int8) of packed bytes; the inverse of ``pack``, and the bytes themselves for 8 bits."""
    if bits == 8:
        return data.view(np.int8)[:count]
    fields = (data[:, None] >> (np.arange(8 // bits) * bits) & ((1 << bits) - 1)).reshape(-1)[:count].astype(np.int8)
    return np.where(fields >> (bits - 1), fields - (1 << bits), fields).astype(np.int8)
