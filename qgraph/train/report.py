"""What a run found: JSON for programs, HTML with curves for people, a table for the terminal."""

from __future__ import annotations

import dataclasses
import html
import json
import math
import statistics
from pathlib import Path
from typing import Any

from qgraph.analyze import charts
from qgraph.analyze.page import document, table
from qgraph.ir.io import atomic_path
from qgraph.train.context import StageResult
from qgraph.train.recipe import Recipe

T_95 = [
    12.706,
    4.303,
    3.182,
    2.776,
    2.571,
    2.447,
    2.365,
    2.306,
    2.262,
    2.228,
    2.201,
    2.179,
    2.160,
    2.145,
    2.131,
    2.120,
    2.110,
    2.101,
    2.093,
]
"""Student's t, two-sided 95 %, for 1 to 19 degrees of freedom."""


def interval(values: list[float]) -> tuple[float, float]:
    """Mean and half the width of its 95 % interval (Student's t); nan for a single value."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return mean, float("nan")
    t = T_95[len(values) - 2] if len(values) - 2 < len(T_95) else 1.96
    return mean, t * statistics.stdev(values) / math.sqrt(len(values))


@dataclasses.dataclass
class TrainingReport:
    """Results of a recipe: ``runs`` has a list of stages for each seed."""

    recipe: Recipe
    runs: list[list[StageResult]]
    seed: int

    def scores(self, stage: str, engine: str = "graph") -> list[float]:
        """The metric of a stage, one a seed."""
        scores = [r.measured.scores.get(engine, float("nan")) for run in self.runs for r in run if r.name == stage]
        return scores

    def rows(self) -> list[dict[str, Any]]:
        """A row a stage: mean score as a graph, in ONNX Runtime and as a program, its interval, bytes, seconds."""
        rows = []
        for result in self.runs[0]:
            graph, program = self.scores(result.name), self.scores(result.name, "program")
            mean, half = interval(graph)
            rows.append(
                {
                    "stage": result.name,
                    "score": mean,
                    "interval": half,
                    "onnxruntime": statistics.fmean(self.scores(result.name, "onnxruntime")),
                    "program": statistics.fmean(program),
                    "bytes": result.measured.facts["bytes"],
                    "huffman": result.measured.facts.get("huffman_bytes", float("nan")),
                    "loss_before": self._mean(result.name, "loss_before"),
                    "loss_after": self._mean(result.name, "loss_after"),
                    "steps": result.steps,
                    "seconds": statistics.fmean([r.seconds for run in self.runs for r in run if r.name == result.name]),
                    "note": result.measured.note,
                }
            )
        return rows

    def _mean(self, stage: str, fact: str) -> float:
        return statistics.fmean(r.measured.facts.get(fact, math.nan) for run in self.runs for r in run if r.name == stage)

    def differences(self) -> list[dict[str, Any]]:
        """Paired differences of the recipe's pairs and of every stage with a control: mean, 95 % interval, verdict in words."""
        pairs = list(self.recipe.compare)
        pairs += [(s.name, f"{s.name}-control") for s in self.recipe.stages if s.control]
        differences = []
        for first, second in dict.fromkeys(pairs):
            gaps = [a - b for a, b in zip(self.scores(first), self.scores(second), strict=True)]
            mean, half = interval(gaps)
            differences.append(
                {
                    "first": first,
                    "second": second,
                    "difference": mean,
                    "interval": half,
                    "says": _verdict(first, second, mean, half),
                }
            )
        return differences

    def json(self) -> dict[str, Any]:
        return {
            "recipe": self.recipe.model_dump(mode="json"),
            "metric": self.recipe.metric,
            "rows": self.rows(),
            "differences": self.differences(),
            "runs": [[dataclasses.asdict(r) for r in run] for run in self.runs],
        }


def _verdict(first: str, second: str, mean: float, half: float) -> str:
    control = second.endswith("-control")
    against = "training without a teacher" if control else second
    if math.isnan(half):
        return (
            f"{first} is {'above' if mean > 0 else 'below' if mean < 0 else 'equal to'} {against}; one seed shows no significance"
        )
    if mean - half > 0:
        return f"{first} is better than {against}"
    if mean + half < 0:
        return f"{first} is WORSE than {against}" + (": the teacher does harm here" if control else "")
    return f"no difference between {first} and {against} is shown"


def percent(metric: str, value: float) -> str:
    if math.isnan(value):
        return "-"
    return f"{value:.1%}" if metric == "accuracy" else f"{value:.4f}"


def _margin(metric: str, value: float) -> str:
    return "-" if math.isnan(value) else f"± {percent(metric, value)}"


def _change(row: dict[str, Any]) -> str:
    return "-" if math.isnan(row["loss_after"]) else f"{row['loss_before']:.3f} → {row['loss_after']:.3f}"


def write(report: TrainingReport, out: Path) -> None:
    """Write ``report.json``, ``report.html`` and, where TensorBoard is installed, its event files."""
    out.mkdir(parents=True, exist_ok=True)
    with atomic_path(out / "report.json") as temporary:
        temporary.write_text(json.dumps(report.json(), indent=1))
    with atomic_path(out / "report.html") as temporary:
        temporary.write_text(page(report))
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return
    for number, run in enumerate(report.runs):
        for result in run:
            with SummaryWriter(str(out / "tensorboard" / f"seed-{report.seed + number}" / result.name)) as events:
                for name, points in result.curves.items():
                    for step, value in points:
                        events.add_scalar(name, value, step)


HEAD = (
    "stage",
    "trained graph",
    "interval",
    "ONNX Runtime",
    "shipped program",
    "kB",
    "codes, Huffman kB",
    "loss",
    "steps",
    "seconds",
    "note",
)


def page(report: TrainingReport) -> str:
    """The report as one HTML file without outside parts."""
    return document(report.recipe.name, content(report.json()))


def content(report: dict[str, Any]) -> str:
    """What the page says of a run, from its JSON: tables, verdicts and curves."""
    metric, rows = report["metric"], []
    for r in report["rows"]:
        huffman = "-" if math.isnan(r["huffman"]) else f"{r['huffman'] / 1e3:.1f}"
        engines = [percent(metric, r[engine]) for engine in ("onnxruntime", "program")]
        seconds = f"{r['seconds']:.1f}"
        score = percent(metric, r["score"])
        rows.append(
            [
                *(r["stage"], score, _margin(metric, r["interval"]), *engines, f"{r['bytes'] / 1e3:.1f}", huffman),
                *(_change(r), r["steps"], seconds, r["note"]),
            ]
        )
    gaps = [
        [f"{d['first']} - {d['second']}", percent(metric, d["difference"]), _margin(metric, d["interval"]), d["says"]]
        for d in report["differences"]
    ]
    said = f"{len(report['runs'])} seed(s); {metric} on held-out samples; 95 % intervals of the mean"
    body = f"<p>{html.escape(report['recipe'].get('about', ''))}</p>" + table(HEAD, rows, said)
    if gaps:
        body += "<h2>Paired differences</h2>" + table(("pair", "difference", "interval", "in words"), gaps)
    for result in report["runs"][0]:
        lines = {name: points for name, points in result["curves"].items() if name != "total" or len(result["curves"]) != 2}
        if lines:  # one loss is its own total
            body += f"<h2>{html.escape(result['name'])}</h2>" + charts.curves(lines, f"Losses of {result['name']} over its steps")
    return body
