"""The textual form of pipelines: ``fold-batchnorm,calibrate{method=entropy},quantize{weights=int4}``.

A value that holds a space, a comma, a bracket or a brace stands in quotes: ``quantize{exclude=["blocks[0].w",head]}``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from qgraph.errors import QGraphError
from qgraph.pipeline.base import Pass
from qgraph.pipeline.registry import make_pass

_QUOTED = r"\"[^\"]*\"|'[^']*'"
_ITEM = re.compile(rf"\s*([A-Za-z][\w.-]*)\s*(?:\{{((?:{_QUOTED}|[^{{}}])*)\}})?\s*(,|$)")
_OPTION = re.compile(rf"\s*([\w-]+)=(\[(?:{_QUOTED}|[^\]])*\]|{_QUOTED}|[^\s]+)(?=\s|$)")


def parse(text: str) -> list[Pass]:
    """The passes that ``text`` names; raises QGraphError with the place that cannot be read."""
    passes: list[Pass] = []
    position = 0
    if not text.strip():
        return []
    while True:
        match = _ITEM.match(text, position)
        if not match:
            raise QGraphError(
                f"cannot read the pipeline at character {position}: {text[position : position + 30]!r}; "
                "write NAME or NAME{option=value option=value}, separated by commas"
            )
        name, body, stop = match.groups()
        passes.append(make_pass(name, _options(name, (body or "").strip())))
        position = match.end()
        if not stop:
            return passes
        if position >= len(text):
            raise QGraphError("the pipeline ends with a comma; name another pass or remove it")


def _options(name: str, text: str) -> dict[str, str]:
    options: dict[str, str] = {}
    position = 0
    while position < len(text):
        match = _OPTION.match(text, position)
        if not match:
            raise QGraphError(
                f"cannot read the options of pass {name!r} at {text[position:]!r}; write option=value, "
                "and names that hold [ ] { } , or spaces in quotes"
            )
        options[match[1]] = match[2]
        position = match.end()
    return options


def print_passes(passes: Iterable[Pass]) -> str:
    """The text that ``parse`` reads as ``passes``."""
    return ",".join(map(str, passes))
