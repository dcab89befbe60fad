"""Data for passes and comparisons: ``.npz`` files, folders of them, or ``module:factory``."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qgraph.errors import QGraphError
from qgraph.factories import call_factory

Batch = Mapping[str, np.ndarray]
"""Arrays by name of input."""
LABEL = "label"
"""Key of the class numbers in a batch, for training and for accuracy."""


class Data:
    """A source of batches (dicts of input name to array) that can be iterated again and again.

    Args:
        source: an ``.npz`` file (one batch), a folder of them (one batch a file, by name), or ``MODULE:FACTORY``,
            a function that returns an iterable of dicts.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        path = Path(source)
        self.files: list[Path] = []
        if path.is_dir():
            self.files = sorted(path.glob("*.npz"))
            if not self.files:
                raise QGraphError(f"folder {source} holds no .npz file; save batches with numpy.savez(file, name=array)")
        elif path.suffix == ".npz" or ":" not in source:
            if not path.is_file():
                raise QGraphError(f"cannot read data {source}: no such file; give an .npz, a folder of them, or MODULE:FACTORY")
            self.files = [path]

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        if not self.files:
            yield from self._made()
        for file in self.files:
            yield load_npz(file)

    def _made(self) -> Iterator[dict[str, np.ndarray]]:
        for batch in call_factory(self.source):
            if not isinstance(batch, dict):
                raise QGraphError(f"{self.source} yields {type(batch).__name__}; dicts of input name to array are needed")
            yield {k: self._array(v) for k, v in batch.items()}

    @staticmethod
    def _array(value: Any) -> np.ndarray:
        return value.detach().cpu().numpy() if hasattr(value, "detach") else np.asarray(value)


def load_npz(file: Path) -> dict[str, np.ndarray]:
    """The arrays of an ``.npz`` file."""
    try:
        with np.load(file) as archive:
            return {name: archive[name] for name in archive.files}
    except (OSError, ValueError, zipfile.BadZipFile, AttributeError) as error:
        raise QGraphError(f"cannot read data {file}: {error}; save it with numpy.savez(file, name=array)") from error


def input_shapes(texts: Iterable[str]) -> dict[str, list[int]]:
    """Shapes by input name, from texts such as ``x=1,128``."""
    shapes: dict[str, list[int]] = {}
    for text in texts:
        name, _, numbers = text.partition("=")
        if not numbers or not all(d.strip().isdecimal() for d in numbers.split(",")):
            raise QGraphError(f"--shape {text!r} is not of the form NAME=1,128")
        shapes[name] = [int(d) for d in numbers.split(",")]
    return shapes


def random_inputs(
    signature: Mapping[str, tuple[str, Sequence[int | str]]], shapes: Mapping[str, Sequence[int]] | None = None
) -> dict[str, np.ndarray]:
    """Normal random arrays (ones for integers) for inputs of (dtype, dims); free dims are 1 where ``shapes`` says nothing."""
    rng = np.random.default_rng(0)
    made = {}
    for name, (dtype, dims) in signature.items():
        shape = (shapes or {}).get(name, [d if isinstance(d, int) and d > 0 else 1 for d in dims])
        made[name] = rng.standard_normal(shape, np.float32) if dtype == "float32" else np.ones(shape, dtype)
    return made
