"""Values of options: from text or YAML to the types of a dataclass's fields, and back to text."""

from __future__ import annotations

import re
import types
import typing
from typing import Any

from qgraph.errors import QGraphError, suggest

BOOLEANS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
QUOTES = "\"'"


def print_value(value: Any) -> str:
    """The text that ``convert`` reads as ``value``."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "[" + ",".join(map(print_value, value)) + "]"
    if isinstance(value, str) and (not value or re.search(r"[][{},\"'\s]", value)):
        return f"'{value}'" if '"' in value else f'"{value}"'
    return repr(value) if isinstance(value, float) else str(value)


def _items(text: str) -> list[str]:
    """The items of a list; commas within quotes part none."""
    inner = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    return [item.strip() for item in re.findall(r"(?:\"[^\"]*\"|'[^']*'|[^,])+", inner) if item.strip()]


def convert(text: Any, kind: Any, what: str) -> Any:
    """An option's text (or YAML value) as a value of ``kind``, the type of a field.

    Args:
        what: the option, for error messages.

    Raises:
        QGraphError: the text is no value of that type.
    """
    origin = typing.get_origin(kind)
    if origin in (typing.Union, types.UnionType):
        if text in (None, "none"):
            return None
        return convert(text, next(k for k in typing.get_args(kind) if k is not type(None)), what)
    if origin is typing.Literal:
        choices = typing.get_args(kind)
        for choice in choices:
            if str(choice) == str(text):
                return choice
        raise QGraphError(f"{what} is {text!r}; choose from {', '.join(map(str, choices))}{suggest(str(text), choices)}")
    if origin is tuple:
        items = text if isinstance(text, list | tuple) else _items(str(text))
        return tuple(convert(i, typing.get_args(kind)[0], what) for i in items)
    if kind is bool:
        if str(text).lower() in BOOLEANS:
            return BOOLEANS[str(text).lower()]
        raise QGraphError(f"{what} is {text!r}; write true or false")
    if kind is str and isinstance(text, str) and len(text) > 1 and text[0] == text[-1] and text[0] in QUOTES:
        return text[1:-1]
    try:
        return kind(text)
    except (TypeError, ValueError):
        raise QGraphError(f"{what} is {text!r}; a value of type {kind.__name__} is needed") from None
