"""The passes that are known by name, and how one is made from its name and options."""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import typing
from collections.abc import Callable, Mapping
from typing import Any

from qgraph.errors import QGraphError, suggest
from qgraph.pipeline.base import Pass
from qgraph.pipeline.options import convert

GROUP = "qgraph.passes"
"""Entry-point group of the modules that register passes; the project's own are one of its entries."""
_REGISTRY: dict[str, type[Pass]] = {}


def register(name: str) -> Callable[[type[Pass]], type[Pass]]:
    """Class decorator that makes a pass known under ``name``."""

    def add(cls: type[Pass]) -> type[Pass]:
        cls.name = name
        _REGISTRY[name] = cls
        return cls

    return add


@functools.cache
def load_entry_points() -> None:
    """Import the modules that register passes, once a process."""
    for entry in importlib.metadata.entry_points(group=GROUP):
        entry.load()


def passes() -> dict[str, type[Pass]]:
    """All registered passes by name: the project's own and those of other packages."""
    load_entry_points()
    return dict(sorted(_REGISTRY.items()))


def get_pass(name: str) -> type[Pass]:
    """The class of the pass ``name``; raises QGraphError where there is none."""
    known = passes()
    if name not in known:
        raise QGraphError(f"no pass is called {name!r}{suggest(name, known)}; 'qgraph passes' lists them")
    return known[name]


def make_pass(name: str, options: Mapping[str, Any]) -> Pass:
    """A pass from its name and options, given as text or Python values."""
    cls = get_pass(name)
    fields = {f.name: f for f in dataclasses.fields(cls.Options)}
    hints = typing.get_type_hints(cls.Options)
    values = {}
    for key, value in options.items():
        field = key.replace("-", "_")
        if field not in fields:
            known = [f.replace("_", "-") for f in fields]
            listed = ", ".join(known) or "none"
            raise QGraphError(f"pass {name!r} has no option {key!r}{suggest(key, known)}; its options: {listed}")
        values[field] = convert(value, hints[field], f"option {key!r} of pass {name!r}")
    return cls(cls.Options(**values))
