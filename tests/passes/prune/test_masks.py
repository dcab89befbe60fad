"""Masks: which weights they keep, how they train, and what is left when they are folded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from qgraph.passes.prune import select

from qgraph.analyze import cost
from qgraph.capture import from_factory
from qgraph.deploy.program import compile
from qgraph.deploy.session import Session
from qgraph.errors import QGraphError
from qgraph.execute import from_torch, to_torch
from qgraph.execute.masks import MaskWeight
from qgraph.ir.dialects import dialect_of
from qgraph.ir.patterns import constant, nodes
from qgraph.pipeline import PassContext, Pipeline
from qgraph.train.build import build_graph
from qgraph.train.context import TrainingRun
from qgraph.train.data import make
from qgraph.train.pruning import sparsity_at
from qgraph.train.recipe import Pruning, Stage, load
from qgraph.train.run import train
from qgraph.train.stage import Training, prepare
from tests.conftest import run_onnx

SCORES = st.integers(0, 2**31).map(lambda seed: np.abs(np.random.default_rng(seed).standard_normal((12, 8))))


@settings(deadline=None)
@given(SCORES, SCORES, st.floats(0, 0.97), st.sampled_from(["layer", "global"]))
def test_the_largest_stay(a: np.ndarray, b: np.ndarray, sparsity: float, scope: str) -> None:
    kept = select.largest([a, b * 3], sparsity, scope, 0.0)
    for score, keep in zip((a, b * 3), kept, strict=True):
        assert keep.any() and (keep.all() or score[keep].min() >= score[~keep].max())
    gone = sum(int((~k).sum()) for k in kept)
    assert abs(gone - sparsity * 192) <= 2
    floor = select.largest([a, b * 1000], 0.9, "global", 0.25)
    assert floor[0].sum() >= 24


@settings(deadline=None)
@given(SCORES, st.sampled_from([(2, 4), (1, 4), (3, 4), (1, 2)]), st.sampled_from([0, 1]))
def test_n_of_m_and_blocks(score: np.ndarray, pattern: tuple[int, int], axis: int) -> None:
    n, m = pattern
    keep = np.moveaxis(select.n_of_m(score, n, m, axis), axis, -1).reshape(-1, m)
    assert (keep.sum(1) == n).all()
    values = np.moveaxis(score, axis, -1).reshape(-1, m)
    assert all(v[k].min() >= v[~k].max() for v, k in zip(values, keep, strict=True))
    whole = select.blocks(score, 0.5, (4, 2), (0, 1), 0.0).reshape(3, 4, 4, 2)
    assert np.isin(whole.sum((1, 3)), (0, 8)).all() and whole.mean() == 0.5


def test_masks_train_only_what_they_keep_and_fold_into_zeros(tmp_path: Path) -> None:
    model = from_factory("qgraph.zoo:digits_cnn")
    x = {"input": np.random.default_rng(0).random((8, 1, 8, 8)).astype(np.float32)}
    text = "canonicalize,fold-batchnorm,fuse-bias,prune-magnitude{sparsity=0.8},calibrate,quantize{weights=int4 latent=true}"
    Pipeline(text).run(model, PassContext(data=[x]))
    module = to_torch(model, weights="learned")
    masks = {k: m for k, m in module.named_modules() if isinstance(m, MaskWeight)}
    next(iter(module(torch.from_numpy(x["input"])).values())).square().sum().backward()
    state = dict(module.named_parameters())
    for path, mask in masks.items():
        weight = state[module.meta["names"][module.meta["masks"][path]["weight"]]]
        assert weight.grad is not None and not weight.grad[~mask.mask].any() and weight.grad[mask.mask].any()
        with torch.no_grad():
            weight[~mask.mask] = torch.randn(int((~mask.mask).sum()))  # what is pruned has no effect
    before = next(iter(module(torch.from_numpy(x["input"])).values())).detach().numpy()
    from_torch(module, model)
    np.testing.assert_array_equal(next(iter(to_torch(model)(torch.from_numpy(x["input"])).values())).detach().numpy(), before)
    Pipeline("bake").run(model)
    assert not nodes(model, "Mask", domain="qgraph")
    compile(model, tmp_path / "m.qgp")
    shipped = next(iter(Session(tmp_path / "m.qgp").run(x).values()))
    assert np.abs(shipped - before).max() < 0.02 * np.abs(before).max()
    codes = [constant(v) for n, v in model.graph.initializers.items() if n.endswith(".codes") and len(v.shape or ()) > 1]
    assert 0.79 < np.mean(np.concatenate([c.reshape(-1) == 0 for c in codes if c is not None])) < 0.9


def test_finalizing_removes_channels_that_masks_killed() -> None:
    model = from_factory("qgraph.zoo:digits_cnn")
    Pipeline("canonicalize,fold-batchnorm,fuse-bias").run(model)
    feed = {"input": np.random.default_rng(0).random((4, 1, 8, 8)).astype(np.float32)}
    masked = model.clone()
    Pipeline("prune-magnitude{sparsity=0 exclude=[12.weight]}").run(masked)
    for node in nodes(masked, "Mask", domain="qgraph"):  # whole output channels, their biases too
        mask = node.inputs[1]
        keep = mask.const_value.numpy().copy()  # type: ignore[union-attr]
        dead = np.arange(len(keep)) % 2 == 0
        keep[dead] = False
        mask.const_value = ir.Tensor(keep, name=mask.name)  # type: ignore[union-attr]
        for use in node.outputs[0].uses():
            bias = use.node.inputs[2]
            bias.const_value = ir.Tensor(bias.const_value.numpy() * ~dead, name=bias.name)  # type: ignore[union-attr]
    before = run_onnx(masked, feed)[0]
    Pipeline("finalize-pruning").run(masked)
    assert cost.macs(masked) < 0.7 * cost.macs(model)  # type: ignore[operator]
    np.testing.assert_allclose(run_onnx(masked, feed)[0], before, rtol=1e-4, atol=1e-4)


def test_schedules() -> None:
    cubic = Pruning(sparsity=0.9, until=0.5, every=10)
    assert sparsity_at(cubic, 490, 1000) == pytest.approx(0.9)
    assert sparsity_at(cubic, 240, 1000) == pytest.approx(0.9 - 0.9 * 0.5**3)  # Zhu and Gupta 2017, equation 1
    linear = cubic.model_copy(update={"schedule": "linear"})
    assert sparsity_at(linear, 240, 1000) == pytest.approx(0.45)


def prepared(stage: Stage, run: TrainingRun) -> Training:
    return prepare(stage, run, build_graph(stage, run))


def test_a_student_of_pqk_does_not_depend_on_what_is_pruned(tmp_path: Path) -> None:
    settings = ("stages.pqk.steps=60", "stages.pqk.pqk={start: 0.4, warmup: 0.2}", "stages.teacher.steps=1")
    recipe = load("pqk", settings)
    stage = next(s for s in recipe.stages if s.name == "pqk")
    training = prepared(stage, TrainingRun(recipe, make("modes", {}), tmp_path, 0, torch.device("cpu"), lambda *_: None))
    training.loop.run()
    x = torch.randn(9, 32)
    wanted = next(iter(training.modules.student(x).values()))
    moved = 0
    for mask, weight, _ in training.masks.masks.values():
        moved += int((weight.detach()[~mask.mask] != 0).sum())
        with torch.no_grad():
            weight[~mask.mask] = torch.randn(int((~mask.mask).sum()))
    assert moved and torch.equal(next(iter(training.modules.student(x).values())), wanted)
    full = next(iter(training.full.copy()(x).values()))  # type: ignore[union-attr]
    assert not torch.equal(full, wanted)
    assert [training.full.phase(s, 60) for s in (0, 23, 24, 35, 36, 59)] == ["alone"] * 2 + ["warm-up"] * 2 + ["mutual"] * 2  # type: ignore[union-attr]


def test_pruned_weights_keep_their_values_until_phase_2(tmp_path: Path) -> None:
    recipe = load("pqk", ("stages.phase-1.steps=30", "stages.phase-1.optimizer.weight_decay=0.1"))
    stage = next(s for s in recipe.stages if s.name == "phase-1")
    stage = stage.model_copy(update={"pruning": Pruning(sparsity=0.5, schedule="one-shot", until=0.0, every=1)})
    training = prepared(stage, TrainingRun(recipe, make("modes", {}), tmp_path, 0, torch.device("cpu"), lambda *_: None))
    before = {n: w.detach().clone() for n, (_, w, _) in training.masks.masks.items()}
    training.loop.run()
    for name, (mask, weight, _) in training.masks.masks.items():
        assert torch.equal(weight[~mask.mask], before[name][~mask.mask]) and not torch.equal(weight, before[name])


@pytest.mark.parametrize("kind", ["magnitude", "movement", "nm"])
def test_recipes_prune(kind: str, tmp_path: Path) -> None:
    recipe = Path(__file__).parents[2] / "train" / "recipe.yaml"
    settings = (
        "stages.student.passes=prune-magnitude{sparsity=0 exclude=[0.weight]}",
        f"stages.student.pruning={{kind: {kind}, sparsity: 0.75, n: 1, m: 4}}",
        "stages.student.control=false",
    )
    report = train(load(recipe, settings), tmp_path)
    assert report is not None
    student = report.runs[0][1]
    assert student.curves["sparsity"][-1][1] == pytest.approx(0.75, abs=0.02) and student.measured.scores["graph"] > 0.4


def test_movement_scores_are_the_summed_products_of_weights_and_gradients() -> None:
    """S = -sum over steps of w * dL/dw (Sanh et al. 2020, equation 2), also of pruned weights."""
    torch.manual_seed(0)
    mask = MaskWeight(torch.rand(5, 7) > 0.5).train()
    mask.watch()
    weight = torch.randn(5, 7, requires_grad=True)
    wanted = torch.zeros(5, 7)
    for _ in range(3):
        x, y = torch.randn(4, 7), torch.randn(4, 5)
        torch.nn.functional.mse_loss(x @ mask(weight).T, y).backward()
        free = (weight.detach() * mask.mask).requires_grad_()
        (gradient,) = torch.autograd.grad(torch.nn.functional.mse_loss(x @ free.T, y), free)
        wanted -= weight.detach() * gradient
    torch.testing.assert_close(mask.scores, wanted)


def digits_training(settings: tuple[str, ...], folder: Path) -> Training:
    """The stage ``pqk`` of the recipe, on the images of digits."""
    recipe = load("pqk", settings)
    stage = next(s for s in recipe.stages if s.name == "pqk")
    return prepared(stage, TrainingRun(recipe, make("digits", {"flat": False}), folder, 0, torch.device("cpu"), lambda *_: None))


def test_movement_pass_trains_by_its_own_sparsity(tmp_path: Path) -> None:
    settings = (
        "stages.pqk.student={capture: 'qgraph.zoo:digits_cnn'}",
        "data={source: digits, args: {flat: false}, batch: 32}",
        "stages.pqk.passes=prune-movement{sparsity=0.6}",
        "stages.pqk.pruning=null",
        "stages.pqk.pqk=null",
        "stages.pqk.steps=30",
    )
    training = digits_training(settings, tmp_path)
    training.loop.run()
    masks = [mask.mask for mask, _, _ in training.masks.masks.values()]
    assert 1 - torch.cat([m.reshape(-1) for m in masks]).float().mean() == pytest.approx(0.6, abs=0.02)
    with pytest.raises(QGraphError, match="those of prune-movement"):
        digits_training((*settings[:3], "stages.pqk.pruning={kind: magnitude}", *settings[4:]), tmp_path)


def test_masked_models_are_float_models() -> None:
    model = from_factory("qgraph.zoo:digits_cnn")
    Pipeline("canonicalize,fold-batchnorm,prune-magnitude,prune-channels").run(model, PassContext())
    assert dialect_of(model) == "float" and nodes(model, "Mask", domain="qgraph")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prune-magnitude{sparsity=1}", "would empty every weight"),
        ("prune-nm{n=4 m=4}", "keeps nothing or everything"),
        ("prune-nm{m=5 include=[7.weight]}", "which 5 does not divide"),
        ("prune-block{outputs=7 include=[7.weight]}", "do not divide '7.weight'"),
        ("prune-magnitude{include=[nothing]}", "'nothing' matches no name of the model"),
        ("prune-magnitude{exclude=[*]}", "finds no weights to prune"),
        ("prune-magnitude,prune-nm", "have masks already"),
        ("calibrate,quantize,prune-magnitude", "put it in front of 'quantize'"),
        ("prune-magnitude,calibrate,quantize{latent=true},finalize-pruning", "run 'bake'"),
    ],
)
def test_refusals(text: str, message: str) -> None:
    model = from_factory("qgraph.zoo:digits_cnn")
    context = PassContext(data=[{"input": np.random.default_rng(0).random((4, 1, 8, 8)).astype(np.float32)}])
    with pytest.raises(QGraphError, match=message):
        Pipeline(f"canonicalize,fold-batchnorm,{text}").run(model, context)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (("stages.pqk.passes=calibrate",), "has 'pruning' and no masks"),
        (("stages.pqk.pruning={n: 4}",), "prunes nothing"),
        (("stages.pqk.pruning={kind: nm, m: 5}",), "which 5 does not divide"),
        (("stages.pqk.pruning={sparsty: 0.5}",), "did you mean 'sparsity'"),
    ],
)
def test_bad_recipes(settings: tuple[str, ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(QGraphError, match=message):
        train(load("pqk", settings), tmp_path)


def test_the_full_net_has_batchnorm_statistics_of_its_own(tmp_path: Path) -> None:
    settings = (
        "data={source: digits, args: {flat: false}, batch: 32}",
        "stages.pqk.student={capture: 'qgraph.zoo:digits_cnn'}",
        "stages.pqk.passes=prune-magnitude{sparsity=0}",
        "stages.pqk.steps=10",
        "stages.pqk.pqk={start: 0, warmup: 0.5}",
    )
    training = digits_training(settings, tmp_path)
    assert training.full is not None
    training.loop.run()
    mine = [training.modules.student.get_buffer(p) for p in training.modules.student.meta["statistics"]]
    assert len(mine) == 6
    for a, b in zip(mine, training.full.statistics.buffers(), strict=True):
        assert a.shape == b.shape and not torch.equal(a, b)
