"""Errors that a person can act on: one sentence of what, where, and what to do."""

from __future__ import annotations


class QGraphError(Exception):
    """The user's input cannot be handled; the message says what, where and what to do.

    The command line prints the message and exits with code 2.
    """


def suggest(word: str, known: object, *, cutoff: float = 0.5) -> str:
    """Return ``"; did you mean 'x'?"`` for the closest of ``known`` names, or an empty string."""
    import difflib

    close = difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)  # type: ignore[call-overload]
    return f"; did you mean {close[0]!r}?" if close else ""
