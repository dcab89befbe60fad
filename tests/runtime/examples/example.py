"""One node with its inputs, and the random numbers it is made of.

Codes crowd at the ends of their type, zero points lie at both ends, scales saturate.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

KINDS = st.sampled_from(["uint8", "int16"])
OUTPUTS = st.sampled_from(["uint8", "int16", "float32"])
SEEDS = st.integers(0, 2**31)
BITS = st.sampled_from([8, 4, 2])


@dataclasses.dataclass(frozen=True)
class Example:
    """A node: its inputs (None where left out; those of ``constants`` are initializers), attributes and types of outputs.

    Input ``packed`` has so many ``bits``.
    """

    inputs: list[np.ndarray | None]
    attributes: dict[str, Any]
    outputs: tuple[str, ...]
    constants: tuple[int, ...] = ()
    bits: int = 8
    packed: int = 1


Strategy = Callable[[], st.SearchStrategy[Example]]
EXAMPLES: dict[str, list[Strategy]] = {}


def example(*ops: str) -> Callable[[Callable[..., Example]], Callable[..., Example]]:
    """Register a function of ``draw`` and the op type that makes an ``Example``."""

    def register(make: Callable[..., Example]) -> Callable[..., Example]:
        for op in ops:
            EXAMPLES.setdefault(op, []).append(lambda op=op: st.composite(make)(op))
        return make

    return register


class Case:
    """Random numbers of one example."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def codes(self, shape: tuple[int, ...], dtype: str = "uint8") -> np.ndarray:
        """A third of the codes at each end of the type's range, a third between; or all of one kind."""
        info = np.iinfo(dtype)
        kind = self.rng.integers(0, 3, shape) if self.rng.random() < 0.7 else np.full(shape, self.rng.integers(0, 3))
        between = self.rng.integers(info.min, info.max + 1, shape)
        return np.choose(kind, [np.full(shape, info.min), np.full(shape, info.max), between]).astype(dtype)

    def weights(self, shape: tuple[int, ...], bits: int) -> np.ndarray:
        """Codes of so many bits, as int8."""
        return self.codes(shape, "int8") >> (8 - bits)

    def levels(self, bits: int, inputs: list[np.ndarray | None]) -> dict[str, list[int]]:
        """At times the weights of fewer bits, input 1, become indices of levels."""
        if bits == 8 or self.rng.random() < 0.5:
            return {}
        inputs[1] = self.codes(inputs[1].shape) >> (8 - bits)  # type: ignore[union-attr]
        return {"levels": self.codes((1 << bits,), "int8").tolist()}

    def zero(self, dtype: str = "uint8") -> int:
        if dtype == "float32":
            return 0
        info = np.iinfo(dtype)
        return int(self.rng.choice([info.min, info.max, 0, int(self.rng.integers(info.min, info.max + 1))]))

    def factor(self, typical: float) -> float:
        """A multiplier: fitting, or one that saturates, or one that vanishes."""
        return float(np.float32(typical * self.rng.choice([1, 1, 1, 300, 1e-4]) * self.rng.uniform(0.5, 2)))

    def factors(self, n: int, typical: float) -> np.ndarray:
        return np.array([self.factor(typical) for _ in range(n)], np.float32)

    def output(self, dtype: str) -> dict[str, int]:
        """Zero point and, at times, a clamp."""
        if dtype == "float32":
            return {}
        made = {"y_zero": self.zero(dtype)}
        if self.rng.random() < 0.3:
            low, high = sorted(int(c) for c in self.codes((2,), dtype))
            made |= {"clamp_min": low, "clamp_max": high}
        return made

    def residual(self, shape: tuple[int, ...], kind: str, staged: str) -> tuple[np.ndarray, dict[str, Any]]:
        """A residual of ``kind`` and its attributes; at times added to codes of type ``staged``."""
        attributes: dict[str, Any] = {"residual_zero": self.zero(kind), "residual_multiplier": self.factor(1.0)}
        if staged and self.rng.random() < 0.7:
            own = {"clamp_min": int(np.iinfo(staged).min), "clamp_max": int(np.iinfo(staged).max), **self.output(staged)}
            names = {"y_zero": "mid_zero", "clamp_min": "mid_min", "clamp_max": "mid_max"}
            attributes |= {"staged": 1, "mid_multiplier": self.factor(1.0), **{names[k]: v for k, v in own.items()}}
        return self.codes(shape, kind), attributes

    def floats(self, shape: tuple[int, ...]) -> np.ndarray:
        """Numbers whose sums round in every way; at times some huge or tiny ones, infinities and NaN."""
        made = self.rng.standard_normal(shape) * 2.0 ** self.rng.integers(-12, 12, shape)
        kind = self.rng.integers(4)
        if kind == 0:
            rare = self.rng.choice([0.0, -0.0, 1e-45, -1e-40, 3e38, -3e38, np.inf, -np.inf, np.nan], shape)
            made = np.where(self.rng.random(shape) < 0.02, rare, made)
        if kind == 1:
            made = made * 1e-38
        return np.asarray(made, np.float32)

    def any(self, shape: tuple[int, ...], dtype: str) -> np.ndarray:
        """Elements of any type, no NaN."""
        if dtype == "bool":
            return self.rng.random(shape) < 0.5
        if dtype == "float32":
            return (self.rng.standard_normal(shape) * 10.0 ** self.rng.integers(-3, 6)).astype(np.float32)
        return self.codes(shape, dtype)

    def special(self, x: np.ndarray) -> np.ndarray:
        """float32 ``x``; at times with infinities, NaN, zeros of both signs, the largest and the smallest numbers among it."""
        if self.rng.random() < 0.5:
            return x
        odd = [np.inf, -np.inf, np.nan, 0.0, -0.0, 1.0, -1.0, 3.4028235e38, -3.4028235e38, 1.1754944e-38, 1e-45, -1e-45]
        return np.where(self.rng.random(x.shape) < 0.3, self.rng.choice(np.array(odd, np.float32), x.shape), x)
