"""The matrix product alone, beside what the machine can do: ``python -m qgraph.tools.bench.products``.

A large product is measured against the multiply-accumulates a second that the same kernel reaches on data in L1; a
matrix times a vector, the case of generating text, against the bytes a second that the machine reads from memory. There the
program holds so many matrices that none is in a cache when its turn comes.
"""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import numpy as np
import onnx_ir as ir
from qgraph.tools.bench.engines import Job, OpRow, profile

from qgraph import _runtime
from qgraph.deploy.program import write
from qgraph.ir.dialects import INTEGER

COLD = 256 << 20
TYPES = {8: ir.DataType.INT8, 4: ir.DataType.INT4, 2: ir.DataType.INT2}


@dataclasses.dataclass(frozen=True)
class Product:
    """Rows of activations times a [k, n] matrix of codes of ``bits``."""

    rows: int
    k: int
    n: int
    bits: int

    def program(self, path: Path) -> None:
        """Write a program of one product, or of as many as exceed the caches when it has one row."""
        rng = np.random.default_rng(0)
        count = 1 if self.rows > 1 else max(2, COLD * 8 // (self.k * self.n * self.bits))
        x = ir.Value(name="x", shape=ir.Shape([self.rows, self.k]), type=ir.TensorType(ir.DataType.UINT8))
        multiplier = _constant("m", np.full(self.n, 1e-4, np.float32), ir.DataType.FLOAT)
        top = 1 << (self.bits - 1)
        constants, nodes = [multiplier], []
        codes = rng.integers(-top, top, (self.n, self.k), np.int8)
        for i in range(count):
            weight = _constant(f"w{i}", np.roll(codes, i, 0), TYPES[self.bits])
            node = ir.Node(INTEGER, "Linear", [x, weight, multiplier], num_outputs=1, name=f"product_{i}")
            node.outputs[0].name, node.outputs[0].dtype = f"y{i}", ir.DataType.UINT8
            constants.append(weight)
            nodes.append(node)
        outputs = [n.outputs[0] for n in nodes]
        graph = ir.Graph([x], outputs, nodes=nodes, initializers=constants, opset_imports={"": 21, INTEGER: 1}, name="products")
        write(ir.Model(graph, ir_version=10), path)

    def measure(self, threads: int, isa: str = "") -> OpRow:
        """The middle one of the products, by time."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "products.qgp"
            self.program(path)
            rows = profile(Job(str(path), None, (f"x={self.rows},{self.k}",), threads, isa), runs=200 if self.rows > 1 else 20)
        return rows[len(rows) // 2]


def _constant(name: str, array: np.ndarray, kind: ir.DataType) -> ir.Value:
    tensor = ir.Tensor(array.astype(kind.numpy()), dtype=kind, name=name)
    return ir.Value(name=name, shape=ir.Shape(array.shape), type=ir.TensorType(kind), const_value=tensor)


def main() -> None:
    """Print Markdown, for one thread and two."""
    print("| rows | k | n | bits | threads | GMAC/s | GB/s | of the ceiling |\n|---|---|---|---|---|---|---|---|")
    for threads in (1, 2):
        for product in [Product(128, 768, 3072, 8), *(Product(1, 4096, 4096, bits) for bits in TYPES)]:
            before = _runtime.measure_peak(threads)
            row = product.measure(threads)
            after = _runtime.measure_peak(threads)
            peak = [(a + b) / 2 for a, b in zip(before, after, strict=True)]
            print(
                f"| {product.rows} | {product.k} | {product.n} | {product.bits} | {threads} | {row.macs / row.seconds / 1e9:.0f} "
                f"| {row.bytes / row.seconds / 1e9:.1f} | {row.roofline(*peak):.0%} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
