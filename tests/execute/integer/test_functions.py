"""Functions against float64 over all magnitudes: their errors are those that the rows of the dialect state."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from qgraph.execute.integer.index import power
from qgraph.execute.integer.pointwise_float32 import VALUES
from qgraph.ir.integer_ops import INTEGER_OPS


def softplus(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(0, x)


EXACT: dict[str, tuple[Callable[..., Any], float]] = {
    "Exp": (np.exp, 1.0),
    "Tanh": (np.tanh, 1.5),
    "Erf": (np.vectorize(math.erf, otypes=[np.float64]), 1.5),
    "Sigmoid": (lambda x: 1 / (1 + np.exp(-x)), 2.5),
    "Log": (np.log, 0.51),
    "Sin": (np.sin, 0.51),
    "Cos": (np.cos, 0.51),
    "Tan": (np.tan, 0.51),
    "Sinh": (np.sinh, 0.51),
    "Cosh": (np.cosh, 0.51),
    "Asin": (np.arcsin, 0.51),
    "Acos": (np.arccos, 0.51),
    "Atan": (np.arctan, 0.51),
    "Asinh": (np.arcsinh, 0.51),
    "Acosh": (np.arccosh, 0.51),
    "Atanh": (np.arctanh, 0.51),
    "Softplus": (softplus, 0.51),
    "Elu": (lambda x: np.where(x < 0, np.expm1(x), x), 0.51),
    "Mish": (lambda x: x * np.tanh(softplus(x)), 0.51),
}


@pytest.fixture(scope="module")
def numbers() -> np.ndarray:
    """Every 9973rd float32, and many of the magnitudes that networks have."""
    rng = np.random.default_rng(0)
    common = rng.standard_normal(300_000) * 10 ** rng.uniform(-3, 2, 300_000)
    return np.concatenate([np.arange(0, 2**32, 9973, np.uint64).astype(np.uint32).view(np.float32), common.astype(np.float32)])


@pytest.mark.parametrize("op", EXACT)
def test_errors_are_below_those_stated(op: str, numbers: np.ndarray) -> None:
    exact, limit = EXACT[op]
    x = numbers[np.abs(numbers) < 2**20] if op in ("Sin", "Cos", "Tan") else numbers
    x = x[~(x < -87)] if op == "Sigmoid" else x  # where it is 0
    with np.errstate(all="ignore"):
        found = np.asarray(VALUES[op](x, INTEGER_OPS["", op].defaults), np.float32)
        wanted = exact(x.astype(np.float64))
        rounded = wanted.astype(np.float32)
        last_place = np.spacing(np.minimum(np.abs(rounded), np.float32(3e38))).astype(np.float64)
        error = np.abs(found.astype(np.float64) - wanted) / last_place
    finite = np.isfinite(found) & np.isfinite(rounded)
    assert error[finite].max() <= limit
    assert np.array_equal(found[~finite], rounded[~finite], equal_nan=True)


def test_sine_stays_one_however_far() -> None:
    x = np.array([1e5, 1e6, 1e8, 1e30, -3.4e38], np.float32)
    found, exact = VALUES["Sin"](x, {}), np.sin(x.astype(np.float64))
    assert np.abs(found[:3] - exact[:3]).max() < 1e-7
    assert (np.abs(found) <= 1).all()


POWERS = [
    (0.0, -1.0, np.inf),
    (-0.0, -1.0, -np.inf),
    (-0.0, -2.0, np.inf),
    (0.0, 2.5, 0.0),
    (-0.0, 3.0, -0.0),
    (-8.0, 1 / 3, np.nan),
    (-2.0, 3.0, -8.0),
    (-2.0, -3.0, -0.125),
    (-1.0, np.inf, 1.0),
    (-1.0, np.nan, np.nan),
    (1.0, np.nan, 1.0),
    (np.nan, 0.0, 1.0),
    (0.5, np.inf, 0.0),
    (2.0, np.inf, np.inf),
    (2.0, -np.inf, 0.0),
    (np.inf, -1.0, 0.0),
    (-np.inf, 3.0, -np.inf),
    (-np.inf, 0.5, np.inf),
    (-np.inf, -3.0, -0.0),
    (1e20, 3.0, np.inf),
    (3.0, 1e9, np.inf),
    (np.inf, 0.0, 1.0),
]  # base, exponent, power


@pytest.mark.parametrize(("base", "exponent", "value"), POWERS)
def test_powers_at_the_ends(base: float, exponent: float, value: float) -> None:
    with np.errstate(all="ignore"):
        found = power([np.float32([base]), np.float32([exponent])], {}, np.dtype(np.float32))
    wanted = np.float32([value])
    assert np.array_equal(found, wanted, equal_nan=True) and (np.signbit(found) == np.signbit(wanted) or np.isnan(wanted))


def test_powers_are_near_those_of_float64() -> None:
    rng = np.random.default_rng(0)
    x, y = (10 ** rng.uniform(-6, 6, 200_000)).astype(np.float32), (rng.standard_normal(200_000) * 4).astype(np.float32)
    with np.errstate(all="ignore"):
        found, wanted = power([x, y], {}, np.dtype(np.float32)), x.astype(np.float64) ** y
    keep = np.isfinite(found) & (wanted > 1e-37)
    assert (np.abs(found / wanted - 1) < 6.1e-8)[keep].all()
