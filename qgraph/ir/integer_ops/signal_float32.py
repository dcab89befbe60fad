"""Fourier transforms and what goes with them, in float32; all of the ONNX standard."""

from __future__ import annotations

from qgraph.ir.integer_ops import common, functions
from qgraph.ir.integer_ops.index import INTEGERS
from qgraph.ir.integer_ops.spec import ANY, F32, InputSpec, OpSpec, OutputSpec

TRANSFORM = f"""\
F(x) of n complex doubles, with w(j) = cos(6.283185307179586 * j / n) - i * sin(the same), or + for the inverse:
n = 1: x. Else p = the lowest prime factor of n, m = n / p, Y_r = F(every p-th x from r on) with every p-th w;
F[k] = Y_0[k mod m] + w(k mod n) * Y_1[k mod m] + ... + w(k * (p - 1) mod n) * Y_(p - 1)[k mod m], from left to right
a product is (a * c - b * d) + i * (a * d + b * c)
{functions.ANGLE}"""


def _known(name: str, meaning: str, optional: bool = True) -> InputSpec:
    return InputSpec(name, INTEGERS, f"one element; {meaning}", optional=optional, known=True)


DFT = OpSpec(
    "DFT",
    "signal",
    inputs=(
        InputSpec("x", (F32,), "[..., 1] real or [..., 2] complex"),
        _known("dft_length", "left out: the length of the axis, or 2 * (length - 1) for the inverse with onesided"),
        _known("axis", "not the last one; left out: the one before it"),
    ),
    outputs=(OutputSpec("y", (F32,), "complex; real for the inverse with onesided"),),
    attributes=(
        common.flag("inverse", "1: the inverse transform"),
        common.flag("onesided", "1: the first n / 2 + 1 results of a real x; the inverse takes as many and gives real numbers"),
    ),
    equation=(
        "x is cut or continued with zeros to n = dft_length along the axis; the inverse with onesided takes n / 2 + 1 and goes "
        "on with their conjugates\n"
        f"y = float(F(x)), of the inverse float(F(x) / n)\n{TRANSFORM}"
    ),
    domain="",
)
STFT = OpSpec(
    "STFT",
    "signal",
    inputs=(
        InputSpec("signal", (F32,), "[batch, length, 1 or 2]"),
        _known("frame_step", "at least 1", optional=False),
        InputSpec("window", (F32,), "[n]", optional=True),
        _known("frame_length", "n; left out: that of the window, or of the signal"),
    ),
    outputs=(OutputSpec("y", (F32,), "[batch, frames, n or n / 2 + 1, 2]"),),
    attributes=(common.flag("onesided", "1: the first n / 2 + 1 results", 1),),
    equation=(
        "frames = (length - n) / frame_step + 1; y[f] = float(F(signal[f * frame_step + i] * window[i] for i < n)), the products "
        f"in double\n{TRANSFORM}"
    ),
    domain="",
)
MEL_WEIGHT_MATRIX = OpSpec(
    "MelWeightMatrix",
    "signal",
    inputs=(
        _known("num_mel_bins", "at least 1", optional=False),
        _known("dft_length", "at least 1", optional=False),
        InputSpec("sample_rate", INTEGERS, "one element"),
        InputSpec("lower_edge_hertz", (F32,), "one element"),
        InputSpec("upper_edge_hertz", (F32,), "one element"),
    ),
    outputs=(OutputSpec("y", (F32,), "[dft_length / 2 + 1, num_mel_bins]"),),
    attributes=(),
    equation=(
        "in double: mel(h) = 2595 * log(1 + h / 700) / log(10); step = (mel(upper) - mel(lower)) / (num_mel_bins + 2)\n"
        "hertz(i) = 700 * (exp((i * step + mel(lower)) / 2595 * log(10)) - 1)\n"
        "edge(i) = floor((dft_length + 1) * hertz(i) / sample_rate)\n"
        "y[j, i] = (j - edge(i)) / (edge(i + 1) - edge(i)) from the one edge to the other, 1 at it where they are equal, then "
        "(edge(i + 2) - j) / (edge(i + 2) - edge(i + 1)) from the second to before the third, else 0\n"
        f"log(10) = 2.302585092994046\n{functions.LOG_WIDE}\n{functions.EXP_WIDE}"
    ),
    domain="",
)
BIT_CAST = OpSpec(
    "BitCast",
    "signal",
    inputs=(InputSpec("x", ANY),),
    outputs=(OutputSpec("y", ANY, "its type is the target, as wide as that of x; bool of bool alone"),),
    attributes=(),
    equation="y has the bits of x",
    domain="",
)
OPS = (DFT, STFT, MEL_WEIGHT_MATRIX, BIT_CAST)
