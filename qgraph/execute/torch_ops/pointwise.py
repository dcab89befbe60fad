"""Elementwise ops."""

from __future__ import annotations

import functools
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from qgraph.execute.tensors import dtype_of
from qgraph.execute.torch_ops.registry import number, op, plain

plain(
    {
        "Abs": torch.abs, "Acos": torch.acos, "Acosh": torch.acosh, "And": torch.logical_and, "Asin": torch.asin,
        "Asinh": torch.asinh, "Atan": torch.atan, "Atanh": torch.atanh, "BitwiseAnd": torch.bitwise_and,
        "BitwiseNot": torch.bitwise_not, "BitwiseOr": torch.bitwise_or, "BitwiseXor": torch.bitwise_xor,
        "Ceil": torch.ceil, "Cos": torch.cos, "Cosh": torch.cosh, "Equal": torch.eq, "Erf": torch.erf,
        "Exp": torch.exp, "Floor": torch.floor, "Greater": torch.gt, "GreaterOrEqual": torch.ge, "IsNaN": torch.isnan,
        "Less": torch.lt, "LessOrEqual": torch.le, "Log": torch.log, "Mish": F.mish, "Neg": torch.neg,
        "Not": torch.logical_not, "Or": torch.logical_or, "Reciprocal": torch.reciprocal, "Relu": torch.relu,
        "Round": torch.round, "Sigmoid": torch.sigmoid, "Sign": torch.sign, "Sin": torch.sin, "Sinh": torch.sinh,
        "Softplus": F.softplus, "Softsign": F.softsign, "Sqrt": torch.sqrt, "Sub": torch.sub, "Tan": torch.tan,
        "Tanh": torch.tanh, "Where": torch.where, "Xor": torch.logical_xor, "Add": torch.add, "Mul": torch.mul,
    }
)  # fmt: skip


@op("Cast")
def cast(x: Any, to: int, saturate: int = 1, round_mode: str = "up") -> Tensor:
    return x.to(dtype_of(to))


@op("CastLike")
def cast_like(x: Tensor, like: Tensor, saturate: int = 1, round_mode: str = "up") -> Tensor:
    return x.to(like.dtype)


@op("Tap", domain="qgraph")
@op("Identity")
def identity(x: Any) -> Any:
    return x


@op("Div")
def div(a: Tensor, b: Tensor) -> Tensor:
    return torch.div(a, b) if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")


@op("Pow")
def power(a: Tensor, b: Tensor) -> Tensor:
    return torch.pow(a, b).to(a.dtype)


@op("Mod")
def mod(a: Tensor, b: Tensor, fmod: int = 0) -> Tensor:
    return torch.fmod(a, b) if fmod else torch.remainder(a, b)


@op("Max")
def maximum(*xs: Tensor) -> Tensor:
    return functools.reduce(torch.maximum, xs)


@op("Min")
def minimum(*xs: Tensor) -> Tensor:
    return functools.reduce(torch.minimum, xs)


@op("Sum")
def total(*xs: Tensor) -> Tensor:
    return functools.reduce(torch.add, xs)


@op("Mean")
def mean(*xs: Tensor) -> Tensor:
    return total(*xs) / len(xs)


@op("BitShift")
def bit_shift(a: Tensor, b: Tensor, direction: str) -> Tensor:
    wide, by = a.to(torch.int64), b.to(torch.int64)
    return (wide << by if direction == "LEFT" else wide >> by).to(a.dtype)


@op("IsInf")
def is_inf(x: Tensor, detect_negative: int = 1, detect_positive: int = 1) -> Tensor:
    found = torch.isinf(x)
    return found & ((x < 0) & bool(detect_negative) | (x > 0) & bool(detect_positive))


@op("Clip")
def clip(x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    if low is not None:
        x = torch.maximum(x, low)
    return x if high is None else torch.minimum(x, high)


@op("LeakyRelu")
def leaky_relu(x: Tensor, alpha: float = 0.01) -> Tensor:
    return F.leaky_relu(x, alpha)


@op("PRelu")
def prelu(x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x < 0, x * slope, x)


@op("Elu")
def elu(x: Tensor, alpha: float = 1.0) -> Tensor:
    return F.elu(x, alpha)


@op("Celu")
def celu(x: Tensor, alpha: float = 1.0) -> Tensor:
    return F.celu(x, alpha)


@op("Selu")
def selu(x: Tensor, alpha: float = 1.67326319217681884765625, gamma: float = 1.05070102214813232421875) -> Tensor:
    return gamma * (torch.clamp(x, min=0) + alpha * (torch.exp(torch.clamp(x, max=0)) - 1))


@op("Gelu")
def gelu(x: Tensor, approximate: str = "none") -> Tensor:
    return F.gelu(x, approximate=approximate)


@op("Swish")
def swish(x: Tensor, alpha: float = 1.0) -> Tensor:
    return F.silu(x) if alpha == 1 else x * torch.sigmoid(alpha * x)


@op("HardSigmoid")
def hard_sigmoid(x: Tensor, alpha: float = 0.2, beta: float = 0.5) -> Tensor:
    return torch.clamp(alpha * x + beta, 0, 1)


@op("HardSwish")
def hard_swish(x: Tensor) -> Tensor:
    return x * hard_sigmoid(x, 1 / 6, 0.5)


@op("ThresholdedRelu")
def thresholded_relu(x: Tensor, alpha: float = 1.0) -> Tensor:
    return torch.where(x > alpha, x, torch.zeros_like(x))


@op("Shrink")
def shrink(x: Tensor, bias: float = 0.0, lambd: float = 0.5) -> Tensor:
    zero = torch.zeros_like(x)
    return torch.where(x < -lambd, x + bias, torch.where(x > lambd, x - bias, zero)).to(x.dtype)


@op("Dropout", static=(1, 2), training=True, returns_tuple=True)
def dropout(
    x: Tensor,
    ratio: Any = None,
    training_mode: Any = None,
    seed: int | None = None,
    *,
    training: bool = False,
) -> tuple[Tensor, Tensor]:
    if not (training or (training_mode is not None and bool(number(training_mode)))):
        return x, torch.ones_like(x, dtype=torch.bool)
    part = 0.5 if ratio is None else float(number(ratio))
    keep = torch.rand_like(x) >= part
    return x * keep / (1 - part), keep
