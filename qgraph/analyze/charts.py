"""The drawings of a report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from qgraph.analyze.page import axes, figure

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#f0e442", "#000000")
"""Okabe and Ito's palette."""
BINS = 96


def bits(parts: Mapping[str, Mapping[float, float]]) -> str:
    """Megabytes of weights by bits an element, one bar a file."""
    widths = sorted({w for part in parts.values() for w in part}, reverse=True)
    drawing, ax = axes(7, 0.7 + 0.45 * len(parts))
    names = list(parts)
    left = np.zeros(len(names))
    for width, colour in zip(widths, COLOURS * 3, strict=False):
        sizes = np.array([parts[name].get(width, 0.0) / 1e6 for name in names])
        ax.barh(names, sizes, left=left, color=colour, label=f"{width:g} bits")
        left += sizes
    ax.invert_yaxis()
    ax.set_xlabel("MB of weights")
    ax.legend(fontsize=8, frameon=False, ncols=4, loc="lower right", bbox_to_anchor=(1, 1))
    return figure(drawing, "Megabytes of weights by bits an element")


def sqnr(name: str, values: Sequence[tuple[str, float]]) -> str:
    """SQNR of the values in order."""
    drawing, ax = axes(8, 3)
    numbers = [v for _, v in values]
    ax.plot(range(len(numbers)), numbers, color=COLOURS[0], linewidth=1.2)
    for index in np.argsort(numbers)[:3]:
        ax.annotate(values[index][0], (index, numbers[index]), fontsize=8, xytext=(4, -10), textcoords="offset points")
        ax.plot(index, numbers[index], "o", color=COLOURS[5], markersize=4)
    ax.set_xlabel("values, from input to output")
    ax.set_ylabel("SQNR (dB)")
    return figure(drawing, f"SQNR of {name} against the first file, value by value; the three worst are named")


def bars(rows: Sequence[tuple[str, float]], label: str, says: str) -> str:
    """Horizontal bars, the first on top."""
    drawing, ax = axes(8, 0.8 + 0.24 * len(rows))
    ax.barh([name for name, _ in rows], [value for _, value in rows], color=COLOURS[0])
    ax.invert_yaxis()
    ax.tick_params(axis="y", labelsize=8)
    ax.set_xlabel(label)
    return figure(drawing, says)


def histogram(array: np.ndarray, grid: np.ndarray | None, title: str, says: str) -> str:
    """Elements of an array, and the numbers that their codes can stand for as lines below."""
    drawing, ax = axes(4, 2.2)
    flat = array.reshape(-1)
    counts, edges = np.histogram(flat, BINS)
    ax.stairs(counts, edges, fill=True, color=COLOURS[4])
    ax.set_yscale("symlog")
    ax.set_ylim(bottom=0)
    if grid is not None and len(grid):
        inside = grid[(grid >= edges[0] - 0.1 * np.ptp(edges)) & (grid <= edges[-1] + 0.1 * np.ptp(edges))]
        ax.vlines(inside, 0, 0.08, transform=ax.get_xaxis_transform(), color=COLOURS[5], linewidth=0.6)
    ax.set_title(title, fontsize=8)
    ax.tick_params(labelsize=7)
    return figure(drawing, says)


def candidates(rows: Sequence[tuple[str, float, float | None, float | None]], worth: str) -> str:
    """Files as points: (name, MB, ms, worth); time across where it is known, else size; the area of a point is the size."""
    timed = all(ms is not None for _, _, ms, _ in rows)
    drawing, ax = axes(7, 4)
    largest = max(size for _, size, _, _ in rows)
    for (name, size, ms, value), colour in zip(rows, COLOURS * 9, strict=False):
        x = ms if timed and ms is not None else size
        ax.scatter(x, value, s=30 + 400 * size / largest, color=colour, alpha=0.75)
        ax.annotate(f"{name} ({size:.2f} MB)", (x, value), fontsize=8, xytext=(6, 6), textcoords="offset points")
    ax.margins(0.2)
    ax.set_xlabel("ms a run" if timed else "MB")
    ax.set_ylabel(worth)
    return figure(drawing, f"The files by {'time' if timed else 'size'} and {worth}; the area of a point is the size on disk")


def curves(lines: Mapping[str, Sequence[tuple[float, float]]], says: str) -> str:
    """Lines over training steps."""
    drawing, ax = axes(7, 2.8)
    for (name, points), colour in zip(lines.items(), COLOURS * 3, strict=False):
        ax.plot([s for s, _ in points], [v for _, v in points], label=name, linewidth=1.2, color=colour)
    ax.set_xlabel("step")
    ax.legend(fontsize=8, frameon=False)
    return figure(drawing, says)
