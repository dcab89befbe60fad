"""Learning-rate schedules as factors of the first rate."""

from __future__ import annotations

import math


def factor(kind: str, step: int, steps: int, warmup: float) -> float:
    """The factor at ``step`` of ``steps``: a linear warm-up over the part ``warmup``, then constant, linear to 0, cosine to 0
    (Loshchilov and Hutter 2017, one period), or a tenth after half and a hundredth after three quarters (``step``)."""
    rise = warmup * steps
    if step < rise:
        return (step + 1) / (rise + 1)
    part = (step - rise) / max(1.0, steps - rise)
    if kind == "linear":
        return 1 - part
    if kind == "cosine":
        return 0.5 * (1 + math.cos(math.pi * part))
    if kind == "step":
        return 1.0 if part < 0.5 else 0.1 if part < 0.75 else 0.01
    return 1.0
