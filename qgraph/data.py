"""Data for passes, comparisons and runs: files, factories, loaders and arrays, as dicts of input name to array."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from qgraph.errors import QGraphError, suggest, theirs
from qgraph.factories import call_factory

Batch = Mapping[str, np.ndarray]
"""Arrays by name of input."""
LABEL = "label"
"""Key of the class numbers in a batch, for training and for accuracy."""
UNNAMED = re.compile(r"arr_\d+")
"""What NumPy calls an array that was saved without a name."""


class Data:
    """A source of batches that can be iterated again and again; ``Batches`` gives what it yields the names of inputs.

    Args:
        source: an ``.npz`` file (one batch), an ``.npy`` file (one batch of a model with one input), a folder of them (one
            batch a file, by name), or ``MODULE:FACTORY``, a function that returns batches as ``Batches`` takes them.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        path = Path(source)
        self.files: list[Path] = []
        if path.is_dir():
            self.files = sorted(f for f in path.iterdir() if f.suffix in (".npz", ".npy"))
            if not self.files:
                raise QGraphError(f"folder {source} holds no .npz or .npy file; save batches with numpy.savez(file, name=array)")
        elif path.suffix in (".npz", ".npy") or ":" not in source:
            if not path.is_file():
                raise QGraphError(
                    f"cannot read data {source}: no such file; give an .npz, an .npy, a folder of them, or MODULE:FACTORY"
                )
            self.files = [path]

    def __iter__(self) -> Iterator[Any]:
        if not self.files:
            made = call_factory(self.source)
            yield from iterated([made] if isinstance(made, Mapping) or _is_array(made) else made, self.source)
        for file in self.files:
            yield load_arrays(file)


def load_arrays(file: Path) -> Any:
    """The arrays of an ``.npz`` file by name, or the array of an ``.npy`` file."""
    try:
        with file.open("rb") as opened:
            read = np.load(opened)
            return read if isinstance(read, np.ndarray) else {name: read[name] for name in read.files}
    except (OSError, ValueError, zipfile.BadZipFile, AttributeError, EOFError) as error:
        raise QGraphError(f"cannot read data {file}: {error}; save it with numpy.savez(file, name=array)") from error


def iterated(data: Any, who: str) -> Iterator[Any]:
    """The items of what a user's code made; ``who`` names it when it fails.

    Raises:
        QGraphError: it cannot be iterated, or its code raises (file, line and exception are told).
    """
    try:
        items = iter(data)
    except TypeError:
        raise QGraphError(f"{who} gives {type(data).__name__}, which holds no batches; give an iterable of them") from None
    while True:
        try:
            item = next(items)
        except StopIteration:
            return
        except QGraphError:
            raise
        except Exception as error:
            raise theirs(who, error) from error
        yield item


class Batches:
    """Batches in any form, as dicts of input name to array; can be iterated again and again.

    Args:
        data: a ``Data``, a path that ``Data`` takes, an iterable of batches (a list, a ``torch.utils.data.DataLoader``, a
            generator, which is kept), or one batch. A batch is a dict of names to arrays or tensors, one array where the
            model has one input, or a tuple or list of one array an input, in the model's order; one more is the label, as
            is the second of ``(inputs, label)``.
        inputs: the names of the model's inputs, in order.

    Raises:
        QGraphError: there is no batch in ``data``, or one does not fit the inputs; while it is iterated.
    """

    def __init__(self, data: Any, inputs: Sequence[str]) -> None:
        self.inputs = list(inputs)
        if isinstance(data, str | Path):
            data = Data(str(data))
        if isinstance(data, Batches):
            data = data.data  # of a model whose inputs have other names, or another order
        if isinstance(data, Mapping) or _is_array(data) or self._is_batch(data):
            data = [data]
        elif isinstance(data, Iterator):
            data = list(iterated(data, "the data"))
        self.data: Any = data

    def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
        for number, batch in enumerate(iterated(self.data, "the data"), 1):
            yield self._named(batch, number)

    def _is_batch(self, data: Any) -> bool:
        """Whether a tuple of arrays is one batch: lists are several."""
        counts = len(self.inputs), len(self.inputs) + 1
        return isinstance(data, tuple) and len(data) in counts and all(map(_is_array, data))

    def _named(self, batch: Any, number: int) -> dict[str, np.ndarray]:
        if isinstance(batch, Mapping):
            if batch and not set(batch) & set(self.inputs) and all(UNNAMED.fullmatch(str(name)) for name in batch):
                return self._named(tuple(batch.values()), number)
            return {str(name): array_of(value) for name, value in batch.items() if value is not None}
        if isinstance(batch, tuple | list) and any(_is_array(p) or isinstance(p, Mapping | tuple) for p in batch):
            parts = list(batch)
        else:
            parts = [array_of(batch)]
            if parts[0].dtype.kind in "OUS":
                wanted = "a dict of input name to array, or one array an input is needed"
                raise QGraphError(f"data batch {number} is {type(batch).__name__}; {wanted}")
        if len(parts) == 2 and isinstance(parts[0], Mapping | tuple | list):  # (inputs, label)
            return {**self._named(parts[0], number), LABEL: array_of(parts[1])}
        names = [*self.inputs, LABEL]
        if len(parts) not in (len(self.inputs), len(names)):
            raise QGraphError(
                f"data batch {number} holds {len(parts)} array{'s' * (len(parts) != 1)}, the model has {len(self.inputs)} "
                f"input{'s' * (len(self.inputs) != 1)} ({', '.join(self.inputs)}); give a dict of input name to array"
            )
        return {name: array_of(part) for name, part in zip(names, parts, strict=False)}


def array_of(value: Any) -> np.ndarray:
    """An array, a tensor or numbers as an array; bfloat16, which NumPy lacks, as float32."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        return (value.float() if str(value.dtype) == "torch.bfloat16" else value).numpy()  # type: ignore[no-any-return]
    return np.asarray(value)


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray) or hasattr(value, "detach") or hasattr(value, "__array__")


def as_type(array: np.ndarray, dtype: np.dtype) -> np.ndarray | None:
    """``array`` as ``dtype`` where that is the same kind of number and loses no integer; else None."""
    if array.dtype == dtype:
        return array
    if array.dtype.kind != dtype.kind:
        return None
    made = array.astype(dtype)
    return made if dtype.kind == "f" or (made == array).all() else None


def input_shapes(texts: Iterable[str]) -> dict[str, list[int]]:
    """Shapes by input name, from texts such as ``x=1,128``."""
    shapes: dict[str, list[int]] = {}
    for text in texts:
        name, _, numbers = text.partition("=")
        if not numbers or not all(d.strip().isdecimal() for d in numbers.split(",")):
            raise QGraphError(f"--shape {text!r} is not of the form NAME=1,128")
        shapes[name] = [int(d) for d in numbers.split(",")]
    return shapes


def first_batch(data: Any, inputs: Sequence[str]) -> dict[str, np.ndarray]:
    """The arrays of ``inputs`` in the first batch of ``data``, which is what ``Batches`` takes.

    Raises:
        QGraphError: there is no batch, or an input is missing.
    """
    batch = next(iter(Batches(data, inputs)), None)
    if batch is None:
        raise QGraphError("the data holds no batch; give at least one")
    for name in inputs:
        if name not in batch:
            held = ", ".join(map(repr, batch)) or "nothing"
            raise QGraphError(f"the data has no input {name!r} (it holds {held}){suggest(name, batch)}")
    return {name: batch[name] for name in inputs}
