"""The claims of the papers behind the recipes, each on this machine: ``python -m qgraph.tools.claims --out DIR``.

Trains the recipes that ``DIR`` does not hold yet (five seeds; about half an hour on one core) and prints one table in
Markdown: the claim, paired differences with 95 % intervals in points, and in words whether it holds here.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import numpy as np
import torch

from qgraph.execute.quantizers import bucket_quantize, round_stochastic
from qgraph.numerics.affine import INT_TYPES, dequantize, from_range, quantize
from qgraph.numerics.coding import entropy, huffman_bits
from qgraph.train.recipe import load
from qgraph.train.report import TrainingReport, interval
from qgraph.train.run import train

Row = tuple[str, str, str]


@dataclasses.dataclass(frozen=True)
class Claim:
    """``first - second`` of a recipe, in points: above ``above``, or within ``within`` of 0; or only to be reported."""

    text: str
    recipe: str
    first: str
    second: str
    above: float | None = None
    within: float | None = None

    def judge(self, mean: float, half: float) -> str:
        if self.within is not None:
            return "holds" if abs(mean) <= self.within else "does NOT hold here"
        if self.above is None:
            return "better" if mean - half > 0 else "worse" if mean + half < 0 else "no difference shown"
        if mean <= self.above:
            return "does NOT hold here"
        return "holds" if mean - half > self.above else "the mean is above, its interval is not"


QD, DQ = "quantized-distillation", "differentiable-quantization"
CLAIMS = [
    Claim("quantized distillation beats distil-then-quantize, 2 bits, by 10 points", QD, "qd-2", "ptq-2", above=10),
    Claim("the same, 4 bits", QD, "qd-4", "ptq-4", above=0),
    Claim("all agree within 2 points at 8 bits", QD, "qd-8", "ptq-8", within=2),
    Claim("quantized distillation beats QAT without a teacher, 2 bits", QD, "qd-2", "qat-2", above=0),
    Claim("the same, 4 bits", QD, "qd-4", "qat-4", above=0),
    Claim("levels at percentiles beat equal steps, 2 bits, untrained", DQ, "percentile-2", "uniform-2", above=0),
    Claim("the same start, levels trained", DQ, "dq-2", "dq-2-uniform-start", above=0),
    Claim("sharing levels by gradient helps, 2 bits", DQ, "dq-2-shared", "dq-2"),
    Claim("response distillation beats labels alone", "distill", "response", "response-control", above=0),
    Claim("DIST beats labels alone", "distill", "dist", "response-control", above=0),
    Claim("features as hints beat labels alone", "feature-distill", "feature", "feature-control", above=0),
    Claim("relations (RKD) beat labels alone", "relation-distill", "rkd", "rkd-control", above=0),
    Claim("similarities beat labels alone", "relation-distill", "similarity", "rkd-control", above=0),
    Claim("an ensemble teaches better than one teacher", "ensemble-distill", "mean", "single", above=0),
    Claim("a learned mix teaches better than the mean", "ensemble-distill", "learned", "mean"),
    Claim("an assistant helps a small student of a large teacher", "teacher-assistant", "assisted", "direct"),
    Claim("DIST helps a small student of a large teacher", "teacher-assistant", "dist", "direct"),
    Claim("distilled directly, it beats labels alone", "teacher-assistant", "direct", "direct-control", above=0),
    Claim("PQK's phase 2 beats phase 1 going on, 95 % sparse, 4 bits", "pqk", "pqk", "phase-1", above=0),
    Claim("the same, the full net moving all weights", "pqk", "pqk-all", "phase-1", above=0),
    Claim("the same, the full net standing still", "pqk", "pqk-none", "phase-1"),
    Claim("the same, 80 % sparse", "pqk", "pqk-80", "phase-1-80", above=0),
    Claim("magnitudes beat chance at 90 %", "prune-distill", "weights-90", "weights-90-at-random", above=0),
    Claim("gradual pruning beats pruning at once at 90 %", "prune-distill", "weights-90", "weights-90-at-once", above=0),
]


def trained(reports: dict[str, TrainingReport]) -> Iterator[Row]:
    for claim in CLAIMS:
        gaps = [d for d in reports[claim.recipe].differences() if (d["first"], d["second"]) == (claim.first, claim.second)]
        mean, half = gaps[0]["difference"] * 100, gaps[0]["interval"] * 100
        yield claim.text, f"{mean:+.1f} +- {half:.1f}", claim.judge(mean, half)
    for stage in ("dq-2", "dq-2-uniform-start", "dq-4"):
        found = [r.measured.facts for run in reports[DQ].runs for r in run if r.name == stage]
        mean, half = interval([f["loss_after"] - f["loss_before"] for f in found])
        start = float(np.mean([f["loss_before"] for f in found]))
        says = "holds" if mean + half < 0 else "the mean is below, its interval is not" if mean < 0 else "does NOT hold here"
        yield f"training levels lowers the loss ({stage})", f"{start:.2f} {mean:+.2f} +- {half:.2f}", says


def exact() -> Iterator[Row]:
    """Claims without training."""
    torch.manual_seed(0)
    w = torch.randn(65536)
    for bits in (2, 4):
        errors = [float((bucket_quantize(w, bits, size) - w).square().mean() / w.var()) for size in (0, 256, 64)]
        says = "holds" if errors[0] > errors[1] > errors[2] else "does NOT hold here"
        yield f"smaller buckets lower the error, {bits} bits (none, 256, 64)", " / ".join(f"{e:.3f}" for e in errors), says
    x = torch.rand(1000) * 9
    rounds = torch.stack([round_stochastic(x) - x for _ in range(400)])
    error = float(rounds.mean() / (rounds.std() / math.sqrt(rounds.numel())))
    yield (
        "stochastic rounding is unbiased",
        f"{error:+.1f} standard errors",
        "holds" if abs(error) < 4 else "does NOT hold here",
    )
    codes = quantize(w.numpy(), from_range(-3, 3, INT_TYPES["int4"], symmetric=True))
    low, bits_ = entropy(codes), huffman_bits(codes)
    yield "Huffman bits lie between entropy and entropy + 1", f"{low:.3f} / {bits_:.3f}", _holds(low <= bits_ < low + 1)
    values = np.random.default_rng(0).uniform(-1, 1, 200_000).astype(np.float32)
    params = from_range(-1, 1, INT_TYPES["int8"], symmetric=True)
    even, floor = (dequantize(quantize(values, params, how), params) for how in ("even", "floor"))  # type: ignore[arg-type]
    ratio = float(np.mean((floor - values) ** 2) / np.mean((even - values) ** 2))
    yield "rounding down has 4 times the squared error", f"{ratio:.2f}", _holds(abs(ratio - 4) < 0.08)
    params = from_range(-0.7, 1.9, INT_TYPES["uint8"], symmetric=False)
    zero = dequantize(quantize(np.zeros(1, np.float32), params), params)
    once = dequantize(quantize(values, params), params)
    twice = dequantize(quantize(once, params), params)
    yield "0 is exact, and quantizing twice is quantizing once", "", _holds(zero == 0 and np.array_equal(once, twice))


def _holds(ok: object) -> str:
    return "holds" if ok else "does NOT hold here"


@click.command()
@click.option("--out", required=True, help="Folder of the runs; what it holds is not trained again.")
@click.option("--seeds", default=5, show_default=True)
def main(out: str, seeds: int) -> None:
    """Train what is missing and print the table."""
    reports: dict[str, TrainingReport] = {}
    for name in dict.fromkeys(claim.recipe for claim in CLAIMS):
        click.echo(f"{name} ...", err=True)
        report = train(load(name), Path(out) / name, seeds=seeds)
        assert report is not None
        reports[name] = report
    sources: list[Callable[[], Iterator[Row]]] = [lambda: trained(reports), exact]
    print(f"| claim ({seeds} seeds) | measured | verdict |\n|---|---|---|")
    for source in sources:
        for text, measured, verdict in source():
            print(f"| {text} | {measured} | {verdict} |")


if __name__ == "__main__":
    main()
