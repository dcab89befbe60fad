"""Attributes that rows of several families share."""

from __future__ import annotations

from qgraph.ir.integer_ops.spec import CODES, FLOAT_MAX, FLOAT_TINY, MAX_RANK, U2, U4, AttributeSpec, InputSpec

WIDE = (-32768, 32767)
LENGTH = (1 << 20) - 1
"""The largest stride, dilation, pad or window."""


def zero_point(name: str, of: str, high: int = 32767) -> AttributeSpec:
    """The zero point of the codes ``of``, which are uint8 alone where ``high`` is 255."""
    low = 0 if high == 255 else -32768
    return AttributeSpec(name, "int", low, high, 0, codes_of=of, meaning=f"zero point of {of}")


def number(name: str, meaning: str, default: float | None = None, low: float = -FLOAT_MAX) -> AttributeSpec:
    """A float32."""
    return AttributeSpec(name, "float", low, FLOAT_MAX, default, required=default is None, meaning=meaning)


def positive(name: str, meaning: str, default: float | None = None) -> AttributeSpec:
    """A float32 above 0 that processors do not flush to 0."""
    return number(name, meaning, default, FLOAT_TINY)


def flag(name: str, meaning: str, default: int = 0, when: str = "") -> AttributeSpec:
    """0 or 1."""
    return AttributeSpec(name, "int", 0, 1, default, meaning=meaning, when=when)


def axis(name: str = "axis", default: int | None = 0, meaning: str = "negative ones count from the end") -> AttributeSpec:
    return AttributeSpec(name, "int", -MAX_RANK, MAX_RANK - 1, default, required=default is None, meaning=meaning)


def _of_y(name: str, default: int | None, meaning: str) -> AttributeSpec:
    return AttributeSpec(name, "int", *WIDE, default, codes_of="y", when="y", when_types=CODES, meaning=meaning)


Y_CODES = (
    _of_y("y_zero", 0, "zero point of y"),
    _of_y("clamp_min", None, "lowest code of y; left out: that of its type"),
    _of_y("clamp_max", None, "highest code of y; left out: that of its type"),
)
"""How y is stored: see ``quantized`` in the notation."""

LEVELS = AttributeSpec(
    "levels",
    "ints",
    -128,
    127,
    required=True,
    when="weights",
    when_types=(U4, U2),
    meaning="what each unsigned code stands for: 16 or 4 of them",
)

RESIDUAL = InputSpec("residual", CODES, "of the shape of y", optional=True)
RESIDUAL_ATTRIBUTES = (
    AttributeSpec(
        "residual_zero",
        "int",
        *WIDE,
        required=True,
        codes_of="residual",
        when="residual",
        meaning="zero point of residual",
    ),
    AttributeSpec(
        "residual_multiplier",
        "float",
        -FLOAT_MAX,
        FLOAT_MAX,
        required=True,
        when="residual",
        meaning="scale of residual / scale of y",
    ),
    flag("staged", "1: the product is rounded to codes of its own before the residual is added", when="residual"),
    AttributeSpec("mid_zero", "int", *WIDE, required=True, when="staged", meaning="zero point of those codes"),
    AttributeSpec("mid_min", "int", *WIDE, required=True, when="staged", meaning="lowest of those codes"),
    AttributeSpec("mid_max", "int", *WIDE, required=True, when="staged", meaning="highest of those codes"),
    AttributeSpec(
        "mid_multiplier", "float", -FLOAT_MAX, FLOAT_MAX, required=True, when="staged", meaning="their scale / scale of y"
    ),
)
CLAMP = tuple(
    AttributeSpec(name, "float", -FLOAT_MAX, FLOAT_MAX, meaning=f"{which} value of y; left out: none")
    for name, which in (("clamp_min", "lowest"), ("clamp_max", "highest"))
)
FLOAT_FINISH = (
    "residual: t = t + residual\n"
    "clamp_min: t = clamp_min where clamp_min > t\n"
    "clamp_max: t = clamp_max where clamp_max < t\n"
    "y = t"
)
"""What becomes of the sums of fused float32 products."""
FINISH = (
    "staged: t = float(clamp(rne(t) + mid_zero, mid_min, mid_max) - mid_zero) * mid_multiplier\n"
    "residual: t = t + float(residual - residual_zero) * residual_multiplier\n"
    "y = quantized(t)"
)
