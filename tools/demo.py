"""``make demo``: the main job on the real MiniLM encoder, from PyTorch to the integer program, as a table."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from qgraph.tools.bench.engines import Job, measure
from rich.console import Console
from rich.table import Table

from qgraph.capture import from_factory
from qgraph.deploy.onnxruntime import export
from qgraph.deploy.program import compile
from qgraph.deploy.session import Session
from qgraph.execute.onnxruntime import session
from qgraph.ir import io
from qgraph.workflow import transform
from qgraph.zoo.sentences import calibration, sentences, tokens


def pooled(states: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Mean-pooled sentence embeddings: [batch, length, width] and a [batch, length] mask -> [batch, width]."""
    weights = mask[..., None].astype(np.float32)
    return (states * weights).sum(1) / weights.sum(1)


def cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)


def main() -> None:
    console = Console()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        float_file, quantized, deployed, program = (folder / n for n in ("float.onnx", "int8.onnx", "ort.onnx", "int8.qgp"))
        console.print("capture MiniLM-L6 from PyTorch ...")
        model = from_factory("qgraph.zoo:minilm")
        io.save(model, float_file)
        reference = session(model)
        console.print("quantize with 64 sentences ...")
        transform(model, preset="int8", data=list(calibration()))
        io.save(model, quantized)
        export(model, deployed)
        console.print("compile to an integer program ...")
        compile(model, program)
        console.print("embed 200 held-out sentences ...")
        ort, ours = session(io.load(deployed)), Session(program)
        found: dict[str, list[float]] = {"ort": [], "ours": []}
        for start in range(64, 264, 8):
            batch = tokens(sentences()[start : start + 8])
            mask = batch["attention_mask"]
            truth = pooled(reference.run(None, batch)[0], mask)
            found["ort"] += cosines(truth, pooled(ort.run(None, batch)[0], mask)).tolist()
            found["ours"] += cosines(truth, pooled(next(iter(ours.run(batch).values())), mask)).tolist()
        console.print("time batch 1, length 128, one thread ...")
        shapes = ("input_ids=1,128", "attention_mask=1,128")
        files = (float_file, deployed, program)
        timed = measure([Job(str(f), None, shapes, 1) for f in files], 5)
        table = Table("model", "size MB", "mean cosine", "least cosine", "latency ms", "against float")
        rows = (("float, ONNX Runtime", None), ("int8, ONNX Runtime", found["ort"]), ("int8, qgraph runtime", found["ours"]))
        for (label, values), file, result in zip(rows, files, timed, strict=True):
            mean, least = (f"{np.mean(values):.4f}", f"{np.min(values):.4f}") if values else ("1", "1")
            ratio = timed[0].median / result.median
            table.add_row(label, f"{file.stat().st_size / 1e6:.2f}", mean, least, f"{result.median * 1e3:.2f}", f"{ratio:.2f} x")
        console.print(table)


if __name__ == "__main__":
    main()
