"""The training loop and its hooks: nothing trains before ``run``, hooks have an order, a stopped run goes on bit for bit."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from qgraph.errors import QGraphError
from qgraph.train.build import build_graph
from qgraph.train.context import TrainingRun
from qgraph.train.data import make
from qgraph.train.hooks import Checkpoints, Evaluation
from qgraph.train.loop import Hook, Loop
from qgraph.train.recipe import Recipe
from qgraph.train.stage import Training, prepare

STUDENT = {"capture": "qgraph.zoo:digits_mlp", "args": {"hidden": 16, "inputs": 32}}


def training(folder: Path, **changes: object) -> Training:
    """A stage with a fixed teacher and one that is the student's moving average."""
    stage = {
        "name": "student",
        "student": STUDENT,
        "passes": "prune-magnitude{sparsity=0},calibrate,quantize{weights=int4 latent=true}",
        "teachers": [{"capture": "qgraph.zoo:digits_mlp", "args": {"hidden": 24, "inputs": 32}}, {"ema": 0.9}],
        "losses": [{"kind": "response", "temperature": 4.0}, {"kind": "cross-entropy"}],
        "pruning": {"sparsity": 0.5, "every": 3},
        "optimizer": {"lr": 5e-3, "accumulate": 2},
        "patience": 50,
        "steps": 12,
    }
    recipe = Recipe(
        name="loop",
        data={"source": "modes", "args": {"samples": 200}, "batch": 16},  # type: ignore[arg-type]
        stages=[stage | changes],  # type: ignore[list-item]
        evaluate_every=3,
        checkpoint_every=5,
    )
    run = TrainingRun(recipe, make("modes", {"samples": 200}), folder, 0, torch.device("cpu"), lambda *_: None)
    return prepare(recipe.stages[0], run, build_graph(recipe.stages[0], run))


def state(loop: Loop) -> dict[str, bytes]:
    modules: dict[str, nn.Module] = {"objective": loop.modules.objective}
    for hook in loop.hooks:
        modules |= hook.modules()
    return {f"{part}/{name}": v.numpy().tobytes() for part, module in modules.items() for name, v in module.state_dict().items()}


class Events(Hook):
    """Notes every call."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def start(self, loop: Loop) -> None:
        self.seen.append("start")

    def before_step(self, loop: Loop, step: int) -> None:
        self.seen.append(f"step {step}")

    def before_batch(self, loop: Loop, step: int, batch: Mapping[str, Tensor]) -> None:
        self.seen.append("batch")

    def add_loss(self, loop: Loop, step: int, parts: dict[str, Tensor]) -> Tensor | None:
        self.seen.append("loss")
        return None

    def after_backward(self, loop: Loop, step: int, batch: Mapping[str, Tensor]) -> None:
        self.seen.append("backward")

    @contextlib.contextmanager
    def around_update(self, loop: Loop, step: int) -> Iterator[None]:
        before = [p.detach().clone() for p in loop.trained]
        yield
        changed = any(not torch.equal(a, b) for a, b in zip(before, loop.trained, strict=True))
        self.seen.append("update" if changed else "nothing")

    def after_step(self, loop: Loop, step: int, losses: Mapping[str, float]) -> None:
        self.seen.append("done " + ",".join(losses))
        loop.stopped = step == 1

    def end(self, loop: Loop) -> None:
        self.seen.append("end")


def test_hooks_are_called_around_every_step_and_can_stop_the_loop(tmp_path: Path) -> None:
    loop = training(tmp_path).loop
    events = Events()
    loop.hooks = [events]
    loop.run()
    batch = ["batch", "loss", "backward"]
    step = [*batch, *batch, "update", "done response,cross-entropy,total"]
    assert events.seen == ["start", "step 0", *step, "step 1", *step, "end"]
    assert not loop.modules.student.training


def test_preparing_a_stage_trains_nothing(tmp_path: Path) -> None:
    first, second = training(tmp_path), training(tmp_path)
    assert state(first.loop) == state(second.loop)
    assert not first.loop.curves and not first.loop.optimizer.state and not list(tmp_path.iterdir())
    first.loop.run()
    assert state(first.loop) != state(second.loop)


class Pull(Hook):
    """Pulls every weight to 0."""

    def add_loss(self, loop: Loop, step: int, parts: dict[str, Tensor]) -> Tensor | None:
        parts["pull"] = sum((p.square().sum() for p in loop.trained), torch.zeros(()))
        return 100 * parts["pull"]


def test_the_loss_that_a_hook_adds_is_trained_and_reported(tmp_path: Path) -> None:
    plain, pulled = training(tmp_path), training(tmp_path)
    pulled.loop.hooks.insert(0, Pull())
    sizes = []
    for each in (plain, pulled):
        each.loop.hooks = [hook for hook in each.loop.hooks if not isinstance(hook, Checkpoints)]
        each.loop.run()
        sizes.append(sum(float(p.detach().square().sum()) for p in each.loop.trained))
    assert sizes[1] < sizes[0] and pulled.loop.curves["pull"][-1][1] < pulled.loop.curves["pull"][0][1]
    first, parts = pulled.loop.curves["total"][0][1], (pulled.loop.curves[n][0][1] for n in ("response", "cross-entropy", "pull"))
    response, labels, pull = parts
    assert first == pytest.approx(response + labels + 100 * pull, rel=1e-5)


class Interrupt(Hook):
    def before_step(self, loop: Loop, step: int) -> None:
        if step == 8:
            raise KeyboardInterrupt


def test_an_interrupted_loop_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    whole = training(tmp_path / "whole").loop
    whole.run()
    broken = training(tmp_path / "broken").loop
    broken.hooks.append(Interrupt())
    with pytest.raises(KeyboardInterrupt):
        broken.run()
    with safe_open(str(broken.modules.checkpoint), framework="pt") as file:
        parts = {name.split("/")[0] for name in file.keys()}  # noqa: SIM118
        facts = json.loads(file.metadata()["facts"])
    assert parts == {"objective", "average", "best", "optimizer"}
    assert set(facts) == {"step", "curves", "recipe", "highest", "stale"} and facts["step"] == 5
    resumed = training(tmp_path / "broken").loop
    resumed.run()
    assert resumed.first == 5 and resumed.curves == whole.curves and state(resumed) == state(whole)
    other = training(tmp_path / "broken", optimizer={"lr": 1e-3, "accumulate": 2}).loop
    with pytest.raises(QGraphError, match=r"is of another recipe, data or seed \(changed: recipe\)"):
        other.run()


def test_patience_ends_training_and_keeps_the_best_state(tmp_path: Path) -> None:
    prepared = training(tmp_path, patience=1, steps=60)
    loop = prepared.loop
    evaluation = next(hook for hook in loop.hooks if isinstance(hook, Evaluation))
    scores, states = iter([0.2, 0.5, 0.4]), []

    def score(module: nn.Module) -> float:
        states.append({name: value.clone() for name, value in module.state_dict().items()})
        return next(scores)

    loop.modules.score = score  # type: ignore[assignment, method-assign]
    loop.run()
    assert loop.curves["accuracy"] == [(3, 0.2), (6, 0.5), (9, 0.4)] and evaluation.highest == 0.5
    kept = loop.modules.student.state_dict()
    assert all(torch.equal(kept[name], value) for name, value in states[1].items())
    assert not all(torch.equal(kept[name], value) for name, value in states[2].items())
