"""LSTM, GRU and RNN, in float32 and with int8 codes of R."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from qgraph.ir.integer_ops.recurrent import FUNCTIONS, GATES
from tests.runtime.examples.example import SEEDS, Case, Example, example

FLOATS = tuple(f"ai.onnx.{op}" for op in GATES)


def _shared(draw: st.DrawFn, op: str, case: Case) -> tuple[dict[str, Any], tuple[int, ...]]:
    """Attributes; directions, time, batch and hidden."""
    direction, layout = draw(st.integers(0, 2)), draw(st.integers(0, 1))
    attributes: dict[str, Any] = {"direction": direction, "layout": layout}
    directions = 1 + (direction == 2)
    if draw(st.booleans()):
        count = directions * len(FUNCTIONS[op])
        attributes["activations"] = case.rng.integers(0, 11, count).tolist()
        for name in ("activation_alpha", "activation_beta"):
            attributes[name] = case.rng.uniform(-1.5, 1.5, count).astype(np.float32).astype(float).tolist()
    if draw(st.booleans()):
        attributes["clip"] = float(np.float32(case.rng.uniform(0.1, 3)))
    for name, owner in (("input_forget", "LSTM"), ("linear_before_reset", "GRU")):
        if op == owner and draw(st.booleans()):
            attributes[name] = 1
    sizes = draw(st.integers(0, 4)), draw(st.integers(0, 7)), draw(st.sampled_from([0, 1, 5, 16, 33]))
    return attributes, (directions, *sizes)


def _rest(case: Case, op: str, layout: int, sizes: tuple[int, ...]) -> list[np.ndarray | None]:
    """sequence_lens, initial_h, initial_c and p; each now and then."""
    directions, time, batch, hidden = sizes
    state = (batch, directions, hidden) if layout else (directions, batch, hidden)
    made: list[np.ndarray | None] = [case.rng.integers(0, time + 1, batch).astype(np.int32), _noise(case, state)]
    if op == "LSTM":
        made += [_noise(case, state), _noise(case, (directions, 3 * hidden))]
    return [a if case.rng.random() < 0.5 else None for a in made]


def _noise(case: Case, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers for which gates are open, shut and between; at times beyond what an exponential takes."""
    return (case.rng.standard_normal(shape) * case.rng.choice([0.3, 1, 3, 60])).astype(np.float32)


def _made(
    case: Case, op: str, inputs: list[np.ndarray | None], attributes: dict[str, Any], constants: tuple[int, ...]
) -> Example:
    outputs = int(case.rng.integers(1, 4 if op == "LSTM" else 3))
    while inputs[-1] is None:
        inputs.pop()
    return Example(inputs, attributes, ("float32",) * outputs, constants=constants)


@example(*FLOATS)
def recurrent(draw: st.DrawFn, op: str) -> Example:
    case, op = Case(draw(SEEDS)), op.removeprefix("ai.onnx.")
    attributes, sizes = _shared(draw, op, case)
    directions, time, batch, hidden = sizes
    width, gates = draw(st.sampled_from([0, 1, 7, 20])), GATES[op] * hidden
    inputs: list[np.ndarray | None] = [
        _noise(case, (batch, time, width) if attributes["layout"] else (time, batch, width)),
        _noise(case, (directions, gates, width)),
        _noise(case, (directions, gates, hidden)),
        _noise(case, (directions, 2 * gates)) if draw(st.booleans()) else None,
        *_rest(case, op, attributes["layout"], sizes),
    ]
    if draw(st.booleans()):
        attributes["hidden_size"] = hidden
    return _made(case, op, inputs, attributes, (1, 2, 3) if draw(st.booleans()) else ())


@example(*GATES)
def recurrent_of_codes(draw: st.DrawFn, op: str) -> Example:
    case = Case(draw(SEEDS))
    attributes, sizes = _shared(draw, op, case)
    directions, time, batch, hidden = sizes
    gates = GATES[op] * hidden
    inputs: list[np.ndarray | None] = [
        _noise(case, (batch, time, directions * gates) if attributes["layout"] else (time, batch, directions * gates)),
        case.codes((directions, gates, hidden), "int8"),
        case.factors(directions * gates, 1e-2).reshape(directions, gates),
        _noise(case, (directions, gates)) if draw(st.booleans()) else None,
        *_rest(case, op, attributes["layout"], sizes),
    ]
    return _made(case, op, inputs, attributes, (1, 2, 3))
