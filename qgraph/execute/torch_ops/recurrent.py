"""RNN, GRU and LSTM, step by step as ONNX's operator document writes them.

Gates lie one below the other in the weights: RNN one, GRU z r h, LSTM i o f c. Directions are a leading axis.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from qgraph.execute.quantizers import fake_quantize_tokens
from qgraph.execute.torch_ops.registry import op
from qgraph.ir.integer_ops import RecurrentFunction as K
from qgraph.ir.matchers.recurrent import Activation
from qgraph.ir.matchers.recurrent import activations as chosen

State = tuple[Tensor, ...]
FUNCTIONS: dict[K, Callable[[Tensor, float, float], Tensor]] = {
    K.AFFINE: lambda x, a, b: a * x + b,
    K.RELU: lambda x, a, b: torch.relu(x),
    K.LEAKYRELU: lambda x, a, b: F.leaky_relu(x, a),
    K.THRESHOLDEDRELU: lambda x, a, b: torch.where(x > a, x, torch.zeros_like(x)),
    K.TANH: lambda x, a, b: torch.tanh(x),
    K.SCALEDTANH: lambda x, a, b: a * torch.tanh(b * x),
    K.SIGMOID: lambda x, a, b: torch.sigmoid(x),
    K.HARDSIGMOID: lambda x, a, b: (a * x + b).clamp(0, 1),
    K.ELU: lambda x, a, b: torch.where(x < 0, a * torch.expm1(x.clamp(max=0)), x),
    K.SOFTSIGN: lambda x, a, b: F.softsign(x),
    K.SOFTPLUS: lambda x, a, b: F.softplus(x),
}


@dataclasses.dataclass(frozen=True)
class Cell:
    """One direction: weights [gates, inputs] and [gates, hidden], biases [gates] of both, peepholes, activations, a limit, and
    whether the state is quantized per token before a product."""

    w: Tensor
    r: Tensor
    wb: Tensor
    rb: Tensor
    p: Tensor | None
    functions: Sequence[Activation]
    clip: float | None
    tokens: bool

    def act(self, number: int, x: Tensor, *, limited: bool = True) -> Tensor:
        kind, alpha, beta = self.functions[number]
        return FUNCTIONS[kind](x.clamp(-self.clip, self.clip) if limited and self.clip is not None else x, alpha, beta)

    def product(self, h: Tensor, rows: slice = slice(None)) -> Tensor:
        """What the state gives to some rows of R."""
        return (fake_quantize_tokens(h) if self.tokens else h) @ self.r[rows].T + self.rb[rows]


@dataclasses.dataclass(frozen=True)
class Way:
    """Attributes of a node; ``functions`` has those of all directions, ``layout`` 1 puts the batch in front of the time."""

    functions: Sequence[Activation]
    clip: float | None
    direction: str
    layout: int
    tokens: bool


Step = Callable[[Cell, Tensor, State], State]
"""What the inputs of one step (times the weights) and the state make of the state; its first part is the output."""


def run(
    x: Tensor,
    weights: tuple[Tensor, Tensor, Tensor | None, Tensor | None],
    lengths: Tensor | None,
    states: Sequence[Tensor | None],
    step: Step,
    way: Way,
) -> tuple[Tensor, ...]:
    """Y and the last states of all directions.

    ``x`` is [time, batch, inputs], or with layout 1 [batch, time, inputs]; ``lengths`` [batch] says how many steps of each row
    there are: behind them Y is zero and the state stays. ``states`` [directions, batch, hidden] start at zero when None.
    """
    w, r, b, p = weights
    x = x.transpose(0, 1) if way.layout else x
    begins = [s.transpose(0, 1) if s is not None and way.layout else s for s in states]
    directions, gates, hidden = r.shape
    zeros = x.new_zeros(directions, x.shape[1], hidden)
    biases = x.new_zeros(directions, 2 * gates) if b is None else b
    rows, ends, count = [], [], len(way.functions) // directions
    for d in range(directions):
        peep, functions = None if p is None else p[d], way.functions[d * count : (d + 1) * count]
        cell = Cell(w[d], r[d], biases[d, :gates], biases[d, gates:], peep, functions, way.clip, way.tokens)
        state = tuple((zeros if s is None else s)[d] for s in begins)
        backwards = way.direction == "reverse" or d == 1
        row, state = _direction(cell, x @ cell.w.T + cell.wb, lengths, state, step, backwards)
        rows.append(row)
        ends.append(state)
    y = torch.stack(rows, 1)
    last = [torch.stack(parts) for parts in zip(*ends, strict=True)]
    if way.layout:
        return y.permute(2, 0, 1, 3), *(v.transpose(0, 1) for v in last)
    return y, *last


def _direction(
    cell: Cell, inputs: Tensor, lengths: Tensor | None, state: State, step: Step, backwards: bool
) -> tuple[Tensor, State]:
    made: list[Tensor] = [inputs] * inputs.shape[0]
    times = range(inputs.shape[0])
    for t in reversed(times) if backwards else times:
        new = step(cell, inputs[t], state)
        made[t] = new[0]
        if lengths is not None:
            alive = (lengths > t)[:, None]
            new = tuple(torch.where(alive, n, s) for n, s in zip(new, state, strict=True))
            made[t] = torch.where(alive, made[t], torch.zeros_like(made[t]))
        state = new
    return (torch.stack(made) if made else inputs.new_zeros(0, *state[0].shape)), state


def _fused(
    op_type: str,
    x: Tensor,
    weights: tuple[Tensor, Tensor, Tensor | None],
    states: Sequence[Tensor | None],
    way: Way,
) -> tuple[Tensor, ...]:
    """The same by one function of torch, which has the usual activations, and gates in an order of its own."""
    w, r, b = weights
    directions, _, hidden = r.shape
    order = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2), "RNN": (0,)}[op_type]
    biases = r.new_zeros(directions, 2 * r.shape[1]) if b is None else b

    def sorted_rows(v: Tensor) -> Tensor:
        return v if len(order) == 1 else torch.cat([v[g * hidden : (g + 1) * hidden] for g in order])

    flat = []
    for d in range(directions):
        wb, rb = biases[d].chunk(2)
        flat += [sorted_rows(v) for v in (w[d], r[d], wb, rb)]
    x = x.transpose(0, 1) if way.layout else x
    zeros = x.new_zeros(directions, x.shape[1], hidden)
    begins = [zeros if s is None else s.transpose(0, 1).contiguous() if way.layout else s for s in states]
    x = x.flip(0) if way.direction == "reverse" else x
    call: Any = {"LSTM": torch.lstm, "GRU": torch.gru}.get(op_type)
    if call is None:
        call = torch.rnn_relu if way.functions[0][0] == K.RELU else torch.rnn_tanh
    # training: what cuDNN needs for a gradient; there is no dropout
    y, *last = call(x, begins if op_type == "LSTM" else begins[0], flat, True, 1, 0.0, True, directions == 2, False)
    y = y.flip(0) if way.direction == "reverse" else y
    y = y.reshape(*y.shape[:2], directions, hidden)
    if way.layout:
        return y.transpose(0, 1), *(v.transpose(0, 1) for v in last)
    return y.transpose(1, 2), *last


def _can_fuse(op_type: str, way: Way, x: Tensor, others: Sequence[Tensor | None]) -> bool:
    """Whether torch has a function for it: no lengths nor peepholes (``others``), no limit, the usual activations."""
    usual = chosen(op_type, 1, None, None, None)
    kinds = {kind for kind, _, _ in way.functions}
    plain = list(way.functions) == usual * (len(way.functions) // len(usual)) or (op_type == "RNN" and kinds == {K.RELU})
    return plain and not way.tokens and way.clip is None and all(v is None for v in others) and x.numel() > 0


def _rnn_step(cell: Cell, inputs: Tensor, state: State) -> State:
    return (cell.act(0, inputs + cell.product(state[0])),)


@op("RNN")
def rnn(
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None = None,
    lengths: Tensor | None = None,
    initial_h: Tensor | None = None,
    activations: list[str] | None = None,
    activation_alpha: list[float] | None = None,
    activation_beta: list[float] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int = 0,
    layout: int = 0,
    *,
    outputs: int = 1,
    tokens: bool = False,
) -> Tensor | tuple[Tensor, ...]:
    way = Way(chosen("RNN", len(r), activations, activation_alpha, activation_beta), clip, direction, layout, tokens)
    if _can_fuse("RNN", way, x, [lengths]):
        return _some(_fused("RNN", x, (w, r, b), [initial_h], way), outputs)
    return _some(run(x, (w, r, b, None), lengths, [initial_h], _rnn_step, way), outputs)


@op("GRU")
def gru(
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None = None,
    lengths: Tensor | None = None,
    initial_h: Tensor | None = None,
    linear_before_reset: int = 0,
    activations: list[str] | None = None,
    activation_alpha: list[float] | None = None,
    activation_beta: list[float] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int = 0,
    layout: int = 0,
    *,
    outputs: int = 1,
    tokens: bool = False,
) -> Tensor | tuple[Tensor, ...]:
    def step(cell: Cell, inputs: Tensor, state: State) -> State:
        (h,) = state
        size = h.shape[-1]
        gates = inputs[:, : 2 * size] + cell.product(h, slice(0, 2 * size))
        z, reset = cell.act(0, gates[:, :size]), cell.act(0, gates[:, size:])
        last = slice(2 * size, 3 * size)
        past = reset * cell.product(h, last) if linear_before_reset else cell.product(reset * h, last)
        return ((1 - z) * cell.act(1, inputs[:, last] + past) + z * h,)

    way = Way(chosen("GRU", len(r), activations, activation_alpha, activation_beta), clip, direction, layout, tokens)
    if linear_before_reset and _can_fuse("GRU", way, x, [lengths]):
        return _some(_fused("GRU", x, (w, r, b), [initial_h], way), outputs)
    return _some(run(x, (w, r, b, None), lengths, [initial_h], step, way), outputs)


@op("LSTM")
def lstm(
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None = None,
    lengths: Tensor | None = None,
    initial_h: Tensor | None = None,
    initial_c: Tensor | None = None,
    p: Tensor | None = None,
    input_forget: int = 0,
    activations: list[str] | None = None,
    activation_alpha: list[float] | None = None,
    activation_beta: list[float] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int = 0,
    layout: int = 0,
    *,
    outputs: int = 1,
    tokens: bool = False,
) -> Tensor | tuple[Tensor, ...]:
    """``p`` [directions, 3 hidden]: weights from the cell to the gates i, o, f."""

    def step(cell: Cell, inputs: Tensor, state: State) -> State:
        h, c = state
        size = h.shape[-1]
        pi, po, pf = cell.p.split(size) if cell.p is not None else (0.0, 0.0, 0.0)
        i, o, f, new = (inputs + cell.product(h)).split(size, -1)
        i = cell.act(0, i + pi * c)
        f = 1 - i if input_forget else cell.act(0, f + pf * c)
        c = f * c + i * cell.act(1, new)
        return cell.act(0, o + po * c) * cell.act(2, c, limited=False), c

    way = Way(chosen("LSTM", len(r), activations, activation_alpha, activation_beta), clip, direction, layout, tokens)
    if not input_forget and _can_fuse("LSTM", way, x, [lengths, p]):
        return _some(_fused("LSTM", x, (w, r, b), [initial_h, initial_c], way), outputs)
    return _some(run(x, (w, r, b, p), lengths, [initial_h, initial_c], step, way), outputs)


def _some(found: tuple[Tensor, ...], outputs: int) -> Tensor | tuple[Tensor, ...]:
    return found[0] if outputs == 1 else found[:outputs]
