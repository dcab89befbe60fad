"""RNN, GRU and LSTM, step by step as ONNX's operator document writes them.

Gates lie one below the other in the weights: RNN one, GRU z r h, LSTM i o f c. Directions are a leading axis.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from qgraph.errors import QGraphError
from qgraph.execute.torch_ops.registry import op

Function = Callable[[Tensor], Tensor]
State = tuple[Tensor, ...]
FUNCTIONS: dict[str, Function] = {
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "softplus": F.softplus,
    "softsign": F.softsign,
    "tanh": torch.tanh,
}
"""Activations without parameters, which ONNX names without regard to case."""


@dataclasses.dataclass(frozen=True)
class Cell:
    """One direction: weights [gates, inputs] and [gates, hidden], biases [gates] of both, peepholes, activations, a limit."""

    w: Tensor
    r: Tensor
    wb: Tensor
    rb: Tensor
    p: Tensor | None
    functions: Sequence[Function]
    clip: float | None

    def act(self, number: int, x: Tensor) -> Tensor:
        return self.functions[number](x if self.clip is None else x.clamp(-self.clip, self.clip))


@dataclasses.dataclass(frozen=True)
class Way:
    """Attributes of a node; ``functions`` has a list a direction, ``layout`` 1 puts the batch in front of the time."""

    functions: Sequence[Sequence[Function]]
    clip: float | None
    direction: str
    layout: int


Step = Callable[[Cell, Tensor, State], State]
"""What the inputs of one step (times the weights) and the state make of the state; its first part is the output."""


def functions_of(names: Sequence[str] | None, usual: Sequence[str], directions: int) -> list[list[Function]]:
    """Activations of every direction."""
    chosen = list(names) if names else list(usual) * directions
    missing = sorted({name for name in chosen if name.lower() not in FUNCTIONS})
    if missing:
        raise QGraphError(f"activation {missing[0]} of a recurrent op has no torch form; those that have: {', '.join(FUNCTIONS)}")
    found = [FUNCTIONS[name.lower()] for name in chosen]
    return [found[i * len(usual) : (i + 1) * len(usual)] for i in range(directions)]


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
    rows, ends = [], []
    for d in range(directions):
        peep = None if p is None else p[d]
        cell = Cell(w[d], r[d], biases[d, :gates], biases[d, gates:], peep, way.functions[d], way.clip)
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


def _rnn_step(cell: Cell, inputs: Tensor, state: State) -> State:
    return (cell.act(0, inputs + state[0] @ cell.r.T + cell.rb),)


@op("RNN")
def rnn(
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None = None,
    lengths: Tensor | None = None,
    initial_h: Tensor | None = None,
    activations: list[str] | None = None,
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int = 0,
    layout: int = 0,
    *,
    outputs: int = 1,
) -> Tensor | tuple[Tensor, ...]:
    way = Way(functions_of(activations, ["Tanh"], len(r)), clip, direction, layout)
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
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int = 0,
    layout: int = 0,
    *,
    outputs: int = 1,
) -> Tensor | tuple[Tensor, ...]:
    def step(cell: Cell, inputs: Tensor, state: State) -> State:
        (h,) = state
        size = h.shape[-1]
        gates = inputs[:, : 2 * size] + h @ cell.r[: 2 * size].T + cell.rb[: 2 * size]
        z, reset = cell.act(0, gates[:, :size]), cell.act(0, gates[:, size:])
        rh, rbh = cell.r[2 * size :], cell.rb[2 * size :]
        past = reset * (h @ rh.T + rbh) if linear_before_reset else (reset * h) @ rh.T + rbh
        return ((1 - z) * cell.act(1, inputs[:, 2 * size :] + past) + z * h,)

    way = Way(functions_of(activations, ["Sigmoid", "Tanh"], len(r)), clip, direction, layout)
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
    clip: float | None = None,
    direction: str = "forward",
    hidden_size: int = 0,
    layout: int = 0,
    *,
    outputs: int = 1,
) -> Tensor | tuple[Tensor, ...]:
    """``p`` [directions, 3 hidden]: weights from the cell to the gates i, o, f."""

    def step(cell: Cell, inputs: Tensor, state: State) -> State:
        h, c = state
        size = h.shape[-1]
        pi, po, pf = cell.p.split(size) if cell.p is not None else (0.0, 0.0, 0.0)
        i, o, f, new = (inputs + h @ cell.r.T + cell.rb).split(size, -1)
        i = cell.act(0, i + pi * c)
        f = 1 - i if input_forget else cell.act(0, f + pf * c)
        c = f * c + i * cell.act(1, new)
        return cell.act(0, o + po * c) * cell.functions[2](c), c

    way = Way(functions_of(activations, ["Sigmoid", "Tanh", "Tanh"], len(r)), clip, direction, layout)
    return _some(run(x, (w, r, b, p), lengths, [initial_h, initial_c], step, way), outputs)


def _some(found: tuple[Tensor, ...], outputs: int) -> Tensor | tuple[Tensor, ...]:
    return found[0] if outputs == 1 else found[:outputs]
