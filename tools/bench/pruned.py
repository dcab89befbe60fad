"""What structured pruning gains: ``python -m qgraph.tools.bench.pruned [ROUNDS]``.

A network and its half, each in ONNX Runtime (float) and as our int8 program, in processes that alternate.
"""

from __future__ import annotations

import logging
import sys
import tempfile
from pathlib import Path

from qgraph.tools.bench.engines import Job, measure
from qgraph.tools.bench.table import machine

from qgraph.analyze import cost
from qgraph.capture import from_factory
from qgraph.data import Data
from qgraph.deploy.program import compile
from qgraph.ir import io
from qgraph.pipeline import Pipeline
from qgraph.workflow import transform

CASES = [
    ("resnet50", "canonicalize,fold-batchnorm,prune-channels{ratio=0.5 target=macs round-to=16}", "noise_images", ()),
    ("minilm", "canonicalize,prune-heads,prune-ffn", "calibration", ("input_ids=1,128", "attention_mask=1,128")),
]


def main(rounds: int) -> None:
    """Print Markdown."""
    logging.disable(logging.WARNING)
    print(f"{machine()}; one thread, medians of {rounds} alternating processes\n")
    print(
        "| network | part of the operations | ONNX Runtime, float | qgraph, int8 | program |\n|---|---|---|---|---|", flush=True
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for network, text, data, shapes in CASES:
            whole = from_factory(f"qgraph.zoo:{network}")
            Pipeline("canonicalize").run(whole)
            half = whole.clone()
            Pipeline(text).run(half)
            part = (cost.macs(half) or 0) / (cost.macs(whole) or 1)
            for form, model in (("whole", whole), ("half", half)):
                io.save(model, folder / f"{form}.onnx")
                transform(model, preset="int8", data=list(Data(f"qgraph.zoo:{data}"))[:2], force=True)
                compile(model, folder / f"{form}.qgp")
            files = [str(folder / f"{form}.{kind}") for kind in ("onnx", "qgp") for form in ("whole", "half")]
            times = [r.median for r in measure([Job(f, None, shapes, 1) for f in files], rounds)]
            size = (folder / "half.qgp").stat().st_size / (folder / "whole.qgp").stat().st_size
            print(
                f"| {network} | {part:.0%} | {times[0] / times[1]:.2f} x | {times[2] / times[3]:.2f} x | {size:.2f} x |",
                flush=True,
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
