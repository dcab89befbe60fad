"""The matrix product alone, beside what the machine can do: ``python -m qgraph.tools.bench.products``.

A large product is measured against the multiply-accumulates a second that the same kernel reaches on data in L1; a
matrix times a vector, the case of generating text, against the bytes a second that the machine reads from memory. There the
program holds so many matrices that none is in a cache when its turn comes. Sparse forms of int8 weights are timed beside the
dense one, with their weights in memory or in a cache.
"""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import numpy as np
import onnx_ir as ir
from qgraph.passes.prune import select
from qgraph.tools.bench.engines import Job, OpRow, profile

from qgraph import _runtime
from qgraph.deploy.program_file import write
from qgraph.deploy.sparse import CACHES, product, seconds
from qgraph.ir.integer_ops import SparseForm

TYPES = {8: ir.DataType.INT8, 4: ir.DataType.INT4, 2: ir.DataType.INT2}


@dataclasses.dataclass(frozen=True)
class Product:
    """Rows of activations times a [k, n] matrix of codes of ``bits``."""

    rows: int
    k: int
    n: int
    bits: int

    def codes(self) -> np.ndarray:
        top = 1 << (self.bits - 1)
        return np.random.default_rng(0).integers(-top, top, (self.n, self.k), np.int8)

    def measure(self, threads: int) -> OpRow:
        """The middle one, by time, of as many products as exceed the caches when they have one row, else of one."""
        count = 1 if self.rows > 1 else max(2, CACHES * 8 // (self.k * self.n * self.bits))
        codes = self.codes()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "products.qgp"
            write(product([np.roll(codes, i, 0) for i in range(count)], TYPES[self.bits], self.rows, SparseForm.DENSE), path)
            rows = profile(Job(str(path), None, (f"x={self.rows},{self.k}",), threads), runs=200 if self.rows > 1 else 20)
        return rows[len(rows) // 2]


def sparse_codes(form: SparseForm, part: float, n: int, k: int) -> np.ndarray:
    """Random int8 codes that lack two of four, or ``part`` of their words of 16 x 4."""
    rng = np.random.default_rng(0)
    codes = rng.integers(1, 128, (n, k), np.int8)
    score = rng.random((n, k))
    keep = select.n_of_m(score, 2, 4, 1) if form == SparseForm.TWO_OF_FOUR else select.blocks(score, part, (16, 4), (0, 1), 0.0)
    return codes * keep


def compare_sparse(n: int, k: int) -> None:
    """Print how much quicker the sparse forms are than the dense one, and the size of their files."""
    print(
        f"\n| k = {k}, n = {n}, int8 | threads | rows | weights | dense / sparse, median (range) | file |\n"
        "|---|---|---|---|---|---|"
    )
    dense = sparse_codes(SparseForm.WORDS, 0.0, n, k)
    for form, part in ((SparseForm.TWO_OF_FOUR, 0.5), *((SparseForm.WORDS, p) for p in (0.5, 0.75, 0.9))):
        codes = sparse_codes(form, part, n, k)
        size = file_size(codes, form) / file_size(dense, SparseForm.DENSE)
        for threads in (1, 2):
            for rows, between, place in ((1, CACHES, "memory"), (1, 0, "cache"), (128, 0, "cache")):
                ratios = [
                    seconds(dense, rows, SparseForm.DENSE, between, threads) / seconds(codes, rows, form, between, threads)
                    for _ in range(7)
                ]
                name = f"{form}" if form == SparseForm.TWO_OF_FOUR else f"{part:.0%} of {form} are 0"
                print(
                    f"| {name} | {threads} | {rows} | {place} | {np.median(ratios):.2f} x ({min(ratios):.2f}-{max(ratios):.2f}) "
                    f"| {size:.3f} x |",
                    flush=True,
                )


def file_size(codes: np.ndarray, form: SparseForm) -> int:
    """Bytes of a program of one product."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "product.qgp"
        write(product([codes], ir.DataType.INT8, 1, form), path)
        return path.stat().st_size


def main() -> None:
    """Print Markdown, for one thread and two."""
    print("| rows | k | n | bits | threads | GMAC/s | GB/s | of the ceiling |\n|---|---|---|---|---|---|---|---|")
    for threads in (1, 2):
        for case in [Product(128, 768, 3072, 8), *(Product(1, 4096, 4096, bits) for bits in TYPES)]:
            before = _runtime.measure_peak(threads)
            row = case.measure(threads)
            after = _runtime.measure_peak(threads)
            peak = [(a + b) / 2 for a, b in zip(before, after, strict=True)]
            print(
                f"| {case.rows} | {case.k} | {case.n} | {case.bits} | {threads} | {row.macs / row.seconds / 1e9:.0f} "
                f"| {row.bytes / row.seconds / 1e9:.1f} | {row.roofline(*peak):.0%} |",
                flush=True,
            )
    compare_sparse(2048, 2048)


if __name__ == "__main__":
    main()
