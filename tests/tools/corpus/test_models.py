"""The table of models names what there is."""

from __future__ import annotations

import pytest
from qgraph.tools.corpus import inputs, made
from qgraph.tools.corpus.models import MADE, Entry, entries, select
from qgraph.tools.corpus.tasks import TASKS

from qgraph import QGraphError


@pytest.mark.parametrize("entry", entries().values(), ids=lambda entry: entry.name)
def test_row(entry: Entry) -> None:
    with pytest.raises(QGraphError, match="no maker of inputs is called 'nothing'"):
        inputs.batches("nothing", made.cache())
    assert entry.inputs in inputs.MAKERS
    assert entry.task in TASKS
    assert not entry.of or entries()[entry.of].registry != MADE
    if entry.registry == MADE:
        assert entry.package in made.MAKERS
    else:
        assert entry.registry in ("pypi", "npm")
        assert entry.version
        assert len(bytes.fromhex(entry.sha256)) == 32


def test_there_are_enough_models() -> None:
    assert len(entries()) >= 24


def test_select() -> None:
    assert [entry.name for entry in select(["silero*", "cls"])] == ["cls", "silero", "silero15", "silero4"]
    assert len(select([])) == len(entries())


def test_a_glob_that_matches_nothing() -> None:
    with pytest.raises(QGraphError, match=r"no model of the corpus is called 'nudnet'; did you mean 'nudenet'\?"):
        select(["cls", "nudnet"])
