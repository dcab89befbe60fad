"""How small codes become when they are written with fewer bits for frequent ones."""

from __future__ import annotations

import heapq

import numpy as np


def entropy(codes: np.ndarray) -> float:
    """Shannon's entropy of the codes' frequencies, in bits a code."""
    _, counts = np.unique(codes, return_counts=True)
    parts = counts / counts.sum()
    return float(-(parts * np.log2(parts)).sum())


def huffman_bits(codes: np.ndarray) -> float:
    """Mean length of a Huffman code (Huffman 1952) of these codes, in bits a code; a single value takes one bit.

    It lies between the entropy and the entropy plus one.
    """
    _, counts = np.unique(codes, return_counts=True)
    if len(counts) == 1:
        return 1.0
    heap = [int(c) for c in counts]
    heapq.heapify(heap)
    total = 0
    while len(heap) > 1:  # every merge adds one bit to all that lies below it
        merged = heapq.heappop(heap) + heapq.heappop(heap)
        total += merged
        heapq.heappush(heap, merged)
    return total / float(counts.sum())
