"""The README's table of latencies: ``python -m qgraph.tools.bench.table [ROUNDS]``.

Peers at their best setting: ONNX Runtime in float, its dynamic quantization of the canonical graph (matrix products), our
static Q/DQ export (convolutions); OpenVINO on the float file and on the int8 file that it can read.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import platform
import sys
import tempfile
from pathlib import Path

from qgraph.tools.bench.engines import OPENVINO, Job, Result, measure

from qgraph.capture import from_factory
from qgraph.data import Data
from qgraph.deploy.onnxruntime import export
from qgraph.deploy.program import compile
from qgraph.ir import io
from qgraph.pipeline import Pipeline
from qgraph.workflow import transform

NETWORKS = ("resnet50", "mobilenet_v2")
TEXTS = (("minilm", ("1,128", "1,16", "8,128")), ("bert_base", ("1,128",)))


def machine() -> str:
    """Name of the CPU and the best instruction set of the runtime here."""
    from qgraph import _runtime

    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        name = names[0] if names else name
    return f"{name}, {os.cpu_count()} cores, {_runtime.available_isas()[-1]}"


def prepare(folder: Path) -> None:
    """Write every model in every form."""
    from onnxruntime.quantization import quantize_dynamic

    logging.disable(logging.WARNING)
    for name, _ in TEXTS:
        model = from_factory(f"qgraph.zoo:{name}")
        io.save(model, folder / f"{name}.onnx")
        canonical = model.clone()
        Pipeline("canonicalize").run(canonical)
        io.save(canonical, folder / "canonical.onnx")
        quantize_dynamic(folder / "canonical.onnx", folder / f"{name}_int8.onnx")
        transform(model, preset="int8", data=list(Data("qgraph.zoo:calibration"))[:4], force=True)
        compile(model, folder / f"{name}.qgp")
    for name in NETWORKS:
        model = from_factory(f"qgraph.zoo:{name}")
        io.save(model, folder / f"{name}.onnx")
        transform(model, preset="int8", data=list(Data("qgraph.zoo:noise_images"))[:2], force=True)
        export(model, folder / f"{name}_int8.onnx")
        compile(model, folder / f"{name}.qgp")


def row(folder: Path, name: str, shapes: tuple[str, ...], threads: int, rounds: int) -> list[str]:
    """Cells: our milliseconds, then how many times slower each peer is."""
    prefixes = ["", OPENVINO] if importlib.util.find_spec("openvino") else [""]
    files = [str(folder / f"{name}.qgp")]
    files += [f"{prefix}{folder / name}{form}.onnx" for prefix in prefixes for form in ("", "_int8")]
    ours, *peers = measure([Job(f, None, shapes, threads) for f in files], rounds)
    cells = [f"{ours.median * 1e3:.1f} ms"] + [_ratio(ours, peer) for peer in peers]
    return cells + ["-"] * (5 - len(cells))


def _ratio(ours: Result, peer: Result) -> str:
    return f"{ours.speedup(peer)[0]:.2f} x"


def main(rounds: int) -> None:
    """Prepare, measure, print Markdown."""
    print(f"{machine()}; medians of {rounds} alternating processes\n")
    print(
        "| model | threads | qgraph | ONNX Runtime float | int8 | OpenVINO float | int8 |\n|---|---|---|---|---|---|---|",
        flush=True,
    )
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        prepare(folder)
        for threads in (1, 2):
            for name, shapes in TEXTS:
                for shape in shapes:
                    sizes = (f"input_ids={shape}", f"attention_mask={shape}")
                    cells = row(folder, name, sizes, threads, rounds)
                    print(f"| {name} {shape.replace(',', ' x ')} | {threads} | {' | '.join(cells)} |", flush=True)
            for network in NETWORKS:
                print(f"| {network} | {threads} | {' | '.join(row(folder, network, (), threads, rounds))} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
