"""The torch nets of ``made.py``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from qgraph.tools.corpus.inputs.pictures import shapes
from qgraph.tools.corpus.inputs.tokens import code, past
from torch import Tensor, nn
from torch.nn import functional

from qgraph.zoo.sentences import sentences

WIDTH, HEADS, VOCABULARY, LONGEST = 64, 4, 101, 64
STEPS, SLOW_STEPS = 300, 120


class Block(nn.Module):
    """Attention to all letters so far, and two linear layers; both behind a LayerNorm (Radford et al. 2019)."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.between = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 4 * WIDTH), nn.Linear(4 * WIDTH, WIDTH)

    def forward(self, x: Tensor, key: Tensor | None, value: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """x [batch, letters, width]; key and value [batch, heads, past, width / heads], None to train."""
        parts = self.qkv(self.before(x)).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        query, new_key, new_value = parts[0], parts[1], parts[2]
        causal = key is None
        if key is not None and value is not None:
            new_key, new_value = torch.cat([key, new_key], 2), torch.cat([value, new_value], 2)
        found = functional.scaled_dot_product_attention(query, new_key, new_value, is_causal=causal)
        x = x + self.out(found.transpose(1, 2).flatten(2))
        return x + self.down(functional.gelu(self.up(self.between(x)))), new_key, new_value


class Letters(nn.Module):
    """Scores of the next letter, and the keys and values of all letters so far."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(VOCABULARY, WIDTH), nn.Embedding(LONGEST, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(2))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, VOCABULARY)

    @staticmethod
    def past() -> list[str]:
        return past()

    def forward(self, ids: Tensor, state: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """ids [batch, 1]; state: key and value of every layer."""
        x = self.embed(ids) + self.place(torch.arange(state[0].shape[2], state[0].shape[2] + 1))
        made = []
        for number, block in enumerate(self.blocks):
            x, key, value = block(x, state[2 * number], state[2 * number + 1])
            made += [key, value]
        return self.head(self.norm(x)), *made

    def scores(self, ids: Tensor) -> Tensor:
        """Scores [batch, letters, vocabulary] of whole texts, to train."""
        x = self.embed(ids) + self.place(torch.arange(ids.shape[1]))
        for block in self.blocks:
            x, _, _ = block(x, None, None)
        return self.head(self.norm(x))


def train_letters(net: Letters) -> Letters:
    """Teach ``net`` English docstrings."""
    rng = np.random.default_rng(0)
    texts = [t for t in sentences() if len(t) >= 33]
    optimizer = torch.optim.AdamW(net.parameters(), 3e-3)
    for _ in range(STEPS):
        rows = [[code(c) for c in texts[int(i)][:33]] for i in rng.integers(0, len(texts), 32)]
        ids = torch.tensor(rows)
        loss = functional.cross_entropy(net.scores(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net


def _double(inputs: int, outputs: int) -> nn.Sequential:
    def layers(channels: int) -> tuple[nn.Module, ...]:
        return nn.Conv2d(channels, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()

    return nn.Sequential(*layers(inputs), *layers(outputs))


class UNet(nn.Module):
    """Three levels of 12, 24 and 48 channels; scores of three classes for every pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second, self.third = _double(3, 12), _double(12, 24), _double(24, 48)
        self.up_two, self.up_one = nn.ConvTranspose2d(48, 24, 2, 2), nn.ConvTranspose2d(24, 12, 2, 2)
        self.back_two, self.back_one, self.last = _double(48, 24), _double(24, 12), nn.Conv2d(12, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        one = self.first(x)
        two = self.second(functional.max_pool2d(one, 2))
        three = self.third(functional.max_pool2d(two, 2))
        two = self.back_two(torch.cat([two, self.up_two(three)], 1))
        return self.last(self.back_one(torch.cat([one, self.up_one(two)], 1)))


def train_unet(net: UNet) -> UNet:
    """Teach ``net`` discs and squares."""
    rng = np.random.default_rng(0)
    optimizer = torch.optim.AdamW(net.parameters(), 5e-3)
    for _ in range(SLOW_STEPS):
        pictures, classes = zip(*(shapes(rng, 96) for _ in range(8)), strict=True)
        loss = functional.cross_entropy(net(torch.from_numpy(np.stack(pictures))), torch.from_numpy(np.stack(classes)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net
