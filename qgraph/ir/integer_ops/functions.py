"""The equations of functions of one value: how a program computes exp, log, sin and their like, and how well.

Kernels (``runtime/backend/cpu/isa/functions.inc``) and NumPy definitions (``qgraph/execute/integer/functions.py``) follow them
step by step. ``poly(z; c, ...)`` is (...(c * z + c) * z + ...) + c from the highest term. Errors are the largest measured against
float64 (``tests/execute/integer/test_functions.py``), in units of the last place of float32.
"""

from __future__ import annotations

EXP = """\
exp(x): t = x limited to -104 and 89; n = rne(t * 1.44269504); r = (t - n * 0.693359375) - n * -2.12194440e-4
    ((poly(r; 1.38144630e-3, 8.36878033e-3, 4.16683943e-2, 1.66665201e-1, 4.99999934e-1) * (r * r) + r) + 1) * 2^n     1 ulp"""

EXP_BELOW = "exp0(t) = t < -87 ? 0 : exp(t)\n" + EXP

SIGMOID = "sigmoid(x): e = exp0(-|x|); (x < 0 ? e : 1) / (1 + e)     2.5 ulp\n" + EXP_BELOW

TANH = (
    "tanh(x): |x| < 0.625: (p * z) * x + x with z = x * x and p = poly(z; 2.14753729e-3, -8.18267423e-3, 2.17029670e-2,\n"
    "    -5.39472043e-2, 1.33332098e-1, -3.33333309e-1); else 1 - (e + e) / (1 + e) with the sign of x, e = exp(-2 * |x|),\n"
    "    |x| limited to 10     1.5 ulp\n"
) + EXP

ERF = (
    "erf(x): |x| < 0.9375: p * x + x with p = poly(x * x; 8.29661398e-5, -8.12580758e-4, 5.19959995e-3, -2.68588513e-2,\n"
    "    1.12836864e-1, -3.76126332e-1, 1.28379167e-1); else 1 - exp(-(g * t)) with the sign of x, t = |x| limited to 4 and\n"
    "    g = poly(t; 1.18905496e-5, -3.29422546e-4, 3.66945991e-3, -2.38193748e-2, 1.06303672e-1, 6.35110762e-1, 1.12865852)\n"
    "    1.5 ulp\n"
) + EXP

WIDE = "in double, rounded once at the end     1 ulp\n"

EXP_WIDE = """\
exp(x): t = x limited to -150 and 150; n = rne(t * 1.4426950408889634)
    r = (t - n * 0.69314718036912382) - n * 1.9082149292705877e-10
    p = poly(r; 2.7476646019293821e-7, 2.7635145310512186e-6, 2.4801933066063405e-5, 1.9841184899666545e-4,
    1.3888888514021121e-3, 8.3333333710940377e-3, 4.1666666668148114e-2, 1.6666666666611117e-1, 4.9999999999998308e-1)
    ((p * (r * r) + r) + 1) * 2^n
expm1(x): |x| < 1e-5: (0.5 * x) * x + x; else exp(x) - 1"""

SERIES = """\
series(s) = (p * z) * s + 2 * s with z = s * s and p = poly(z; 0.16820485500316979, 0.18123589720015558, 0.22223373236093703,
    0.28571417109286454, 0.40000000052390397, 0.66666666666586997)"""

LOG_WIDE = (
    "log(x): x = m * 2^n with m from 0.70710678118654757 to its double; n * 0.69314718055994529 + series((m - 1) / (m + 1))\n"
    "    0: -infinity; infinity: itself; below 0: NaN\n"
) + SERIES

LOG1P_WIDE = (
    "log1p(e): e > 0.41421356237309503: f = (e - 1) * 0.5 and series(f / (2 + f)) + 0.69314718055994529;\n"
    "    else series(e / (2 + e))\n"
) + SERIES

ANGLE = """\
angle(x): n = rne(x * 0.63661977236758138)
    r = ((x - n * 1.5707963267341256) - n * 6.0771005063039660e-11) - n * 2.0222662487959506e-21,
    limited to -+0.78539816339744839; beyond |x| = 2^20 its error grows with x
sine(r) = (p * z) * r + r with z = r * r and p = poly(z; -2.4761638182155477e-8, 2.7555357580043628e-6, -1.9841263822260202e-4,
    8.333333325270725e-3, -1.6666666666631589e-1)
cosine(r) = ((p * z) * z - 0.5 * z) + 1, p = poly(z; 2.0647692646665347e-9, -2.7555566437646039e-7, 2.4801580967909181e-5,
    -1.388888887826591e-3, 4.1666666666602193e-2)
of n modulo 4 = 0, 1, 2, 3: sin = sine, cosine, -sine, -cosine"""

ARC = """\
arc(t): u = t > 1 ? 1 / t : t; v = u > 0.41421356237309503 ? (u - 1) / (u + 1) : u; z = v * v
    p = poly(z; 3.0893293732191839e-2, -5.8909664736118474e-2, 7.5685157988232398e-2, -9.0791343139052549e-2,
    1.1110449738842035e-1, -1.4285693586430187e-1, 1.9999999685445688e-1, -3.3333333331696097e-1)
    y = (p * z) * v + v, + 0.78539816339744828 where u is so; t > 1: 1.5707963267948966 - y"""
