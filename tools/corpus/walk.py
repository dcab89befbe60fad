"""One model through every command, in a process of its own: ``python -m qgraph.tools.corpus.walk NAME FOLDER``.

The results are written to ``FOLDER/NAME/result.json`` after every step, so that a killed walk says where it was.
"""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from qgraph.tools.corpus import peers, quality
from qgraph.tools.corpus.inputs import batches
from qgraph.tools.corpus.made import fed, source_of
from qgraph.tools.corpus.models import Entry, entries
from qgraph.tools.corpus.tasks import TASKS

from qgraph.errors import QGraphError
from qgraph.workflow import PRESETS

PRUNE = "canonicalize{parameters=merge},prune-channels{ratio=0.25}"
GIVEN = "given"
"""Form of a file that is quantized already."""
RESULT = "result.json"


def command(*arguments: str | Path) -> str:
    """Run a qgraph command in this process; returns what it printed."""
    from qgraph.cli import cli

    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        cli.main([str(a) for a in arguments], standalone_mode=False)
    return text.getvalue()


class Walk:
    """The steps of one model and what came of them.

    A step's row is ``{"ok": seconds}``, ``{"refused": sentence}`` where qgraph (or a peer) said no, or ``{"fault": message}``.
    """

    def __init__(self, entry: Entry, folder: Path) -> None:
        self.entry, self.folder = entry, folder
        self.names: list[str] = []
        self.sizes: dict[str, tuple[int, list[int]]] = {}
        self.result: dict[str, Any] = {"name": entry.name, "steps": {}, "bytes": {}, "quality": {}, "done": False}

    @contextlib.contextmanager
    def step(self, name: str, *needed: str) -> Iterator[None]:
        """Run the body as step ``name``; it is left out when a ``needed`` step did not succeed."""
        self.save(running=name)
        start = time.perf_counter()
        try:
            yield
            row: dict[str, Any] = {"ok": round(time.perf_counter() - start, 2)}
        except QGraphError as refusal:
            row = {"refused": " ".join(str(refusal).split())}
        except Exception as error:
            traceback.print_exc(file=(self.folder / "log.txt").open("a"))
            row = {"fault": f"{type(error).__name__}: {' '.join(str(error).split())[:400]}"}
        self.result["steps"][name] = row
        said = "ok" if "ok" in row else next(f"{key}: {row[key][:150]}" for key in row)
        print(f"  {self.entry.name:12} {name:24} {time.perf_counter() - start:6.1f} s  {said}", flush=True)

    def ok(self, *steps: str) -> bool:
        return all("ok" in self.result["steps"].get(step, {}) for step in steps)

    def save(self, running: str = "") -> None:
        part = self.folder / "result.part"
        part.write_text(json.dumps({**self.result, "running": running}, indent=1))
        part.replace(self.folder / RESULT)

    def size(self, form: str, file: Path) -> None:
        self.result["bytes"][form] = sum(f.stat().st_size for f in file.parent.glob(file.name + "*"))

    # the steps

    def walk(self) -> None:
        """Everything, in order."""
        with self.step("fetch"):
            self.source = source_of(self.entry)
            self.result["bytes"]["float"] = sum(f.stat().st_size for f in (self.source, *self._beside(self.source)))
        if self.ok("fetch"):
            with self.step("inputs"):
                self._inputs()
        if self.ok("inputs") and self.entry.quantized:
            self._as_it_is()
        elif self.ok("inputs"):
            self._capture()
        if self.ok("capture") and not self.entry.quantized:
            for preset in PRESETS:
                self._preset(preset)
            self._prune()
        if self.ok("inputs"):
            if not self.entry.quantized:
                self._peers()
            self.result["files"] = {form: str(file) for form, file in self.files().items()}
        self.result["done"] = True
        self.save()

    def _beside(self, model: Path) -> list[Path]:
        return [model.parent / Path(name).name for name in self.entry.also if Path(name).name.startswith(model.name)]

    def _inputs(self) -> None:
        calibration, self.judged = batches(self.entry.inputs, fed(self.entry))
        for part, made in (("calib", calibration), ("eval", self.judged)):
            (self.folder / part).mkdir()
            for number, batch in enumerate(made):
                np.savez(self.folder / part / f"{number}.npz", **batch)  # type: ignore[arg-type]
        self.names = quality.outputs_of(self.source)
        self.reference = quality.run_onnx(self.source, self.judged)
        if not all(np.isfinite(a).all() for row in self.reference for a in row if a.dtype.kind == "f"):
            raise QGraphError(f"the float model {self.entry.name} answers NaN or infinity to the made inputs; correct the maker")

    def _capture(self) -> None:
        import onnx_ir as ir

        self.float = self.folder / "float.onnx"
        with self.step("capture"):
            command("capture", self.source, "-o", self.float, *(part for fixed in self.entry.fix for part in ("--fix", fixed)))
        if not self.ok("capture"):
            return
        with self.step("inspect"):
            command("inspect", self.float, "--layers")
        with self.step("groups"):
            command("inspect", self.float, "--groups")
        with self.step("run float"):
            model = ir.load(self.float)
            self.sizes = quality.part_sizes(self.float, quality.joined(model), self.judged[0])
            self._judge("captured", quality.run_onnx(self.float, self.judged))
        with self.step("float to_torch"):
            self._torch(self.float, "float to_torch")
        self._program("float", self.float)

    def _as_it_is(self) -> None:
        """A file that is quantized already."""
        made = self.folder / f"{GIVEN}.onnx"
        with self.step("inspect"):
            command("inspect", self.source, "--layers")
        with self.step("capture"):
            command("capture", self.source, "-o", made)
        if self.ok("capture"):
            self._deploy(GIVEN, made)
            self._run_as_torch_and_program(GIVEN, made)

    def _judge(self, form: str, outputs: Sequence[Sequence[np.ndarray]], reference: Any = None) -> None:
        pairs = list(zip(self.reference if reference is None else reference, outputs, strict=True))
        rows = quality.differences(self.names, pairs, self.sizes)
        self.result["quality"][form] = {"outputs": rows, "task": TASKS[self.entry.task].share(pairs)}

    def _torch(self, file: Path, form: str) -> None:
        """The torch form of ``file`` against ONNX Runtime's answers of the same file."""
        import onnx_ir as ir
        import torch

        from qgraph.execute import to_torch
        from qgraph.ir import io as files

        model: ir.Model = files.load(file)
        module = to_torch(model)
        names = [value.name or "" for value in model.graph.inputs]
        with torch.no_grad():
            made = [module(*(torch.from_numpy(np.array(batch[n])) for n in names)) for batch in self.judged]
        outputs = [[value.numpy() for value in row.values()] for row in made]
        self._judge(form, outputs, quality.run_onnx(file, self.judged))

    def _preset(self, preset: str) -> None:
        made, data = self.folder / f"{preset}.onnx", self.folder / "calib"
        with self.step(f"{preset} transform"):
            command("transform", self.float, "-o", made, "--preset", preset, "--data", data, "--force")
        if self.ok(f"{preset} transform"):
            self._deploy(preset, made)
            self._run_as_torch_and_program(preset, made)

    def _run_as_torch_and_program(self, form: str, made: Path) -> None:
        with self.step(f"{form} to_torch"):
            self._torch(made, f"{form} to_torch")
        self._program(form, made)

    def _program(self, form: str, made: Path) -> None:
        program = self.folder / f"{form}.qgp"
        with self.step(f"{form} compile"):
            command("compile", made, "-o", program, "--dense")
        if self.ok(f"{form} compile"):
            with self.step(f"{form} run program"):
                self._judge(f"{form} program", quality.run_program(program, self.judged))
            with self.step(f"{form} compare"):
                command("compare", made, program, "--data", self.folder / "eval", "--outputs-only", "--json")

    def _deploy(self, form: str, made: Path) -> None:
        """Export ``made`` and run the file from a folder that it was not written in, with nothing but itself there."""
        place = self.folder / f"{form}-deploy"
        place.mkdir()
        with self.step(f"{form} export"):
            command("export", made, "-o", place / "model.onnx")
            self.size(form, place / "model.onnx")
        if self.ok(f"{form} export"):
            with self.step(f"{form} run elsewhere"), tempfile.TemporaryDirectory() as elsewhere:
                shutil.copytree(place, elsewhere, dirs_exist_ok=True)
                with hidden(self.folder):
                    outputs = quality.run_onnx(Path(elsewhere) / "model.onnx", self.judged)
                self._judge(form, outputs)

    def _prune(self) -> None:
        made = self.folder / "pruned.onnx"
        with self.step("pruned transform"):
            command("transform", self.float, "-o", made, "--passes", PRUNE, "--data", self.folder / "calib", "--force")
        if self.ok("pruned transform"):
            self._deploy("pruned", made)

    def _peers(self) -> None:
        for form, quantize in (("dynamic", peers.dynamic), ("static", peers.static)):
            file = self.folder / f"{form}.onnx"
            with self.step(f"{form} (ONNX Runtime)"):
                try:
                    quantize(self.source, file, self.folder / "calib")
                    self.size(form, file)
                    outputs = quality.run_onnx(file, self.judged)
                except Exception as error:
                    raise QGraphError(f"ONNX Runtime's quantizer gives no file that it runs: {error}") from error
                self._judge(form, outputs)

    def files(self) -> dict[str, Path]:
        """The files to time: form -> file."""
        known = {
            "float": self.source,
            "dynamic": self.folder / "dynamic.onnx",
            "static": self.folder / "static.onnx",
            "int8": self.folder / "int8-deploy" / "model.onnx",
            "float program": self.folder / "float.qgp",
            "int8 program": self.folder / "int8.qgp",
            GIVEN: self.folder / "given-deploy" / "model.onnx",
            "given program": self.folder / "given.qgp",
        }
        return {form: file for form, file in known.items() if form == "float" or form in self.result["quality"]}


@contextlib.contextmanager
def hidden(folder: Path) -> Iterator[None]:
    """Give ``folder`` another name for a while: what points into it is not found."""
    away = folder.with_name(folder.name + ".away")
    folder.rename(away)
    try:
        yield
    finally:
        away.rename(folder)


def main(name: str, place: str) -> None:
    """Walk the model ``name`` and leave its results in ``place``."""
    import torch

    torch.set_num_threads(1)
    folder = Path(place).absolute() / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    Walk(entries()[name], folder).walk()


if __name__ == "__main__":
    main(*sys.argv[1:3])
