"""Functions of one value as ``qgraph/ir/integer_ops/functions.py`` states them, in NumPy."""

from __future__ import annotations

import numpy as np

from qgraph.execute.integer.common import F

Array = np.ndarray
D = np.float64


def polynomial(z: Array, *coefficients: float) -> Array:
    """From the highest term, in the type of ``z``."""
    y = np.full_like(z, coefficients[0])
    for c in coefficients[1:]:
        y = y * z + z.dtype.type(c)
    return y


def limited(x: Array, low: float, high: float) -> Array:
    """NaN stays."""
    return np.where(x > high, x.dtype.type(high), np.where(x < low, x.dtype.type(low), x))


def exp(x: Array) -> Array:
    t = limited(x, -104, 89)
    n = np.rint(t * F(1.44269504))
    r = (t - n * F(0.693359375)) - n * F(-2.12194440e-4)
    p = polynomial(r, 1.38144630e-3, 8.36878033e-3, 4.16683943e-2, 1.66665201e-1, 4.99999934e-1)
    return np.ldexp((p * (r * r) + r) + F(1), np.nan_to_num(n).astype(np.int32))  # type: ignore[no-any-return]


def exp_below(x: Array) -> Array:
    """Of numbers below 0."""
    return np.where(x < -87, F(0), exp(x))


def sigmoid(x: Array) -> Array:
    e = exp_below(-np.abs(x))
    return np.where(x < 0, e, F(1)) / (F(1) + e)


def tanh(x: Array) -> Array:
    z, size = x * x, np.abs(x)
    p = polynomial(z, 2.14753729e-3, -8.18267423e-3, 2.17029670e-2, -5.39472043e-2, 1.33332098e-1, -3.33333309e-1)
    e = exp(F(-2) * np.where(size > 10, F(10), size))
    far = F(1) - (e + e) / (F(1) + e)
    return np.where(size < F(0.625), (p * z) * x + x, np.copysign(far, x))


def erf(x: Array) -> Array:
    size, z = np.abs(x), x * x
    t = np.where(size > 4, F(4), size)
    p = polynomial(z, 8.29661398e-5, -8.12580758e-4, 5.19959995e-3, -2.68588513e-2, 1.12836864e-1, -3.76126332e-1, 1.28379167e-1)
    g = polynomial(t, 1.18905496e-5, -3.29422546e-4, 3.66945991e-3, -2.38193748e-2, 1.06303672e-1, 6.35110762e-1, 1.12865852)
    return np.where(size < F(0.9375), p * x + x, np.copysign(F(1) - exp(-(g * t)), x))


def gelu(x: Array) -> Array:
    return (F(0.5) * x) * (F(1) + erf(x * F(0.707106781)))


def gelu_tanh(x: Array) -> Array:
    return (F(0.5) * x) * (F(1) + tanh(F(0.797884561) * (x + F(0.044715) * ((x * x) * x))))


def exp_wide(x: Array) -> Array:
    t = limited(x, -150, 150)
    n = np.rint(t * 1.4426950408889634)
    r = (t - n * 0.69314718036912382) - n * 1.9082149292705877e-10
    p = polynomial(
        r,
        *(2.7476646019293821e-7, 2.7635145310512186e-6, 2.4801933066063405e-5, 1.9841184899666545e-4, 1.3888888514021121e-3),
        *(8.3333333710940377e-3, 4.1666666668148114e-2, 1.6666666666611117e-1, 4.9999999999998308e-1),
    )
    return np.ldexp((p * (r * r) + r) + 1, np.nan_to_num(n).astype(np.int32))  # type: ignore[no-any-return]


def expm1_wide(x: Array) -> Array:
    return np.where(np.abs(x) < 1e-5, (0.5 * x) * x + x, exp_wide(x) - 1)


def log_series(s: Array) -> Array:
    z = s * s
    p = polynomial(
        z,
        *(0.16820485500316979, 0.18123589720015558, 0.22223373236093703, 0.28571417109286454, 0.40000000052390397),
        0.66666666666586997,
    )
    return (p * z) * s + 2 * s


def log_wide(x: Array) -> Array:
    m, n = np.frexp(np.where((x > 0) & np.isfinite(x), x, 1.0))
    small = m < 0.70710678118654757
    m, n = np.where(small, 2 * m, m), (n - small).astype(D)
    y = n * 0.69314718055994529 + log_series((m - 1) / (m + 1))
    y = np.where(x == 0, -np.inf, np.where(x == np.inf, np.inf, y))
    return np.where((x < 0) | np.isnan(x), np.nan, y)


def log1p_wide(e: Array) -> Array:
    big = e > 0.41421356237309503
    f = np.where(big, (e - 1) * 0.5, e)
    y = log_series(f / (2 + f))
    return np.where(big, y + 0.69314718055994529, y)


def softplus_wide(x: Array) -> Array:
    return np.where(x < 0, 0, x) + log1p_wide(exp_wide(-np.abs(x)))


def mish_wide(x: Array) -> Array:
    e = np.where(x < -150, 0, exp_wide(np.where(x > 40, 40, x)))
    n = e * (e + 2)
    return x * (n / (n + 2))


def _angle(x: Array) -> tuple[Array, Array]:
    turned = x * 0.63661977236758138 + 6755399441055744.0  # whose low bits are the nearest multiple
    n = turned - 6755399441055744.0
    r = ((x - n * 1.5707963267341256) - n * 6.0771005063039660e-11) - n * 2.0222662487959506e-21
    return limited(r, -0.78539816339744839, 0.78539816339744839), np.asarray(turned).view(np.int64) & 3


def _sine(r: Array) -> Array:
    z = r * r
    p = polynomial(
        z, -2.4761638182155477e-8, 2.7555357580043628e-6, -1.9841263822260202e-4, 8.333333325270725e-3, -1.6666666666631589e-1
    )
    return (p * z) * r + r


def _cosine(r: Array) -> Array:
    z = r * r
    p = polynomial(
        z, 2.0647692646665347e-9, -2.7555566437646039e-7, 2.4801580967909181e-5, -1.388888887826591e-3, 4.1666666666602193e-2
    )
    return ((p * z) * z - 0.5 * z) + 1


def sin_wide(x: Array, more: int = 0) -> Array:
    r, quarter = _angle(x)
    quarter = quarter + more & 3
    y = np.where(quarter & 1, _cosine(r), _sine(r))
    return np.where(quarter & 2, -y, y)


def cos_wide(x: Array) -> Array:
    return sin_wide(x, 1)


def tan_wide(x: Array) -> Array:
    r, quarter = _angle(x)
    s, c = _sine(r), _cosine(r)
    return np.where(quarter & 1, -c / s, s / c)


def arc_wide(t: Array) -> Array:
    """The arc tangent of numbers that are not negative."""
    turned = t > 1
    u = np.where(turned, 1 / t, t)
    far = u > 0.41421356237309503
    v = np.where(far, (u - 1) / (u + 1), u)
    z = v * v
    p = polynomial(
        z,
        *(3.0893293732191839e-2, -5.8909664736118474e-2, 7.5685157988232398e-2, -9.0791343139052549e-2),
        *(1.1110449738842035e-1, -1.4285693586430187e-1, 1.9999999685445688e-1, -3.3333333331696097e-1),
    )
    y = (p * z) * v + v
    y = np.where(far, y + 0.78539816339744828, y)
    return np.where(turned, 1.5707963267948966 - y, y)


def asin_wide(size: Array) -> Array:
    return arc_wide(size / np.sqrt(1 - size * size))


def acos_wide(x: Array) -> Array:
    y = arc_wide(np.sqrt(1 - x * x) / np.abs(x))
    return np.where(x < 0, 3.1415926535897931 - y, y)


def sinh_wide(size: Array) -> Array:
    z, e = size * size, exp_wide(size)
    near = ((z * 8.3333333333333332e-3 + 0.16666666666666666) * z) * size + size
    return np.where(size < 1e-2, near, 0.5 * (e - 1 / e))


def cosh_wide(x: Array) -> Array:
    e = exp_wide(np.abs(x))
    return 0.5 * (e + 1 / e)


def asinh_wide(size: Array) -> Array:
    z = size * size
    near = ((z * 0.075 - 0.16666666666666666) * z) * size + size
    return np.where(size < 1e-3, near, log_wide(size + np.sqrt(z + 1)))


def acosh_wide(x: Array) -> Array:
    return np.where(x < 1, np.nan, log_wide(x + np.sqrt(x * x - 1)))


def atanh_wide(size: Array) -> Array:
    z = size * size
    near = ((z * 0.2 + 0.33333333333333331) * z) * size + size
    return np.where(size < 1e-3, near, 0.5 * log_wide((1 + size) / (1 - size)))


def power_wide(x: Array, y: Array) -> Array:
    size = np.abs(x)
    r = exp_wide(y * log_wide(size))
    r = np.where((size == 1) & ~np.isnan(y), 1, r)
    whole = np.floor(y) == y
    odd = whole & (np.floor(0.5 * y) != 0.5 * y)
    r = np.where(odd & np.signbit(x), -r, r)
    r = np.where((x < 0) & np.isfinite(x) & ~whole, np.nan, r)
    r = np.where((y == 0) | (x == 1), 1, r)
    return np.where(y == 2, x * x, np.where(y == 3, (x * x) * x, r))
