"""Curves against the functions that they stand for, at every int16 code."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from qgraph.passes.lower import curves

EVERY = torch.arange(-(1 << 15), 1 << 15).double()


@pytest.mark.parametrize("reach", [1.0, 5.0, 9.3, 24.6, 100.0])
@pytest.mark.parametrize("name", ["gelu", "silu", "sigmoid", "tanh", "relu", "mish"])
@pytest.mark.parametrize("zero", [0, -32000])
def test_a_curve_gives_the_code_of_its_function(name: str, reach: float, zero: int) -> None:
    f = {"sigmoid": torch.sigmoid, "tanh": torch.tanh}.get(name) or getattr(F, name)
    real = f((EVERY - zero) * reach / 32768)
    y = (real / (real.abs().max() / (32767 + abs(zero)))).numpy()
    curve = curves.fit(y.astype(np.float32), -32768 - zero, 32767 - zero)
    smooth = name in ("gelu", "silu") and reach in (1.0, 5.0, 9.3, 100.0) and zero == 0
    assert curve is not None or not smooth
    if curve is not None:
        low, high = -32768 - zero, 32767 - zero
        wanted, found = np.clip(np.rint(y), low, high), np.clip(np.rint(curve(EVERY.long().numpy())), low, high)
        assert np.abs(wanted - found).max() <= 1
        assert np.mean(wanted != found) < 0.01


def test_what_bends_everywhere_has_no_curve() -> None:
    x = EVERY.numpy()
    assert curves.fit((30000 * np.sin(x / 100)).astype(np.float32), -32768, 32767) is None  # many waves
    assert curves.fit((np.round(x / 1000) * 1000).astype(np.float32), -32768, 32767) is None  # steps
    assert curves.fit(np.where(x > 0, np.nan, x).astype(np.float32), -32768, 32767) is None
    assert curves.fit((np.maximum(x, 777) - 3).astype(np.float32), -32768, 32767) is None  # a corner within a segment


def test_a_line_is_exact() -> None:
    y = EVERY.numpy().astype(np.float32)
    curve = curves.fit(y, -32768, 32767)
    assert curve is not None
    np.testing.assert_array_equal(np.rint(curve(EVERY.long().numpy())), y)
