"""A small CNN on 8 x 8 digits (digits.txt says whose), trained in seconds, the same on every run."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


@functools.cache
def split() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Train images, train labels, test images, test labels; images are float32 [n, 1, 8, 8] in [0, 1]."""
    with np.load(Path(__file__).with_name("digits.npz")) as data:
        images, labels = (data["images"] / 16).astype(np.float32)[:, None], data["labels"].astype(np.int64)
    order = np.random.default_rng(0).permutation(len(images))
    train, test = order[:1297], order[1297:]
    return images[train], labels[train], images[test], labels[test]


@functools.cache
def _trained() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 32, 3, padding=1, bias=False),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 10),
    )
    images, labels = (torch.from_numpy(a) for a in split()[:2])
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(12):
        for batch in torch.randperm(len(images), generator=generator).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[batch]), labels[batch]).backward()
            optimizer.step()
    return model.eval()


def digits_cnn() -> tuple[nn.Module, tuple[Tensor, ...], Any]:
    """Three convolutions with BatchNorm, about 14 k parameters, about 99 % on the test images."""
    return _trained(), (torch.zeros(2, 1, 8, 8),), ({0: torch.export.Dim("batch")},)


def digits_mlp(hidden: int = 16, depth: int = 2, inputs: int = 64) -> tuple[nn.Module, tuple[Tensor, ...], Any]:
    """A fresh perceptron: ``inputs`` numbers (64: flat digits), ``depth`` layers of ``hidden`` units, 10 classes."""
    sizes = [inputs] + [hidden] * depth
    parts: list[nn.Module] = []
    for size, following in itertools.pairwise(sizes):
        parts += [nn.Linear(size, following), nn.ReLU()]
    net = nn.Sequential(*parts, nn.Linear(sizes[-1], 10))
    return net.eval(), (torch.zeros(2, inputs),), ({0: torch.export.Dim("batch")},)


def digits_data() -> Iterator[dict[str, np.ndarray]]:
    """The first 256 training images in batches of 64, for calibration."""
    images = split()[0]
    for start in range(0, 256, 64):
        yield {"input": images[start : start + 64]}
