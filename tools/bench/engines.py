"""Timing of engines, each in processes of its own that alternate: engines that share a process disturb each other."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from qgraph.analyze.inputs import input_names, made_inputs
from qgraph.data import Data, first_batch, input_shapes
from qgraph.errors import QGraphError
from qgraph.ir import io

OPENVINO = "openvino:"
EVICTED = 256 << 20
"""Bytes written in front of a cold call: more than the caches hold."""


@dataclasses.dataclass(frozen=True)
class Job:
    """One engine to time: a model file, its inputs and its threads.

    A ``.qgp`` runs in our runtime, an ``.onnx`` in ONNX Runtime, ``openvino:FILE.onnx`` in OpenVINO. ``cold`` pushes the
    weights out of the caches in front of every call.
    """

    model: str
    data: str | None
    shapes: tuple[str, ...]
    threads: int
    isa: str = ""
    cold: bool = False


@dataclasses.dataclass
class Result:
    """Seconds a call: ``times`` has the median of each process."""

    name: str
    times: list[float]

    @property
    def median(self) -> float:
        return float(np.median(self.times))

    def speedup(self, other: Result) -> tuple[float, float, float]:
        """How many times faster than ``other`` it is: median, least and most over the rounds."""
        ratios = [theirs / ours for ours, theirs in zip(self.times, other.times, strict=True)]
        return float(np.median(ratios)), min(ratios), max(ratios)

    @property
    def low(self) -> float:
        return min(self.times)

    @property
    def high(self) -> float:
        return max(self.times)

    def row(self) -> dict[str, object]:
        return {"name": self.name, "median_ms": self.median * 1e3, "times_ms": [t * 1e3 for t in self.times]}


def measure(jobs: list[Job], rounds: int) -> list[Result]:
    """Time every job ``rounds`` times, each time in a new process, the jobs taking turns."""
    times: list[list[float]] = [[] for _ in jobs]
    for _ in range(max(1, rounds)):
        for job, found in zip(jobs, times, strict=True):
            command = [sys.executable, "-m", "qgraph.tools.bench.engines", json.dumps(dataclasses.asdict(job))]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                message = (done.stderr.strip().splitlines() or ["no message"])[-1]
                raise QGraphError(f"timing {job.model} failed: {message}")
            found.append(float(done.stdout.strip().splitlines()[-1]))
    return [Result(Path(job.model).name, found) for job, found in zip(jobs, times, strict=True)]


def inputs_of(job: Job) -> dict[str, np.ndarray]:
    """The first batch of the data, or random arrays of the wanted shapes."""
    file = job.model.removeprefix(OPENVINO)
    if job.data is not None:
        return first_batch(Data(job.data), input_names(file))
    return made_inputs(file, input_shapes(job.shapes))


def runner(job: Job, *, profiled: bool = False) -> tuple[Callable[[], object], object]:
    """A call without arguments that runs the job once, and the session behind it."""
    if io.is_program(job.model):
        from qgraph.deploy.session import Session

        program = Session(job.model, threads=job.threads, isa=job.isa, profile=profiled)
        feed = inputs_of(job)
        return (lambda: program.run(feed)), program
    from qgraph.execute.onnxruntime import session

    file = job.model.removeprefix(OPENVINO)
    model = io.load(file)
    feed = inputs_of(job)
    if file != job.model:
        return _openvino(file, feed, job.threads)
    engine = session(model, threads=job.threads)
    return (lambda: engine.run(None, feed)), engine


def _openvino(file: str, feed: dict[str, np.ndarray], threads: int) -> tuple[Callable[[], object], object]:
    try:
        import openvino
    except ImportError:
        raise QGraphError("OpenVINO is not installed: pip install openvino") from None
    core = openvino.Core()
    options = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY"}
    request = core.compile_model(core.read_model(file), "CPU", options).create_infer_request()
    return (lambda: request.infer(feed)), request


@dataclasses.dataclass(frozen=True)
class OpRow:
    """One op of a program: seconds, multiply-accumulates and bytes (inputs, weights, outputs) of a run."""

    op: str
    name: str
    seconds: float
    macs: int
    bytes: int

    def roofline(self, macs: float, memory: float) -> float:
        """The part of the machine's ceiling that the op reaches (``macs`` and ``memory`` a second); values in a cache pass 1."""
        return max(self.macs / macs, self.bytes / memory) / self.seconds if self.seconds else 0.0


def profile(job: Job, runs: int = 20) -> list[OpRow]:
    """The ops of a .qgp program, slowest first."""
    from qgraph.deploy.session import Session

    call, program = runner(job, profiled=True)
    if not isinstance(program, Session):
        raise QGraphError("--ops needs a .qgp program")
    for _ in range(runs):
        call()
    rows = [
        OpRow(op, name, seconds / max(1, calls), macs, size)
        for op, name, seconds, calls, macs, size in program.profile()
        if calls
    ]
    return sorted(rows, key=lambda row: -row.seconds)


def once(job: Job, seconds: float = 1.0) -> float:
    """Median seconds of a call, after warming up, over about ``seconds``."""
    call, _ = runner(job)
    evict = np.zeros(EVICTED if job.cold else 0, np.uint8)
    for _ in range(3):
        call()
    times: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 5:
        if job.cold:
            evict += 1
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


if __name__ == "__main__":
    wanted = json.loads(sys.argv[1])
    wanted["shapes"] = tuple(wanted["shapes"])
    os.environ.setdefault("OMP_NUM_THREADS", str(wanted["threads"]))
    try:
        print(once(Job(**wanted)))
    except QGraphError as problem:
        print(problem, file=sys.stderr)
        sys.exit(2)
