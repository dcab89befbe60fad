"""One file through the whole of qgraph: what each step makes of it."""

from __future__ import annotations

import dataclasses
import io as text_io
import re
import traceback
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

from qgraph.analyze.compare import Runner
from qgraph.analyze.inputs import made_inputs
from qgraph.capture import read
from qgraph.cli import cli
from qgraph.deploy.onnxruntime import export
from qgraph.deploy.program import compile
from qgraph.deploy.session import Session
from qgraph.errors import QGraphError
from qgraph.ir import io
from qgraph.workflow import transform

LONGEST = 700
"""Characters of a refusal that still is one sentence."""
MOST = 1 << 22
"""Elements of the inputs of a model that is run."""
Step = Callable[[], Any]


@dataclasses.dataclass
class Outcome:
    """How far a file came.

    Attributes:
        step: the last step that was begun.
        kind: ``done``, ``refused`` (one sentence), or a fault: ``traceback``, ``refused badly``, ``crash``, ``hang``.
        signature: what faults of one cause have in common; the sentence for a refusal.
        message: the exception, or the sentence.
    """

    step: str
    kind: str
    signature: str = ""
    message: str = ""

    @property
    def fault(self) -> bool:
        return self.kind not in ("done", "refused")


def walk(file: Path, begun: Callable[[str], None]) -> Outcome:
    """Take ``file`` (.onnx or .qgp) through every step until one refuses it; ``begun`` is told the name of each."""
    name = ""
    for name, step in program_steps(file) if file.suffix == ".qgp" else model_steps(file):
        begun(name)
        try:
            with redirect_stdout(text_io.StringIO()), redirect_stderr(text_io.StringIO()):
                step()
        except QGraphError as error:
            return refusal(name, str(error))
        except BaseException as error:  # RecursionError, MemoryError, SystemExit: all of them are faults
            place = _place(error)
            return Outcome(name, "traceback", f"{name} {type(error).__name__} {place}", f"{error}"[:LONGEST])
    return Outcome(name, "done")


def model_steps(file: Path) -> Iterator[tuple[str, Step]]:
    """inspect, read, transform to int8 on random data, export, compile, run."""
    deployed, program = file.with_suffix(".deploy.onnx"), file.with_suffix(".qgp")
    yield "inspect", lambda: cli.main(["inspect", str(file)], standalone_mode=False)
    found: dict[str, Any] = {}

    def load() -> None:
        found["model"] = read(file)
        found["feed"] = made_inputs(found["model"])
        if sum(array.size for array in found["feed"].values()) > MOST:
            raise QGraphError("inputs of this size only take time")

    def convert() -> None:
        transform(found["model"], preset="int8", data=[found["feed"]], force=True)
        io.save(found["model"], file.with_suffix(".int8.onnx"))

    yield "read", load
    yield "transform", convert
    yield "export", lambda: export(found["model"], deployed)
    yield "compile", lambda: compile(found["model"], program)
    yield "load", lambda: loads(program)
    yield "run", lambda: runs(deployed, program, found["feed"])


def loads(program: Path) -> None:
    """What was compiled is a program."""
    try:
        Session(program, threads=1)
    except QGraphError as error:
        raise AssertionError(f"a compiled program is refused: {error}") from error


def runs(deployed: Path, program: Path, feed: Any) -> None:
    """What was compiled runs where ONNX Runtime runs the exported file."""
    Runner(deployed, inner=False, threads=1).run(feed, 1)
    try:
        Session(program, threads=1).run(feed)
    except QGraphError as error:
        raise AssertionError(f"ONNX Runtime runs it, the program does not: {error}") from error


def program_steps(file: Path) -> Iterator[tuple[str, Step]]:
    """inspect, draw, run."""
    yield "inspect", lambda: cli.main(["inspect", str(file)], standalone_mode=False)
    yield "tree", lambda: cli.main(["inspect", str(file), "--tree"], standalone_mode=False)
    yield "run", lambda: Session(file, threads=1, keep=True).run(made_inputs(file))


def refusal(step: str, text: str) -> Outcome:
    """A refusal, which is a fault where it is not one sentence."""
    bad = "\n" in text.strip() or len(text) > LONGEST or not text.strip()
    pattern = re.sub(r"'[^']*'|\"[^\"]*\"|/\S+|\[[^\]]*\]|-?\d+", "*", text)
    return Outcome(step, "refused badly" if bad else "refused", f"{step} {pattern[:160]}", text[:LONGEST])


def _place(error: BaseException) -> str:
    """``file:function`` of the innermost frame of qgraph."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if "/qgraph/" in f.filename or "/passes/" in f.filename or "/tools/" in f.filename]
    last = [f for f in own if not f.filename.endswith("walk.py")] or own
    return f"{Path(last[-1].filename).name}:{last[-1].name}" if last else ""
