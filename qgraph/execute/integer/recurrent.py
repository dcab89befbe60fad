"""LSTM, GRU and RNN, step by step: in float32, and with int8 codes of R and of the state."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from qgraph.execute.integer.chain import chain
from qgraph.execute.integer.common import DEFINITIONS, Arrays, F, defines
from qgraph.execute.integer.functions import limited, tanh
from qgraph.execute.integer.pointwise import quantize_tokens
from qgraph.ir.integer_ops import RecurrentDirection, RecurrentFunction, kind_of
from qgraph.ir.integer_ops.recurrent import FUNCTIONS, GATES
from qgraph.ir.integer_ops.spec import INTEGER

Array = np.ndarray
Product = Callable[[Array, slice], Array]
"""A state [batch, hidden] and rows of R make [batch, rows]."""


def product_of(x: Array, w: Array) -> Array:
    """x [..., k] times w [n, k]."""
    return chain(((x[..., k, None], w[:, k]) for k in range(x.shape[-1])), (*x.shape[:-1], len(w)))


@dataclasses.dataclass(frozen=True)
class Function:
    """An activation of what lies between -limit and limit."""

    kind: RecurrentFunction
    alpha: np.float32
    beta: np.float32

    def __call__(self, x: Array, limit: np.float32 | None = None) -> Array:
        if limit is not None:
            x = limited(x, -float(limit), float(limit))
        if self.kind == RecurrentFunction.AFFINE:
            return np.asarray(self.alpha * x + self.beta)
        if self.kind == RecurrentFunction.SCALEDTANH:
            return np.asarray(self.alpha * tanh(self.beta * x))
        name = next(name for name in DEFINITIONS if name.upper() == self.kind.name)
        return np.asarray(DEFINITIONS[name]([x], {"alpha": self.alpha, "beta": self.beta}, x.dtype))


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
    inputs = np.stack([product_of(_time_first(data, a), part) for part in w], 2)
    apart = np.arange(width) >= (2 * hidden if a.get("linear_before_reset") else width)
    if b is not None:
        wb, rb = np.split(b, 2, axis=1)
        inputs = inputs + np.where(apart, wb, wb + rb)

    def product(d: int) -> Product:
        def multiply(h: Array, rows: slice) -> Array:
            made = product_of(h, r[d, rows])
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
