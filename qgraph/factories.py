"""Functions that the user names as ``PACKAGE.MODULE:FUNCTION``: factories of models, data and training sets."""

from __future__ import annotations

import importlib
import inspect
import os
import sys
from typing import Any

from qgraph.errors import QGraphError, suggest, theirs


def import_factory(spec: str) -> Any:
    """Import ``PACKAGE.MODULE:FUNCTION``; the working directory is importable.

    Raises:
        QGraphError: there is no such module or function, or the module fails while it is imported.
    """
    package, _, name = spec.partition(":")
    if not name:
        raise QGraphError(f"{spec!r} is not of the form PACKAGE.MODULE:FUNCTION")
    if (here := os.getcwd()) not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(package)
    except ImportError as error:
        raise QGraphError(f"cannot import {package!r} for {spec}: {error}; is it installed or in this folder?") from error
    except QGraphError:
        raise
    except Exception as error:
        raise theirs(f"importing {package!r} for {spec}", error) from error
    factory = getattr(module, name, None)
    if factory is None:
        raise QGraphError(f"module {package!r} has no {name!r}{suggest(name, dir(module))}")
    return factory


def call_factory(spec: str, **arguments: Any) -> Any:
    """Import and call ``PACKAGE.MODULE:FUNCTION``.

    Raises:
        QGraphError: there is no such module or function, it does not take the arguments, or it fails.
    """
    factory = import_factory(spec)
    if not callable(factory):
        raise QGraphError(f"{spec} is {type(factory).__name__}, not a function; name a function that returns what is needed")
    try:
        inspect.signature(factory).bind(**arguments)
    except TypeError as error:
        raise QGraphError(f"{spec} cannot be called with {', '.join(arguments) or 'no arguments'}: {error}") from error
    try:
        return factory(**arguments)
    except QGraphError:
        raise
    except Exception as error:
        raise theirs(spec, error) from error
