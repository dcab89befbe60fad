"""What the page offers to look at: the models, two of them side by side, and the graph after each pass."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from qgraph.tools.viewer import Status, adapter
from qgraph.tools.viewer.overlays import Overlay, changes, overlays

from qgraph.analyze.metrics import AnalyzedModel
from qgraph.data import Batch
from qgraph.errors import QGraphError
from qgraph.ir.snapshot import Change, Snapshot, difference


@dataclasses.dataclass
class Drawn:
    """One graph as Model Explorer takes it, and what can be laid over it."""

    title: str
    graph: dict[str, Any]
    overlays: list[Overlay]


@dataclasses.dataclass
class Scene:
    """One or two graphs (their numbers) that are shown together, and what to say about them."""

    title: str
    panes: list[int]
    kind: str
    note: str = ""


class Show:
    """All graphs and scenes of one call of ``qgraph view``."""

    def __init__(self) -> None:
        self.drawn: list[Drawn] = []
        self.scenes: list[Scene] = []
        self.problems: list[str] = []

    def add(
        self,
        title: str,
        snapshot: Snapshot,
        analyzed: AnalyzedModel | None = None,
        change: Change | None = None,
        removed: bool = False,
    ) -> int:
        """Draw one graph; returns its number."""
        metrics = analyzed.metrics if analyzed is not None else None
        title = title.replace("/", " ")
        laid = overlays(metrics) if metrics is not None else []
        if change is not None:
            step = changes(change, removed, "difference" if analyzed is not None else "this step")
            laid = [step, *laid] if step.values else laid
        self.drawn.append(Drawn(title, adapter.graph(snapshot, title, metrics, change), laid))
        return len(self.drawn) - 1

    def page(self) -> dict[str, Any]:
        """What the page needs to know, without the graphs."""
        number = 0
        drawn = []
        for graph in self.drawn:
            rows = []
            for overlay in graph.overlays:
                rows.append({**overlay.json(), "number": number})
                number += 1
            places = {n["id"]: f"{n['label']} {n['namespace']}".strip() for n in graph.graph["nodes"]}
            drawn.append({"title": graph.title, "nodes": len(graph.graph["nodes"]), "overlays": rows, "places": places})
        scenes = [dataclasses.asdict(s) for s in self.scenes]
        return {"graphs": drawn, "scenes": scenes, "problems": self.problems}

    def node_data(self, number: int) -> dict[str, Any]:
        """The overlay of this number; raises IndexError where there is none."""
        flat = [(graph.title, overlay) for graph in self.drawn for overlay in graph.overlays]
        title, overlay = flat[number]
        return overlay.node_data(title)


def build(
    files: Sequence[str], report: str | None, data: Sequence[Batch], threads: int, progress: Status = lambda text: None
) -> Show:
    """Read, measure and draw.

    Args:
        files: one or two model files; the first is the reference of the second.
        report: what ``transform --report`` wrote.
        data: batches on which the second is compared with the first.
        threads: for timing a program.

    Raises:
        QGraphError: no file and no report can be shown.
    """
    show = Show()
    models = []
    for file in files:
        progress(f"reading {file}")
        try:
            models.append(AnalyzedModel(file))
        except QGraphError as error:
            show.problems.append(str(error))
    for analyzed in models:
        if analyzed.is_program:
            progress(f"timing {analyzed.path.name}")
            _try(show, lambda p=analyzed: p.time(data[0] if data else None, threads))  # type: ignore[misc]
    if len(models) == 2 and data:
        progress(f"comparing {models[1].path.name} with {models[0].path.name}")
        _try(show, lambda: models[1].against(models[0].path, data))
    numbers = []
    for analyzed in models:
        numbers.append(show.add(analyzed.path.name, analyzed.snapshot, analyzed))
        show.scenes.append(
            Scene(
                analyzed.path.name,
                [numbers[-1]],
                "model",
                f"{analyzed.dialect} dialect, {len(analyzed.snapshot.nodes)} nodes, {analyzed.size / 1e6:.3f} MB",
            )
        )
    if len(models) == 2:
        _side_by_side(show, models)
    if report is not None:
        _try(show, lambda: timeline(show, report))
    if not show.drawn:
        raise QGraphError("; ".join(show.problems) or "nothing to show; give a model file or --report")
    return show


def _try(show: Show, work: Callable[[], Any]) -> None:
    """A measurement that fails leaves the graphs to look at."""
    try:
        work()
    except QGraphError as error:
        show.problems.append(str(error))


def _side_by_side(show: Show, models: list[AnalyzedModel]) -> None:
    change = difference(models[0].snapshot, models[1].snapshot)
    panes = [
        show.add(f"{p.path.name} {side}", p.snapshot, p, change, removed=side == "before")
        for p, side in zip(models, ("before", "after"), strict=True)
    ]
    show.scenes.append(Scene(f"{models[0].path.name} | {models[1].path.name}", panes, "diff", told(change)))


def told(change: Change) -> str:
    """How many nodes a step touched."""
    return f"{len(change.added)} nodes added, {len(change.removed)} removed, {len(change.changed)} changed"


def timeline(show: Show, report: str) -> None:
    """Scenes for the graph as it came and after each pass of a report."""
    try:
        content = json.loads(Path(report).read_text())
        passes = content["passes"]
        snapshots = [Snapshot.from_json(item["graph"]) for item in [content, *passes]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise QGraphError(
            f"{report} is no report of 'qgraph transform --report' with graphs in it ({type(error).__name__}); write it again"
        ) from error
    before = snapshots[0]
    show.scenes.append(Scene("as captured", [show.add("0 as captured", before)], "step", f"{len(before.nodes)} nodes"))
    for number, (item, after) in enumerate(zip(passes, snapshots[1:], strict=True), 1):
        change = difference(before, after)
        left = show.add(f"{number} before {item['name']}", before, change=change, removed=True)
        right = show.add(f"{number} after {item['name']}", after, change=change)
        counts = ", ".join(f"{n:g} {what}" for what, n in item["counts"].items()) or "nothing to do"
        show.scenes.append(Scene(item["name"], [left, right], "step", f"{told(change)}; {counts}; {item['seconds']:.2f} s"))
        before = after
