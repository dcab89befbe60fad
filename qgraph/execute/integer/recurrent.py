"""LSTM, GRU and RNN, step by step: in float32, and with int8 codes of R and of the state."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from qgraph.execute.integer.common import Arrays, F, defines
from qgraph.execute.integer.pointwise import quantize_tokens
from qgraph.ir.integer_ops import RecurrentDirection, RecurrentFunction, kind_of
from qgraph.ir.integer_ops.recurrent import FUNCTIONS, GATES
from qgraph.ir.integer_ops.spec import INTEGER

Array = np.ndarray
Product = Callable[[Array, slice], Array]
"""A state [batch, hidden] and rows of R make [batch, rows]."""


def fma(a: Array, b: Array, c: Array) -> Array:
    """float32(a * b + c), rounded once: the product is exact in float64, and the sum is rounded to odd before float32."""
    p, c = a.astype(np.float64) * b.astype(np.float64), c.astype(np.float64)
    s = np.asarray(p + c)
    back = s - p
    lost = (p - (s - back)) + (c - back)
    bits = s.view(np.int64)
    away = np.where((lost > 0) == (s > 0), 1, -1)
    odd = np.where((lost != 0) & np.isfinite(lost) & (bits & 1 == 0), bits + away, bits)
    return odd.view(np.float64).astype(np.float32)


def chain(x: Array, w: Array) -> Array:
    """The product of x [..., k] and w [n, k]: fma after fma."""
    acc = np.zeros((*x.shape[:-1], len(w)), np.float32)
    for k in range(x.shape[-1]):
        acc = fma(x[..., k, None], w[:, k], acc)
    return acc


def polynomial(x: Array, *coefficients: float) -> Array:
    """Horner's rule; the coefficient of the highest power comes first."""
    p = np.full_like(x, coefficients[0])
    for c in coefficients[1:]:
        p = p * x + F(c)
    return p


def exp_below(t: Array) -> Array:
    """exp of numbers that are not above 0, nor below -87."""
    t = np.where(t < F(-87), F(-87), t)
    n = np.rint(t * F(1.44269504))
    r = (t - n * F(0.693359375)) - n * F(-2.12194440e-4)
    p = polynomial(r, 1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
    return np.ldexp((p * (r * r) + r) + F(1), n.astype(np.int32))  # type: ignore[no-any-return]


def sigmoid(x: Array) -> Array:
    e = exp_below(-np.abs(x))
    return np.where(x < 0, e, F(1)) / (F(1) + e)


def tanh(x: Array) -> Array:
    e, s = exp_below(F(-2) * np.abs(x)), x * x
    p = polynomial(s, -5.70498872745e-3, 2.06390887954e-2, -5.37397155531e-2, 1.33314422036e-1, -3.33332819422e-1)
    return np.where(np.abs(x) < F(0.625), (p * s) * x + x, np.copysign((F(1) - e) / (F(1) + e), x))


def softplus(x: Array) -> Array:
    e = exp_below(-np.abs(x))
    u = F(1) + e
    lost = e - (u - F(1))
    half = u > F(1.41421356)
    m = np.where(half, u * F(0.5), u) - F(1)
    s = m * m
    p = polynomial(
        m,
        *(7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1),
        *(-1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1),
    )
    y = ((p * m) * s - F(0.5) * s) + m
    return np.where(x < 0, F(0), x) + (np.where(half, y + F(0.69314718), y) + lost / u)


@dataclasses.dataclass(frozen=True)
class Function:
    """An activation of what lies between -limit and limit."""

    kind: RecurrentFunction
    alpha: np.float32
    beta: np.float32

    def __call__(self, x: Array, limit: np.float32 | None = None) -> Array:
        if limit is not None:
            x = np.where(x < -limit, -limit, x)
            x = np.where(x > limit, limit, x)
        return _VALUES[self.kind](x, self.alpha, self.beta)


def _bounded(y: Array) -> Array:
    y = np.where(y < 0, F(0), y)
    return np.where(y > 1, F(1), y)


_K = RecurrentFunction
_VALUES: dict[RecurrentFunction, Callable[[Array, np.float32, np.float32], Array]] = {
    _K.AFFINE: lambda x, a, b: a * x + b,
    _K.RELU: lambda x, a, b: np.where(x < 0, F(0), x),
    _K.LEAKYRELU: lambda x, a, b: np.where(x < 0, a * x, x),
    _K.THRESHOLDEDRELU: lambda x, a, b: np.where(x > a, x, F(0)),
    _K.TANH: lambda x, a, b: tanh(x),
    _K.SCALEDTANH: lambda x, a, b: a * tanh(b * x),
    _K.SIGMOID: lambda x, a, b: sigmoid(x),
    _K.HARDSIGMOID: lambda x, a, b: _bounded(a * x + b),
    _K.ELU: lambda x, a, b: np.where(x < 0, a * (exp_below(np.where(x < 0, x, F(0))) - F(1)), x),
    _K.SOFTSIGN: lambda x, a, b: x / (F(1) + np.abs(x)),
    _K.SOFTPLUS: lambda x, a, b: softplus(x),
}


@dataclasses.dataclass(frozen=True)
class Gates:
    """What makes the next state of one direction: a step with what the inputs give to each gate, and the state."""

    op: str
    product: Product
    functions: tuple[Function, ...]
    clip: np.float32 | None
    peepholes: tuple[Array, Array, Array] | None
    attributes: Mapping[str, Any]

    def act(self, number: int, x: Array) -> Array:
        return self.functions[number](x, self.clip)

    def step(self, x: Array, h: Array, c: Array) -> tuple[Array, Array]:
        size = h.shape[-1]
        if self.op == "RNN":
            return self.act(0, x + self.product(h, slice(0, size))), c
        if self.op == "GRU":
            return self._gru(x, h, size), c
        sums = x + self.product(h, slice(0, 4 * size))
        i, o, f, new = (sums[:, n * size : (n + 1) * size] for n in range(4))
        pi, po, pf = self.peepholes or (None, None, None)
        i = self.act(0, i if pi is None else i + pi * c)
        f = F(1) - i if self.attributes["input_forget"] else self.act(0, f if pf is None else f + pf * c)
        c = f * c + i * self.act(1, new)
        return self.act(0, o if po is None else o + po * c) * self.functions[2](c), c

    def _gru(self, x: Array, h: Array, size: int) -> Array:
        gates = self.act(0, x[:, : 2 * size] + self.product(h, slice(0, 2 * size)))
        z, r = gates[:, :size], gates[:, size:]
        last = slice(2 * size, 3 * size)
        past = r * self.product(h, last) if self.attributes["linear_before_reset"] else self.product(r * h, last)
        n = self.act(1, x[:, last] + past)
        return (F(1) - z) * n + z * h


def _run(op: str, x: Array, gates: list[Gates], rest: Arrays, a: Mapping[str, Any]) -> tuple[Array, ...]:
    """y and the last states; ``x`` [time, batch, directions, gates] are the products of the inputs, time first."""
    lengths, *begins = (*rest, None, None, None)[:3]
    time, batch, directions, width = x.shape
    hidden = width // GATES[op]
    y = np.zeros((time, directions, batch, hidden), np.float32)
    states = []
    for begin in begins:
        state = np.zeros((directions, batch, hidden), np.float32) if begin is None else begin.copy()
        states.append(state if begin is None or not a["layout"] else state.swapaxes(0, 1))
    for d, cell in enumerate(gates):
        backwards = a["direction"] == RecurrentDirection.REVERSE or d == 1
        h, c = (state[d] for state in states)
        for t in reversed(range(time)) if backwards else range(time):
            new_h, new_c = cell.step(x[t, :, d], h, c)
            alive = np.ones((batch, 1), bool) if lengths is None else (lengths > t)[:, None]
            h, c = np.where(alive, new_h, h), np.where(alive, new_c, c)
            y[t, d] = np.where(alive, h, F(0))
        states[0][d], states[1][d] = h, c
    if a["layout"]:
        return y.transpose(2, 0, 1, 3), *(state.swapaxes(0, 1) for state in states)
    return y, *states


def _functions(op: str, a: Mapping[str, Any], directions: int) -> list[tuple[Function, ...]]:
    kinds = a.get("activations", [*FUNCTIONS[op]] * directions)
    pairs = zip(a.get("activation_alpha", [0.0] * len(kinds)), a.get("activation_beta", [0.0] * len(kinds)), strict=True)
    made = [Function(RecurrentFunction(kind), F(p), F(q)) for kind, (p, q) in zip(kinds, pairs, strict=True)]
    count = len(FUNCTIONS[op])
    return [tuple(made[d * count : (d + 1) * count]) for d in range(directions)]


def _time_first(x: Array, a: Mapping[str, Any]) -> Array:
    return x.swapaxes(0, 1) if a["layout"] else x


def _gates(op: str, products: list[Product], p: Array | None, a: Mapping[str, Any]) -> list[Gates]:
    functions = _functions(op, a, len(products))
    clip = F(a["clip"]) if "clip" in a else None
    peepholes = [None if p is None else tuple(np.split(p[d], 3)) for d in range(len(products))]
    return [Gates(op, product, functions[d], clip, peepholes[d], a) for d, product in enumerate(products)]  # type: ignore[arg-type]


def _float(op: str, x: Arrays, a: Mapping[str, Any]) -> tuple[Array, ...]:
    data, w, r, b, *rest = (*x, *[None] * 8)[:8]
    assert data is not None and w is not None and r is not None
    hidden, width = r.shape[2], r.shape[1]
    inputs = np.stack([chain(_time_first(data, a), part) for part in w], 2)
    apart = np.arange(width) >= (2 * hidden if a.get("linear_before_reset") else width)
    if b is not None:
        wb, rb = np.split(b, 2, axis=1)
        inputs = inputs + np.where(apart, wb, wb + rb)

    def product(d: int) -> Product:
        def multiply(h: Array, rows: slice) -> Array:
            made = chain(h, r[d, rows])
            return made if b is None else np.where(apart[rows], made + rb[d, rows], made)

        return multiply

    return _run(op, inputs, _gates(op, [product(d) for d in range(len(r))], rest[3], a), rest[:3], a)


def _coded(op: str, x: Arrays, a: Mapping[str, Any]) -> tuple[Array, ...]:
    data, r, multiplier, rb, *rest = (*x, *[None] * 8)[:8]
    assert data is not None and r is not None and multiplier is not None
    m = multiplier.reshape(r.shape[:2])
    inputs = _time_first(data, a)
    inputs = inputs.reshape(*inputs.shape[:2], len(r), r.shape[1])

    def product(d: int) -> Product:
        def multiply(h: Array, rows: slice) -> Array:
            codes, scale = quantize_tokens([h], {}, np.dtype(np.uint8))
            acc = (codes.astype(np.int64) - 128) @ r[d, rows].astype(np.int64).T
            made = (acc.astype(np.float32) * scale) * m[d, rows]
            return made if rb is None else made + rb.reshape(m.shape)[d, rows]

        return multiply

    return _run(op, inputs, _gates(op, [product(d) for d in range(len(r))], rest[3], a), rest[:3], a)


def _define(op: str) -> None:
    """Both forms of an op, with as many outputs as there are states."""
    states = 3 if op == "LSTM" else 2
    defines(kind_of("", op))(lambda x, a, dtype: _float(op, x, a)[:states])
    defines(kind_of(INTEGER, op))(lambda x, a, dtype: _coded(op, x, a)[:states])


for _op in GATES:
    _define(_op)
