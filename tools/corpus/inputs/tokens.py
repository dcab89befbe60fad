"""Bytes, letters and tokens."""

from __future__ import annotations

import itertools
import json
import string
import struct
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from qgraph.tools.corpus.inputs import Batches, maker

from qgraph.zoo.sentences import sentences

NAMES = (
    "محمد أحمد علي حسن فاطمة مريم خالد يوسف إبراهيم زينب عمر سارة عبدالله نورة سلمان ليلى طارق هدى جمال رانيا كريم سعاد بشار منى"
)
"""Common given names in Arabic."""
CHINESE = "张三在北京市工作，李四去上海旅游。今天天气很好，我们一起学习新的语言；他昨天买了一本书，明年春天学校将举办运动会。"
"""A few plain sentences."""
ARABIC = "ذهب الولد إلى المدرسة في الصباح ثم رجع إلى البيت وقرأ كتابا جديدا عن تاريخ العلوم والناس يحبون القراءة كثيرا"
RUSSIAN = "переподготовка лесостепной подоконник безграничный водопровод учительница зимовье рассказчик прибрежный самолётик"
KHMER = "ខ្ញុំទៅសាលារៀននៅពេលព្រឹកហើយត្រឡប់មកផ្ទះវិញនៅពេលល្ងាចសិស្សទាំងអស់ចូលចិត្តអានសៀវភៅថ្មីអំពីប្រវត្តិសាស្ត្រប្រទេសកម្ពុជា"
START = 1
"""The token that begins an answer of the name decoder."""


def _run(model: Path) -> Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]:
    """A call that runs a file and gives its outputs by name."""
    import onnxruntime

    engine = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [output.name for output in engine.get_outputs()]
    return lambda feed: dict(zip(names, engine.run(None, feed), strict=True))


def padded(rows: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """(ids with zeros behind each row, True where there is nothing)."""
    ids = np.zeros((len(rows), max(map(len, rows))), np.int64)
    empty = np.ones(ids.shape, bool)
    for row, (numbers, none) in zip(rows, zip(ids, empty, strict=True), strict=True):
        numbers[: len(row)], none[: len(row)] = row, False
    return ids, empty


@maker
def names(model: Path, rng: np.random.Generator) -> Batches:
    """Four names as the net's tokens: a country, a role, letters, the end."""
    tokens = json.loads((model.parent / "vocab.json").read_text())["tokens"]
    number = {token: i for i, token in enumerate(tokens)}
    while True:
        chosen = rng.choice(NAMES.split(), 4)
        rows = [
            [int(rng.integers(4, 27)), number["<ROLE_GIVEN>"], *(number[c] for c in name), number["<EOS>"]] for name in chosen
        ]
        ids, empty = padded(rows)
        yield {"src": ids, "src_mask": empty}


@maker
def name_steps(model: Path, rng: np.random.Generator) -> Batches:
    """Every second step of the decoder, fed with the letters that it chose itself and the states that it reached."""
    encode, decode = _run(model.parent / "encoder.onnx"), _run(model)
    for source in names(model, rng):
        found = encode(source)
        state = {"memory": found["memory_out"], "src_mask": found["src_mask_out"], "hidden": found["hidden_out"]}
        prefix = np.full((4, 1), START, np.int64)
        for number in range(6):
            batch = {"prefix": prefix, **state}
            if number % 2:
                yield batch
            answer = decode(batch)
            state["hidden"] = answer["hidden_out"]
            prefix = np.concatenate([prefix, answer["logprobs"].argmax(-1, keepdims=True)], axis=1)


@maker
def g2p_steps(model: Path, rng: np.random.Generator) -> Batches:
    """Steps of a decoder that spells words as phonemes; its states h and attention follow from step to step."""
    encode, decode = _run(model.parent / "encoder.onnx"), _run(model)
    while True:
        length = int(rng.integers(5, 12))
        found = encode({"input_ids": rng.integers(4, 40, (1, length)), "input_lengths": np.array([length], np.int64)})
        fixed = {name: found[name] for name in ("encoder_outputs", "projected_keys", "encoder_mask")}
        fixed["positions"] = np.arange(found["encoder_mask"].shape[1], dtype=np.float32)[None]
        state = {"prev_attn": found["prev_attn"], "hidden": found["hidden"]}
        token = np.ones((1, 1), np.int64)
        for number in range(4):
            batch = {"decoder_input_ids": token, **fixed, **state}
            if number % 2:
                yield batch
            answer = decode(batch)
            state = {"prev_attn": answer["prev_attn_out"], "hidden": answer["hidden_out"]}
            token = answer["next_token_ids"][:, None]


def _files(rng: np.random.Generator) -> Iterator[bytes]:
    """Contents of files of many kinds, made here."""
    while True:
        words = " ".join(sentences()[int(i)] for i in rng.integers(0, len(sentences()), 40))
        table = "\n".join(",".join(str(round(v, 2)) for v in row) for row in rng.normal(0, 50, (60, 5)))
        noise = rng.integers(0, 256, 3000).astype(np.uint8).tobytes()
        record = {"name": words[:20], "values": [round(float(v), 3) for v in rng.random(40)], "nested": {"a": [True, None]}}
        code = "\n\n".join(f"def f{i}(x):\n    return x * {i} + len({w!r})" for i, w in enumerate(words.split()[:40]))
        page = "".join(f"<p class='c{i}'>{w}</p>\n" for i, w in enumerate(words.split()[:60]))
        yield from (
            words.encode(),
            ("a,b,c,d,e\n" + table).encode(),
            json.dumps([record] * 8, indent=1).encode(),
            code.encode(),
            f"<!DOCTYPE html>\n<html><body>\n{page}</body></html>".encode(),
            struct.pack("<4sI4s4sIHHIIHH4sI", b"RIFF", 3036, b"WAVE", b"fmt ", 16, 1, 1, 16000, 32000, 2, 16, b"data", 3000)
            + noise,
            b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sIIBBBBB", 13, b"IHDR", 64, 64, 8, 2, 0, 0, 0) + zlib.compress(noise),
            b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03" + zlib.compress(words.encode())[2:],
            "\n".join(f"SELECT {w} FROM t{i} WHERE id = {i};" for i, w in enumerate(words.split()[:50])).encode(),
            b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHI", 2, 62, 1) + noise,
        )


@maker
def file_bytes(model: Path, rng: np.random.Generator) -> Batches:
    """First and last 1,024 bytes of ten files of different kinds; 256 where there is none."""
    files = _files(rng)
    while True:
        rows = []
        for content in itertools.islice(files, 10):
            stripped = np.frombuffer(content.strip(), np.uint8).astype(np.int32)
            first, last = np.full(1024, 256, np.int32), np.full(1024, 256, np.int32)
            first[: len(stripped[:1024])] = stripped[:1024]
            last[1024 - len(stripped[-1024:]) :] = stripped[-1024:]
            rows.append(np.concatenate([first, last]))
        yield {"bytes": np.stack(rows)}


def _piece(rng: np.random.Generator, text: str, least: int, most: int) -> str:
    length = int(rng.integers(least, most))
    start = int(rng.integers(max(1, len(text) - length)))
    return text[start : start + length]


@maker
def arabic_text(model: Path, rng: np.random.Generator) -> Batches:
    """Pieces of a sentence without vowel signs; the net numbers letters from 4 in this order."""
    letters = "ءآأؤإئابةتثجحخدذرزسشصضطظعغـفقكلمنهوي .,"
    while True:
        yield {"input_ids": np.array([[4 + letters.index(c) if c in letters else 1 for c in _piece(rng, ARABIC, 30, 60)]])}


@maker
def chinese(model: Path, rng: np.random.Generator) -> Batches:
    """One sentence or two; the net computes one text a call."""
    number = {}
    for entry in (model.parent / "word.dic").read_text().splitlines():
        key, _, word = entry.partition("\t")
        number[word] = int(key)
    while True:
        ids = [number.get(c, number["OOV"]) for c in _piece(rng, CHINESE * 2, 12, 50)]
        yield {"token_ids": np.array([ids]), "length": np.array([len(ids)])}


@maker
def khmer(model: Path, rng: np.random.Generator) -> Batches:
    """A piece of Khmer text, and where there is text."""
    number = json.loads((model.parent / "config.json").read_text())["char2id"]
    while True:
        ids = np.array([[number.get(c, 1) for c in _piece(rng, KHMER, 30, 90)]])
        yield {"x": ids, "mask": np.ones(ids.shape, bool)}


@maker
def letters(model: Path, rng: np.random.Generator) -> Batches:
    """Eight Russian words, letters numbered from 1, zeros behind."""
    while True:
        rows = [[1 + "абвгдеёжзийклмнопрстуфхцчшщъыьэюя".index(c) for c in word] for word in rng.choice(RUSSIAN.split(), 8)]
        yield {"input_layer": padded(rows)[0].astype(np.int32)}


@maker
def phoneme_ids(model: Path, rng: np.random.Generator) -> Batches:
    """Phonemes as the voice numbers them, a blank between each two; no noise, so that the answer is always the same."""
    while True:
        ids = np.zeros((1, 2 * int(rng.integers(12, 24)) + 1), np.int64)
        ids[0, 1::2] = rng.integers(14, 100, ids.shape[1] // 2)
        ids[0, 0], ids[0, -1] = 1, 2
        yield {
            "input": ids,
            "input_lengths": np.array([ids.shape[1]], np.int64),
            "scales": np.array([0.0, 1.0, 0.0], np.float32),
        }


@maker
def prefixes(model: Path, rng: np.random.Generator) -> Batches:
    """Steps of the language model of ``made.py``: a letter, and the keys and values of the letters before it."""
    step = _run(model)
    while True:
        text = sentences()[int(rng.integers(len(sentences())))][:24]
        state: dict[str, Any] = {name: np.zeros((1, 4, 0, 16), np.float32) for name in past()}
        for number, letter in enumerate(text):
            batch = {"ids": np.array([[code(letter)]]), **state}
            if number % 7 == 6:
                yield batch
            found = step(batch)
            state = {name: found[name.replace("past", "present")] for name in past()}


def past() -> list[str]:
    """Names of the keys and values of the language model's layers."""
    return [f"past_{what}_{layer}" for layer in range(2) for what in ("key", "value")]


def code(letter: str) -> int:
    """The number of an ASCII letter; others are 0."""
    return 1 + string.printable.find(letter)
