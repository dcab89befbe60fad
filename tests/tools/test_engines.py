"""Numbers on timed engines."""

from __future__ import annotations

import pytest
from qgraph.tools.bench.engines import Result


def test_medians_of_an_even_number_of_rounds_lie_between_the_two_in_the_middle() -> None:
    ours, peer = Result("a", [1.0, 1.0, 2.0, 4.0]), Result("b", [2.0, 4.0, 2.0, 12.0])
    assert ours.median == 1.5
    assert ours.speedup(peer) == pytest.approx((2.5, 1.0, 4.0))
