"""LSTM, GRU and RNN: in float32 as ONNX has them, and with int8 weights for the state (the domain ``qgraph.integer``).

The integer ops take the product of the inputs and W, with the biases, from a Linear in front of them; what is left to do step by
step are the product of the state and R, and the gates.
"""

from __future__ import annotations

from qgraph.ir.integer_ops import common
from qgraph.ir.integer_ops.enums import RecurrentDirection, RecurrentFunction
from qgraph.ir.integer_ops.spec import F32, FLOAT_MAX, FLOAT_TINY, I8, I32, INTEGER, AttributeSpec, InputSpec, OpSpec, OutputSpec

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
"""Rows of W and R of each hidden unit: LSTM i, o, f, c; GRU z, r, h."""
FUNCTIONS = {
    "LSTM": (RecurrentFunction.SIGMOID, RecurrentFunction.TANH, RecurrentFunction.TANH),
    "GRU": (RecurrentFunction.SIGMOID, RecurrentFunction.TANH),
    "RNN": (RecurrentFunction.TANH,),
}
"""The activations of each direction that are meant where none are given."""
PARAMETERS = {
    RecurrentFunction.AFFINE: (1.0, 0.0),
    RecurrentFunction.LEAKYRELU: (0.01, 0.0),
    RecurrentFunction.THRESHOLDEDRELU: (1.0, 0.0),
    RecurrentFunction.SCALEDTANH: (1.0, 1.0),
    RecurrentFunction.HARDSIGMOID: (0.2, 0.5),
    RecurrentFunction.ELU: (1.0, 0.0),
}
"""alpha and beta of the activations that have them, where none are given."""
WITH_BETA = (RecurrentFunction.AFFINE, RecurrentFunction.SCALEDTANH, RecurrentFunction.HARDSIGMOID)
"""Those that have a beta."""

_GATES = {
    "LSTM": (
        "i = f((xi + hi) + pi * c); k = f((xf + hf) + pf * c), or 1 - i with input_forget; c' = k * c + i * g(xc + hc)\n"
        "o = f((xo + ho) + po * c'); h' = o * h(c')"
    ),
    "GRU": (
        "z = f(xz + hz); r = f(xr + hr)\n"
        "n = g(xh + the product of r * h), or with linear_before_reset g(xh + r * hh); h' = (1 - z) * n + z * h"
    ),
    "RNN": "h' = f(x + h)",
}
_STEP = (
    "x, h: the parts of the products of inputs and state; f, g, h: the activations, of sums clamped to -clip and clip, but c'\n"
    "{}\n"
    "a row ends after sequence_lens steps: behind, y is 0 and the state stays; the reverse direction begins with the last step"
)


def _attributes(op: str, domain: str) -> tuple[AttributeSpec, ...]:
    listed, functions = "activations", ", ".join(f.name.capitalize() for f in FUNCTIONS[op])
    made = [
        AttributeSpec("direction", "int", 0, 2, 0, enum=RecurrentDirection),
        AttributeSpec(
            listed, "ints", 0, 10, enum=RecurrentFunction, meaning=f"{len(FUNCTIONS[op])} a direction; left out: {functions}"
        ),
        *(
            AttributeSpec(name, "floats", -FLOAT_MAX, FLOAT_MAX, required=True, when=listed, meaning="one an activation")
            for name in ("activation_alpha", "activation_beta")
        ),
        AttributeSpec("clip", "float", FLOAT_TINY, FLOAT_MAX, meaning="left out: no limit"),
        common.flag("layout", "1: the batch is the first axis of x, y and states"),
    ]
    if not domain:
        made.append(AttributeSpec("hidden_size", "int", 0, common.LENGTH, meaning="that of r"))
    if op == "LSTM":
        made.append(common.flag("input_forget", "1: 1 - i stands for the forget gate"))
    if op == "GRU":
        made.append(common.flag("linear_before_reset", "1: the reset gate multiplies the product, not the state"))
    return tuple(made)


def _spec(op: str, domain: str) -> OpSpec:
    gates = GATES[op]
    size = f"{gates} * hidden" if gates > 1 else "hidden"
    state = "[directions, batch, hidden]; with layout 1 [batch, directions, hidden]"
    rest = [
        InputSpec("sequence_lens", (I32,), "[batch], 0 to time", optional=True),
        InputSpec("initial_h", (F32,), f"{state}; left out: 0", optional=True),
    ]
    if op == "LSTM":
        rest.append(InputSpec("initial_c", (F32,), "as initial_h", optional=True))
        rest.append(InputSpec("p", (F32,), "[directions, 3 * hidden]: from the cell to i, o, f", optional=True))
    if domain:
        inputs = [
            InputSpec("x", (F32,), f"[time, batch, directions * {size}], with layout 1 the batch first: x W + b"),
            InputSpec("r", (I8,), f"[directions, {size}, hidden]", constant=True),
            InputSpec("multiplier", (F32,), f"[directions, {size}]; scale of r", constant=True),
            InputSpec("rb", (F32,), f"[directions, {size}]: what the product with r gets", optional=True, constant=True),
        ]
        product = (
            "codes and scale of a state h as by QuantizeTokens; acc = sum over k of (codes[k] - 128) * r[n, k]\n"
            "product[n] = (float(acc) * scale) * multiplier[n], then + rb[n] if given\n"
        )
    else:
        inputs = [
            InputSpec("x", (F32,), "[time, batch, inputs]; with layout 1 [batch, time, inputs]"),
            InputSpec("w", (F32,), f"[directions, {size}, inputs]"),
            InputSpec("r", (F32,), f"[directions, {size}, hidden]"),
            InputSpec("b", (F32,), f"[directions, 2 * {size}]: Wb, Rb", optional=True),
        ]
        product = (
            "products are fma chains over k from 0 on; that of x gets + (Wb + Rb)\n"
            "with linear_before_reset that of x and Wh gets Wbh, that of h and Rh gets Rbh\n"
        )
    outputs = [
        OutputSpec("y", (F32,), "[time, directions, batch, hidden]; with layout 1 [batch, time, directions, hidden]"),
        OutputSpec("y_h", (F32,), state, optional=True),
    ]
    if op == "LSTM":
        outputs.append(OutputSpec("y_c", (F32,), state, optional=True))
    equation = product + _STEP.format(_GATES[op])
    return OpSpec(op, "recurrent", (*inputs, *rest), tuple(outputs), _attributes(op, domain), equation, domain=domain)


OPS = tuple(_spec(op, domain) for domain in ("", INTEGER) for op in GATES)
