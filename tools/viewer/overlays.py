"""What can be laid over a graph: a value a node, with a unit and a scale of colours."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

from qgraph.tools.viewer.adapter import MARKS

from qgraph.analyze.metrics import NodeMetrics
from qgraph.ir.snapshot import Change

CIVIDIS = ("#00224e", "#35456c", "#666970", "#948e77", "#c8b866", "#fee838")
"""Colour-blind safe and even in lightness, also on paper (Nunez, Anderton and Renslow 2018)."""
LIGHT = 3
"""Colours from this one on carry dark text."""


@dataclasses.dataclass(frozen=True)
class Overlay:
    """A named set of values by id of node; ``worst`` says which end of the scale is to be looked at, and is bright."""

    key: str
    title: str
    unit: str
    values: Mapping[str, float | str]
    worst: str = "high"
    colours: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """For values that are words."""

    def json(self) -> dict[str, Any]:
        """For the page: legend and rows, those to look at first in front."""
        numbers = {k: v for k, v in self.values.items() if isinstance(v, float)}
        order = sorted(numbers, key=lambda k: numbers[k], reverse=self.worst == "high") if numbers else list(self.values)
        low, high = (min(numbers.values()), max(numbers.values())) if numbers else (0.0, 0.0)
        return {
            "key": self.key,
            "title": self.title,
            "unit": self.unit,
            "low": low,
            "high": high,
            "stops": list(self.stops()) if numbers else [],
            "words": dict(self.colours),
            "rows": [[k, self.values[k]] for k in order],
        }

    def stops(self) -> tuple[str, ...]:
        """Colours from the smallest value to the largest; the light, loud end is where to look."""
        return CIVIDIS if self.worst == "high" else CIVIDIS[::-1]

    def node_data(self, graph: str) -> dict[str, Any]:
        """As Model Explorer's node data of the graph with this id."""
        stops = self.stops()
        light = set(CIVIDIS[LIGHT:])
        gradient = [
            {"stop": i / (len(stops) - 1), "bgColor": colour, "textColor": "#000000" if colour in light else "#ffffff"}
            for i, colour in enumerate(stops)
        ]
        results: dict[str, Any] = {}
        for node, value in self.values.items():
            results[node] = {"value": value}
            if isinstance(value, str):
                results[node] |= {"bgColor": self.colours[value], "textColor": "#000000"}
        title = f"{self.title} ({self.unit})" if self.unit else self.title
        data: dict[str, Any] = {"results": results, "name": title}
        numbers = {v for v in self.values.values() if isinstance(v, float)}
        if len(numbers) > 1:
            data["gradient"] = gradient
        elif not numbers:
            data["hideInAggregatedStatsTable"] = True
        else:
            data["thresholds"] = [{"value": max(numbers), "bgColor": stops[-1], "textColor": gradient[-1]["textColor"]}]
        return {graph: data}


def overlays(metrics: Mapping[str, NodeMetrics]) -> list[Overlay]:
    """The overlays that have something to show."""
    total = sum(f.seconds for f in metrics.values() if f.seconds is not None)

    def of(read: Callable[[NodeMetrics], float | None]) -> dict[str, float | str]:
        numbers = {k: read(f) for k, f in metrics.items()}
        return {k: float(v) for k, v in numbers.items() if v is not None and math.isfinite(v)}

    taps = {k: f.tap for k, f in metrics.items() if f.tap}
    palette = ("#56b4e9", "#e69f00", "#009e73", "#f0e442", "#cc79a7", "#d55e00")
    overlays = [
        Overlay("sqnr", "SQNR", "dB", of(lambda f: f.sqnr), "low"),
        Overlay(
            "noise", "noise made here, part of the signal", "%", of(lambda f: 100 * f.noise if f.noise is not None else None)
        ),
        Overlay("cosine", "cosine", "", of(lambda f: f.cosine), "low"),
        Overlay("bits", "weight bits", "bits", of(lambda f: f.bits)),
        Overlay("value-bits", "bits of the values", "bits", of(lambda f: f.value_bits)),
        Overlay("bytes", "weight bytes", "kB", of(lambda f: f.bytes / 1e3 if f.bytes else None)),
        Overlay("sparsity", "zeros", "%", of(lambda f: 100 * f.sparsity if f.sparsity is not None else None)),
        Overlay("macs", "multiply-accumulates", "million", of(lambda f: f.macs / 1e6 if f.macs else None)),
        Overlay("time", "time", "us", of(lambda f: 1e6 * f.seconds if f.seconds is not None else None)),
        Overlay("share", "share of the time", "%", of(lambda f: 100 * f.seconds / total if f.seconds and total else None)),
        Overlay("taps", "distillation taps", "", taps, colours=dict(zip(dict.fromkeys(taps.values()), palette, strict=False))),
    ]
    return [o for o in overlays if o.values]


def changes(change: Change, before: bool, title: str) -> Overlay:
    """What a step did, as an overlay: the graph ``before`` it shows what it removed, the one behind it what it added."""
    kinds = ("changed", "removed") if before else ("changed", "added")
    values = {i: kind for kind in kinds for i in getattr(change, kind)}
    return Overlay("change", title, "", values, colours=MARKS)
