"""Functions of float32 values, element by element."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from qgraph.execute.integer import functions as f
from qgraph.execute.integer.common import Arrays, F, defines
from qgraph.ir.integer_ops import GeluApproximation

Array = np.ndarray


def _wide(g: Callable[..., Array], *names: str) -> Callable[[Array, Mapping[str, Any]], Array]:
    """``g`` of x in double, and of attributes, rounded once."""
    return lambda x, a: g(x.astype(np.float64), *(np.float64(F(a[n])) for n in names)).astype(np.float32)


def _odd(g: Callable[[Array], Array]) -> Callable[[Array, Mapping[str, Any]], Array]:
    """``g`` of |x| in double, rounded once, with the sign of x."""
    return lambda x, a: np.copysign(g(np.abs(x).astype(np.float64)).astype(np.float32), x)


def _elu(x: Array, alpha: np.float64) -> Array:
    return np.where(x < 0, alpha * f.expm1_wide(x), x)


def _selu(x: Array, alpha: np.float64, gamma: np.float64) -> Array:
    return gamma * np.where(x > 0, x, alpha * f.expm1_wide(x))


def _celu(x: Array, alpha: np.float64) -> Array:
    below = alpha * f.expm1_wide(x / alpha)
    return np.where(x < 0, 0, x) + np.where(below > 0, 0, below)


def _share(t: Array) -> Array:
    """``t`` between 0 and 1."""
    t = np.where(t < 0, F(0), t)
    return np.where(t > 1, F(1), t)


def _shrink(x: Array, a: Mapping[str, Any]) -> Array:
    edge, bias = F(a["lambd"]), F(a["bias"])
    return np.where(x < -edge, x + bias, np.where(x > edge, x - bias, F(0)))


VALUES: dict[str, Callable[[Array, Mapping[str, Any]], Array]] = {
    "Exp": lambda x, a: f.exp(x),
    "Log": _wide(f.log_wide),
    "Sqrt": lambda x, a: np.sqrt(x),
    "Reciprocal": lambda x, a: F(1) / x,
    "Sin": _wide(lambda x: np.where(x == 0, x, f.sin_wide(x))),
    "Cos": _wide(f.cos_wide),
    "Tan": _wide(lambda x: np.where(x == 0, x, f.tan_wide(x))),
    "Sinh": _odd(f.sinh_wide),
    "Cosh": _wide(f.cosh_wide),
    "Asin": _odd(f.asin_wide),
    "Acos": _wide(f.acos_wide),
    "Atan": _odd(f.arc_wide),
    "Asinh": _odd(f.asinh_wide),
    "Acosh": _wide(f.acosh_wide),
    "Atanh": _odd(f.atanh_wide),
    "Tanh": lambda x, a: f.tanh(x),
    "Erf": lambda x, a: f.erf(x),
    "Sigmoid": lambda x, a: f.sigmoid(x),
    "Softplus": _wide(f.softplus_wide),
    "Softsign": lambda x, a: x / (F(1) + np.abs(x)),
    "Elu": _wide(_elu, "alpha"),
    "Selu": _wide(_selu, "alpha", "gamma"),
    "Celu": _wide(_celu, "alpha"),
    "LeakyRelu": lambda x, a: np.where(x < 0, F(a["alpha"]) * x, x),
    "ThresholdedRelu": lambda x, a: np.where(x > F(a["alpha"]), x, F(0)),
    "HardSigmoid": lambda x, a: _share(F(a["alpha"]) * x + F(a["beta"])),
    "HardSwish": lambda x, a: x * _share(F(0.166666672) * x + F(0.5)),
    "Mish": _wide(f.mish_wide),
    "Gelu": lambda x, a: f.gelu_tanh(x) if a["approximate"] == GeluApproximation.TANH else f.gelu(x),
    "Swish": lambda x, a: x * f.sigmoid(F(a["alpha"]) * x),
    "Shrink": _shrink,
    "Ceil": lambda x, a: np.ceil(x),
    "Floor": lambda x, a: np.floor(x),
    "Round": lambda x, a: np.rint(x),
}


def _define(op: str) -> None:
    def value(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> Array:
        assert x[0] is not None
        return np.asarray(VALUES[op](x[0], a), np.float32)

    value.__module__ = __name__
    defines(op)(value)


for _op in VALUES:
    _define(_op)


@defines("PRelu")
def prelu(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> Array:
    data, slope = x[:2]
    assert data is not None and slope is not None
    return np.where(data < 0, slope * data, data)


@defines("Dropout")
def dropout(x: Arrays, a: Mapping[str, Any], dtype: np.dtype) -> tuple[Array, Array]:
    assert x[0] is not None
    return x[0], np.ones(x[0].shape, bool)
