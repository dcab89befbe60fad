"""Inputs of the models, made by code: pictures, sounds, tokens and tables, and the states that recurrent models reach.

A maker is a function from the model's file and a random generator to an endless row of batches. Its batches from one seed
calibrate, those from another seed judge.
"""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from qgraph.errors import QGraphError, suggest

Batches = Iterator[dict[str, np.ndarray]]
Maker = Callable[[Path, np.random.Generator], Batches]
MAKERS: dict[str, Maker] = {}
MODULES = ("pictures", "sounds", "tables", "tokens")
CALIBRATION, EVALUATION = 6, 3
"""Batches of each."""


def maker(function: Maker) -> Maker:
    """Make ``function`` known under its name."""
    MAKERS[function.__name__] = function
    return function


def batches(name: str, model: Path) -> tuple[list[dict[str, np.ndarray]], list[dict[str, np.ndarray]]]:
    """(calibration, evaluation) batches of the maker ``name`` for ``model``.

    Raises:
        QGraphError: no maker is called so.
    """
    for module in MODULES:
        importlib.import_module(f"qgraph.tools.corpus.inputs.{module}")
    if name not in MAKERS:
        raise QGraphError(f"no maker of inputs is called {name!r}{suggest(name, MAKERS)}; they are in tools/corpus/inputs")
    made = [
        list(itertools.islice(MAKERS[name](model, np.random.default_rng(seed)), count))
        for seed, count in enumerate((CALIBRATION, EVALUATION))
    ]
    return made[0], made[1]
