"""Pictures: text drawn with PIL, photos that matplotlib (and scikit-image, where it is installed) ship."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
from qgraph.tools.corpus.inputs import Batches, maker

from qgraph.zoo.sentences import sentences

MEAN, STD = np.array([0.485, 0.456, 0.406], np.float32), np.array([0.229, 0.224, 0.225], np.float32)
"""Of ImageNet, which text detectors are trained with."""
FONTS = ("DejaVu Sans", "DejaVu Serif", "DejaVu Sans Mono", "DejaVu Sans:bold")
"""Those that matplotlib ships."""


@functools.cache
def font(name: str, size: int) -> Any:
    """A font of matplotlib's for PIL."""
    from matplotlib import font_manager
    from PIL import ImageFont

    family, _, weight = name.partition(":")
    found = font_manager.findfont(font_manager.FontProperties(family=family, weight=weight or "normal"))
    return ImageFont.truetype(found, size)


@functools.cache
def photos() -> tuple[np.ndarray, ...]:
    """Photos with people in them, uint8 [h, w, 3]."""
    from matplotlib import cbook
    from PIL import Image

    found = [np.asarray(Image.open(cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)).convert("RGB"))]
    try:
        from skimage import data
    except ImportError:
        return tuple(found)
    return (*found, data.astronaut())


def phrase(rng: np.random.Generator, words: int) -> str:
    """That many words of an English sentence."""
    text = sentences()[int(rng.integers(len(sentences())))].split()
    start = int(rng.integers(max(1, len(text) - words)))
    return " ".join(text[start : start + words])


def paper(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """A light, unevenly lit page with noise, float [h, w, 3] from 0 to 255."""
    across = np.linspace(rng.uniform(170, 255), rng.uniform(170, 255), width)[None, :, None]
    down = np.linspace(0, rng.uniform(-40, 0), height)[:, None, None]
    return np.clip(across + down + rng.uniform(-20, 0, 3) + rng.normal(0, rng.uniform(1, 6), (height, width, 3)), 0, 255)


def write_text(page: np.ndarray, text: str, at: tuple[int, int], size: int, rng: np.random.Generator) -> np.ndarray:
    """``page`` with a line of text, in a dark colour and a font of chance; ``at`` is (left, top)."""
    from PIL import Image, ImageDraw

    picture = Image.fromarray(page.astype(np.uint8))
    colour = tuple(int(v) for v in rng.integers(0, 90, 3))
    ImageDraw.Draw(picture).text(at, text, font=font(FONTS[int(rng.integers(len(FONTS)))], size), fill=colour)
    return np.asarray(picture).astype(np.float64)


def resized(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Bilinear; uint8 values as float [height, width, 3]."""
    from PIL import Image

    found = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(found).astype(np.float32)


def channels_first(picture: np.ndarray) -> np.ndarray:
    """[h, w, c] -> contiguous float32 [1, c, h, w]."""
    return np.ascontiguousarray(picture.astype(np.float32).transpose(2, 0, 1)[None])


def line(rng: np.random.Generator, text: str, size: int = 34) -> np.ndarray:
    """A picture 48 high as wide as its text."""
    width = int(font(FONTS[3], size).getlength(text)) + 24
    return write_text(paper(rng, 48, width), text, (int(rng.integers(4, 14)), int(rng.integers(0, 6))), size, rng)


@maker
def pages(model: Path, rng: np.random.Generator) -> Batches:
    """Pages with lines of text for a text detector: sides are multiples of 32."""
    while True:
        height, width = (int(32 * n) for n in rng.integers(12, 18, 2))
        page = paper(rng, height, width)
        top = int(rng.integers(5, 40))
        while top < height - 50:
            size = int(rng.integers(14, 40))
            page = write_text(page, phrase(rng, int(rng.integers(1, 6))), (int(rng.integers(5, width // 2)), top), size, rng)
            top += size + int(rng.integers(8, 60))
        yield {"x": channels_first((page.astype(np.float32) / 255 - MEAN) / STD)}


@maker
def text_lines(model: Path, rng: np.random.Generator) -> Batches:
    """Single lines of text for a recogniser: 48 high, as wide as the text."""
    while True:
        picture = line(rng, phrase(rng, int(rng.integers(1, 5))))
        yield {"x": channels_first(picture / 127.5 - 1)}


@maker
def text_directions(model: Path, rng: np.random.Generator) -> Batches:
    """Batches of eight lines, half of them upside down."""
    while True:
        rows = [resized(line(rng, phrase(rng, 3)), 48, 192) for _ in range(8)]
        rows = [row[::-1, ::-1] if i % 2 else row for i, row in enumerate(rows)]
        yield {"x": np.concatenate([channels_first(row / 127.5 - 1) for row in rows])}


@maker
def photos_320(model: Path, rng: np.random.Generator) -> Batches:
    """Four cut-outs of photos of people, 320 x 320, from 0 to 1: mirrored, brighter or darker."""
    while True:
        yield {"images": np.concatenate([channels_first(cutout(rng, 320) / 255) for _ in range(4)])}


def cutout(rng: np.random.Generator, side: int) -> np.ndarray:
    """A square out of a photo."""
    photo = photos()[int(rng.integers(len(photos())))]
    height, width = photo.shape[:2]
    size = int(min(height, width) * rng.uniform(0.6, 1.0))
    top, left = int(rng.integers(0, (height - size) // 2 + 1)), int(rng.integers(0, width - size + 1))
    part = photo[top : top + size, left : left + size]
    part = part[:, ::-1] if rng.random() < 0.5 else part
    return np.clip(resized(part, side, side) * rng.uniform(0.6, 1.2), 0, 255)


@maker
def captchas(model: Path, rng: np.random.Generator) -> Batches:
    """Pictures of five letters and digits with lines across, 60 x 160, BGR from 0 to 255."""
    from PIL import Image, ImageDraw

    while True:
        rows = []
        for _ in range(4):
            text = "".join(rng.choice(list("0123456789ABCDEFGHJKLMNPQRSTUVWXYZ"), 5))
            picture = Image.fromarray(write_text(paper(rng, 60, 160), text, (14, 8), 38, rng).astype(np.uint8))
            for _ in range(3):
                ends = [(int(rng.integers(160)), int(rng.integers(60))) for _ in range(2)]
                ImageDraw.Draw(picture).line(ends, fill=(90, 90, 90), width=2)
            rows.append(channels_first(np.asarray(picture)[:, :, ::-1]))
        yield {"image": np.concatenate(rows)}


@maker
def covers(model: Path, rng: np.random.Generator) -> Batches:
    """Back covers of books, 640 x 640 from 0 to 1: text, bars and the number under them."""
    while True:
        page = paper(rng, 640, 640)
        for row in range(5):
            page = write_text(page, phrase(rng, 5), (40, 30 + 40 * row), 22, rng)
        left, top = int(rng.integers(40, 330)), int(rng.integers(300, 480))
        page[top - 10 : top + 120, left - 12 : left + 250] = 250
        at = left
        while at < left + 230:
            bar, gap = rng.integers(2, 6, 2)
            page[top + 22 : top + 92, at : at + bar] = 15
            at += int(bar + gap)
        digits = "".join(str(d) for d in rng.integers(0, 10, 9))
        page = write_text(page, f"ISBN 978-{digits[:1]}-{digits[1:4]}-{digits[4:]}-{digits[0]}", (left, top - 6), 20, rng)
        yield {"images": channels_first(page / 255)}


@maker
def blobs(model: Path, rng: np.random.Generator) -> Batches:
    """Pictures of discs and squares for the segmentation net of ``made.py``: two a batch, 96 x 96."""
    while True:
        yield {"image": np.stack([shapes(rng, 96)[0] for _ in range(2)])}


def shapes(rng: np.random.Generator, side: int) -> tuple[np.ndarray, np.ndarray]:
    """A picture [3, side, side] and its classes [side, side]: 0 ground, 1 disc, 2 square."""
    y, x = np.mgrid[:side, :side]
    picture = rng.normal(0.5, 0.15, (3, side, side)) + rng.uniform(-0.2, 0.2, (3, 1, 1))
    classes = np.zeros((side, side), np.int64)
    for _ in range(int(rng.integers(2, 6))):
        kind = int(rng.integers(1, 3))
        top, left = rng.integers(8, side - 8, 2)
        size = int(rng.integers(6, 20))
        inside = (x - left) ** 2 + (y - top) ** 2 < size**2 if kind == 1 else (abs(x - left) < size) & (abs(y - top) < size)
        picture[:, inside] += rng.uniform(0.3, 0.9, (3, 1)) * rng.choice([-1, 1])
        classes[inside] = kind
    return picture.astype(np.float32), classes
