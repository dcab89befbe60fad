"""Processes that take files through qgraph: each is forked with the imports done, and replaced when it crashes or hangs."""

from __future__ import annotations

import dataclasses
import faulthandler
import hashlib
import multiprocessing
import os
import re
import resource
import signal
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path

import numpy as np
from qgraph.tools.fuzz.mutate import damage, mutate
from qgraph.tools.fuzz.walk import Outcome, walk

PROGRAMS = 10
"""One file in so many is a program."""
MEMORY = 6 << 30
"""Bytes of addresses that a process may take beyond what the imports took."""


@dataclasses.dataclass
class Fault:
    """Faults with one signature, and the smallest file that shows it."""

    outcome: Outcome
    data: bytes = b""
    count: int = 0
    file: Path | None = None

    def add(self, data: bytes) -> bool:
        """Count one more; whether its file is the smallest so far."""
        self.count += 1
        if self.file is not None and len(data) >= len(self.data):
            return False
        self.data = data
        return True

    def keep(self, folder: Path) -> None:
        """Write the smallest file, under a name made of the signature."""
        folder.mkdir(parents=True, exist_ok=True)
        word = re.sub(r"\W+", "_", self.outcome.signature)[:60]
        kind = "qgp" if b"QGP1" in self.data[:16] else "onnx"
        self.file = folder / f"{word}_{hashlib.sha256(self.outcome.signature.encode()).hexdigest()[:6]}.{kind}"
        self.file.write_bytes(self.data)


def made(models: Sequence[bytes], programs: Sequence[bytes], number: int, seed: int) -> tuple[bytes, str]:
    """The file of this number, and its suffix."""
    rng = np.random.default_rng([seed, number])
    if number % PROGRAMS == 0 and programs:
        return damage(programs[int(rng.integers(len(programs)))], rng), ".qgp"
    return mutate(models[int(rng.integers(len(models)))], rng), ".onnx"


@dataclasses.dataclass
class Worker:
    """A process, the pipe to it, and the file that it is at."""

    process: multiprocessing.Process
    pipe: Connection
    folder: Path
    number: int | None = None
    since: float = 0.0
    step: str = "start"

    @staticmethod
    def start(models: Sequence[bytes], programs: Sequence[bytes], seed: int, folder: Path, timeout: float) -> Worker:
        folder.mkdir(parents=True, exist_ok=True)
        ours, its = multiprocessing.Pipe()
        context = multiprocessing.get_context("fork")
        process = context.Process(target=_work, args=(its, models, programs, seed, folder, timeout), daemon=True)
        process.start()
        its.close()
        return Worker(process, ours, folder)  # type: ignore[arg-type]

    def give(self, number: int) -> None:
        self.number, self.since, self.step = number, time.monotonic(), "start"
        self.pipe.send(number)

    def ended(self, kind: str) -> Outcome:
        """What to say of a process that crashed or hung."""
        self.process.kill()
        self.process.join()
        trace = self.folder / "trace"
        text = trace.read_text() if trace.exists() else ""
        found = re.findall(r'File "[^"]*/(?:qgraph|passes|tools)/[^"]*?([^/"]+)", line \d+ in (\S+)', text)
        place = next((f"{file}:{function}" for file, function in found if file not in ("walk.py", "pool.py")), "")
        code = f"exit code {self.process.exitcode}" if kind == "crash" else "no end"
        return Outcome(self.step, kind, f"{self.step} {kind} {place}", code)


def fuzz(
    models: Sequence[bytes], programs: Sequence[bytes], numbers: Iterable[int], seed: int, jobs: int, timeout: float
) -> Iterator[tuple[Outcome, bytes]]:
    """Take the files of ``numbers`` through qgraph; yields what became of each, and the file.

    Args:
        models, programs: files to mutate.
        jobs: processes.
        timeout: seconds after which a file counts as hanging.
    """
    left, workers = iter(numbers), list[Worker]()
    with tempfile.TemporaryDirectory() as folder:
        try:
            for place in range(jobs):
                workers.append(Worker.start(models, programs, seed, Path(folder) / str(place), timeout))
            busy = [worker for worker in workers if _next(worker, left)]
            while busy:
                ready = wait([w.pipe for w in busy], timeout=0.5)
                for worker in list(busy):
                    outcome = _heard(worker, worker.pipe in ready, timeout)
                    if outcome is None:
                        continue
                    assert worker.number is not None
                    yield outcome, made(models, programs, worker.number, seed)[0]
                    if outcome.kind in ("crash", "hang"):
                        fresh = Worker.start(models, programs, seed, worker.folder, timeout)
                        workers[workers.index(worker)] = busy[busy.index(worker)] = fresh
                        worker = fresh
                    if not _next(worker, left):
                        busy.remove(worker)
        finally:
            for worker in workers:
                worker.process.kill()


def _next(worker: Worker, left: Iterator[int]) -> bool:
    number = next(left, None)
    if number is not None:
        worker.give(number)
    return number is not None


def _heard(worker: Worker, ready: bool, timeout: float) -> Outcome | None:
    """The outcome of a worker's file, where there is one yet."""
    if ready:
        try:
            message = worker.pipe.recv()
        except (EOFError, ConnectionResetError):
            return worker.ended("crash")
        if isinstance(message, Outcome):
            return message
        worker.step = message
    elif time.monotonic() - worker.since > timeout:
        return worker.ended("hang")
    return None


def _work(pipe: Connection, models: Sequence[bytes], programs: Sequence[bytes], seed: int, folder: Path, timeout: float) -> None:
    """What a process does: files by number, until it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with (folder / "trace").open("w") as trace, Path(os.devnull).open("w") as nothing:
        os.dup2(nothing.fileno(), 1)
        os.dup2(nothing.fileno(), 2)
        while True:
            number = pipe.recv()
            data, suffix = made(models, programs, number, seed)
            file = folder / f"case{suffix}"
            file.write_bytes(data)
            trace.truncate(0)
            trace.seek(0)
            faulthandler.enable(trace)
            faulthandler.dump_traceback_later(0.9 * timeout, file=trace)
            outcome = walk(file, pipe.send)
            faulthandler.cancel_dump_traceback_later()
            pipe.send(outcome)
