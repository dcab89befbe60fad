"""Code lengths against entropy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qgraph.numerics.coding import entropy, huffman_bits


@given(st.lists(st.integers(-8, 7), min_size=2, max_size=300))
def test_huffman_lies_between_entropy_and_one_more(values: list[int]) -> None:
    codes = np.array(values)
    h = entropy(codes)
    assert h - 1e-9 <= huffman_bits(codes) < h + 1 + 1e-9 or len(set(values)) == 1


def test_known_lengths() -> None:
    codes = np.repeat([0, 1, 2, 3], [4, 2, 1, 1])  # lengths 1, 2, 3, 3
    assert huffman_bits(codes) == pytest.approx(1.75) and entropy(codes) == pytest.approx(1.75)
    assert huffman_bits(np.zeros(5, int)) == 1.0
    gaussian = np.clip(np.rint(np.random.default_rng(0).standard_normal(100_000) * 2), -8, 7)
    assert huffman_bits(gaussian) < 3.2  # fewer than the four bits that are stored
