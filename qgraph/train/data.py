"""Training data: what a recipe's factory returns, and the factories that are built in.

A factory returns a ``Dataset``, whose samples are drawn by number, so that a run can stop and go on at the same batch, and be
split over processes. Any object with ``__len__`` and ``batch(numbers) -> dict of arrays`` serves as samples.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from qgraph.data import LABEL, Batches, iterated
from qgraph.errors import QGraphError
from qgraph.factories import call_factory

InputNames = Callable[[], Sequence[str]]


class Samples(Protocol):
    """Numbered samples."""

    def __len__(self) -> int: ...

    def batch(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        """The samples ``numbers`` (int [B]) as arrays by input name; labels under ``label``."""
        ...


class Arrays:
    """Samples that lie in arrays of equal length."""

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        lengths = {name: len(a) for name, a in arrays.items()}
        if len(set(lengths.values())) != 1:
            raise QGraphError(f"the arrays of a data set have different lengths: {lengths}")
        self.arrays = dict(arrays)

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def batch(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        return {name: a[numbers] for name, a in self.arrays.items()}


@dataclasses.dataclass
class Dataset:
    """Samples to train on and samples to measure on."""

    train: Samples
    test: Samples


class Listed:
    """Batches of a finite iterable (a loader, a list), drawn by the samples' numbers within them.

    Args:
        batches: batches as ``qgraph.data.Batches`` takes them.
        inputs: gives the names of the model's inputs, for batches that are no dicts.
    """

    def __init__(self, batches: Any, inputs: InputNames) -> None:
        joined: dict[str, list[np.ndarray]] = {}
        every = list(iterated(batches, "the data factory"))
        for batch in Batches(every, [] if all(isinstance(b, Mapping) for b in every) else inputs()):
            for name, array in batch.items():
                joined.setdefault(name, []).append(array)
        if not joined:
            raise QGraphError("the data has no batch")
        try:
            self.samples = Arrays({name: np.concatenate(parts) for name, parts in joined.items()})
        except ValueError as error:
            raise QGraphError(
                f"the batches of the data cannot be joined: {error}; return a Dataset whose batch() pads"
            ) from error

    def __len__(self) -> int:
        return len(self.samples)

    def batch(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        return self.samples.batch(numbers)


def make(source: str, arguments: Mapping[str, Any], inputs: InputNames = list) -> Dataset:
    """Call a factory; it may return a ``Dataset``, a pair of samples, or a pair of iterables of batches (train, test).

    Args:
        inputs: gives the names of the model's inputs, in order, for batches that are no dicts, such as ``(x, label)``.
    """
    if ":" not in source:
        source = f"qgraph.train.data:{source}"
    result = call_factory(source, **arguments)
    if isinstance(result, Dataset):
        return result
    if not isinstance(result, tuple) or len(result) != 2:
        raise QGraphError(f"data factory {source} must return a Dataset or a pair (train, test)")
    train, test = (part if hasattr(part, "batch") else Listed(part, inputs) for part in result)
    return Dataset(train, test)


@functools.lru_cache(maxsize=2)
def order(samples: int, seed: int, epoch: int) -> np.ndarray:
    """The shuffled numbers of an epoch."""
    return np.random.default_rng([seed, epoch]).permutation(samples)


def numbers_of(step: int, batch: int, samples: int, seed: int) -> np.ndarray:
    """The sample numbers of batch ``step``, over the ends of epochs."""
    epoch, place = divmod(step * batch, samples)
    numbers = order(samples, seed, epoch)[place : place + batch]
    while len(numbers) < batch:
        epoch += 1
        numbers = np.concatenate([numbers, order(samples, seed, epoch)[: batch - len(numbers)]])
    return numbers


def digits(fraction: float = 1.0, noise: float = 0.0, flat: bool = True, seed: int = 0) -> Dataset:
    """The 8 x 8 digits of the zoo: input float32 [n, 64] (or [n, 1, 8, 8]) in [0, 1], label int64 [n].

    Args:
        fraction: part of the 1297 training images that is used.
        noise: part of the training labels that is replaced by random ones.
    """
    from qgraph.zoo.digits import split

    images, labels, test, truth = split()
    rng = np.random.default_rng(seed)
    kept = rng.permutation(len(images))[: max(1, round(fraction * len(images)))]
    images, labels = images[kept], labels[kept].copy()
    wrong = rng.random(len(labels)) < noise
    labels[wrong] = rng.integers(0, 10, int(wrong.sum()))
    shape = (-1, 64) if flat else (-1, 1, 8, 8)
    return Dataset(
        Arrays({"input": images.reshape(shape), LABEL: labels.astype(np.int64)}),
        Arrays({"input": test.reshape(shape), LABEL: truth.astype(np.int64)}),
    )


def modes(samples: int = 800, noise: float = 0.1, seed: int = 0) -> Dataset:
    """Ten classes of five Gaussian modes each in 32 dims, and some wrong labels: small, and hard enough to tell methods apart.

    input float32 [n, 32], label int64 [n]; 3000 clean test samples. Mode means are 0.9 N(0, 1), the spread around them 0.9.
    """
    rng = np.random.default_rng(seed)
    means = 0.9 * rng.standard_normal((10, 5, 32))

    def draw(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = rng.integers(0, 10, count)
        inputs = means[labels, rng.integers(0, 5, count)] + 0.9 * rng.standard_normal((count, 32))
        return inputs.astype(np.float32), labels.astype(np.int64)

    inputs, labels = draw(samples)
    test, truth = draw(3000)
    wrong = rng.random(samples) < noise
    labels[wrong] = rng.integers(0, 10, int(wrong.sum()))
    return Dataset(Arrays({"input": inputs, LABEL: labels}), Arrays({"input": test, LABEL: truth}))


class Sentences:
    """Sentences, tokenized and padded batch by batch."""

    def __init__(self, texts: tuple[str, ...]) -> None:
        self.texts = texts

    def __len__(self) -> int:
        return len(self.texts)

    def batch(self, numbers: np.ndarray) -> dict[str, np.ndarray]:
        from qgraph.zoo.sentences import tokens

        return tokens([self.texts[i] for i in numbers])


def sentences(test: int = 200) -> Dataset:
    """Docstring sentences with MiniLM's tokenizer: input_ids and attention_mask int64 [n, length]; ``test`` are held out."""
    from qgraph.zoo.sentences import sentences as texts

    every = texts()
    return Dataset(Sentences(every[test:]), Sentences(every[:test]))


def chunks(samples: Samples, size: int) -> list[np.ndarray]:
    """The numbers of all samples, in order, in batches."""
    every = np.arange(len(samples))
    return [every[i * size : (i + 1) * size] for i in range(math.ceil(len(every) / size))]
