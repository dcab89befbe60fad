"""The digits that come with the package: those of the UCI repository, whole."""

from __future__ import annotations

import sys

import numpy as np

from qgraph.zoo.digits import split


def test_the_digits_are_those_of_the_uci_repository() -> None:
    train, labels, test, truth = split()
    images = np.concatenate([train, test])
    assert images.shape == (1797, 1, 8, 8) and images.dtype == np.float32
    assert set(np.unique(images * 16)) == set(range(17))
    counts = np.bincount(np.concatenate([labels, truth]))  # as the repository's optdigits.names lists them
    assert counts.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]


def test_no_other_package_is_needed(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setitem(sys.modules, "sklearn", None)
    split.cache_clear()
    assert len(split()[0]) == 1297
