"""Padding of windows that ``auto_pad`` and ``output_shape`` imply (ONNX operators: Conv, ConvTranspose, MaxPool).

Lists have one number a spatial axis; ``size`` is the input's (of a Conv or pool) or the output's without padding (of a
ConvTranspose).
"""

from __future__ import annotations

from collections.abc import Sequence


def padding(
    auto_pad: str,
    pads: Sequence[int] | None,
    size: Sequence[int],
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
) -> tuple[list[int], list[int]]:
    """Padding before and after each spatial axis of a Conv or a pool."""
    n = len(kernel)
    if auto_pad in ("NOTSET", ""):
        given = list(pads or [0] * (2 * n))
        return given[:n], given[n:]
    if auto_pad == "VALID":
        return [0] * n, [0] * n
    total = [
        max(0, (-(-s // step) - 1) * step + (k - 1) * d + 1 - s)
        for s, k, step, d in zip(size, kernel, strides, dilations, strict=True)
    ]
    return halves(total, upper=auto_pad == "SAME_UPPER")


def cut(full: Sequence[int], wanted: Sequence[int], upper: bool) -> tuple[list[int], list[int], list[int]]:
    """What a ConvTranspose cuts away before and after each axis, and what it adds behind, to go from ``full`` to ``wanted``."""
    before, after = halves([max(0, f - o) for f, o in zip(full, wanted, strict=True)], upper)
    return before, after, [max(0, o - f) for f, o in zip(full, wanted, strict=True)]


def same_output(size: Sequence[int], strides: Sequence[int], full: Sequence[int]) -> list[int]:
    """Output sizes of a ConvTranspose with auto_pad=SAME_*: at most ``full``, since ONNX Runtime adds nothing behind."""
    return [min(s * t, f) for s, t, f in zip(size, strides, full, strict=True)]


def halves(total: Sequence[int], upper: bool) -> tuple[list[int], list[int]]:
    """``total`` split in two: the odd one is behind if ``upper``, else in front."""
    small = [t // 2 for t in total]
    large = [t - s for t, s in zip(total, small, strict=True)]
    return (small, large) if upper else (large, small)
