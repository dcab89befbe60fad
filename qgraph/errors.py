"""Errors that a person can act on: one sentence of what, where, and what to do."""

from __future__ import annotations

import os
import re
import traceback


class QGraphError(Exception):
    """The user's input cannot be handled; the message says what, where and what to do.

    The command line prints the message and exits with code 2.
    """


def suggest(word: str, known: object, *, cutoff: float = 0.5) -> str:
    """Return ``"; did you mean 'x'?"`` for the closest of ``known`` names, or an empty string."""
    import difflib

    close = difflib.get_close_matches(word, list(known), n=1, cutoff=cutoff)  # type: ignore[call-overload]
    return f"; did you mean {close[0]!r}?" if close else ""


def theirs(what: str, error: BaseException) -> QGraphError:
    """The error that code of the user's raised, told as theirs: ``what`` failed, the exception, and their file and line."""
    text = str(error)
    told = [line.strip() for line in text.splitlines() if line.strip()]
    place = f" (at {line})" if (line := user_line(error)) else ""
    if inner := re.findall(r'File "([^"]+)", line (\d+)', text):  # a worker process: its traceback is in the text
        own = [f for f in inner if "site-packages" not in f[0]] or inner
        told, place = told[-1:], f" (at {own[-1][0]}:{own[-1][1]})"
    message = f": {told[0]}" if told else ""
    return QGraphError(f"{what} fails: {type(error).__name__}{message}{place}; correct that code")


def user_line(error: BaseException) -> str:
    """``file:line`` where the user's code raised ``error``: the innermost frame outside of qgraph and of installed packages,
    else outside of torch and qgraph; empty where there is none."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    ours = os.path.dirname(__file__) + os.sep
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith((ours, "<"))]
    frames = [f for f in frames if f"{os.sep}torch{os.sep}" not in f.filename]
    own = [f for f in frames if f"{os.sep}site-packages{os.sep}" not in f.filename and os.sep + "lib" + os.sep not in f.filename]
    last = (own or frames)[-1:]
    return f"{last[0].filename}:{last[0].lineno}" if last else ""
