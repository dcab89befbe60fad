"""Decoders with a cache that stays in the session generate what the exported model generates, token for token."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch
import transformers as tr

from qgraph.capture import from_torch
from qgraph.deploy.onnxruntime import export
from qgraph.deploy.program import compile
from qgraph.deploy.session import Session
from qgraph.workflow import transform
from tests.capture.files import session_of
from tests.models.test_transformers import DECODER, GPT2, WORDS

LENGTH, LAYERS, HEAD = 32, 2, 8
RANDOM = {"initializer_range": 0.5, "tie_word_embeddings": False}
DECODERS: dict[str, tuple[Callable[[], Any], int]] = {
    "gpt2": (lambda: tr.GPT2LMHeadModel(tr.GPT2Config(**{**GPT2, **RANDOM, "n_positions": 64})), 4),
    "llama": (lambda: tr.LlamaForCausalLM(tr.LlamaConfig(**{**DECODER, **RANDOM, "max_position_embeddings": 64})), 2),
}


def captured(module: Any, heads: int) -> ir.Model:
    """One token in, the next one's logits out, a cache of any length."""
    cache = tr.DynamicCache(config=module.config)
    for layer in range(LAYERS):
        cache.update(torch.randn(1, heads, 5, HEAD), torch.randn(1, heads, 5, HEAD), layer)
    past = torch.export.Dim("past", min=1, max=62)
    call = {"input_ids": torch.ones(1, 1, dtype=torch.long), "attention_mask": torch.ones(1, 6, dtype=torch.long)}
    shapes = {"input_ids": {}, "attention_mask": {1: past + 1}, "past_key_values": {2: past}}
    return from_torch(module, {**call, "past_key_values": cache}, dynamic_shapes=shapes)


def caches(model: ir.Model) -> dict[str, str]:
    """Output -> the input that it is in the next step."""
    names = {v.name or "" for v in model.graph.inputs}
    return {o: i for v in model.graph.outputs if (o := v.name or "") and (i := o.replace("present", "past_key_values")) in names}


def feed(model: ir.Model, past: int, token: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    made = {"input_ids": np.array([[token]]), "attention_mask": np.ones((1, past + 1), np.int64)}
    for value in model.graph.inputs[2:]:
        assert value.shape is not None
        made[value.name or ""] = rng.standard_normal((1, int(value.shape[1]), past, HEAD)).astype(np.float32)
    return made


def generated(run: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]], first: dict[str, np.ndarray]) -> list[int]:
    """Tokens, each the likeliest after those before it; ``run`` hands on the caches."""
    tokens, given = [], first
    for step in range(LENGTH):
        tokens.append(int(run(given)["logits"][0, -1].argmax()))
        length = first["attention_mask"].shape[1] + step + 1
        given = {"input_ids": np.array([[tokens[-1]]]), "attention_mask": np.ones((1, length), np.int64)}
    return tokens


@pytest.mark.parametrize("name", DECODERS)
def test_thirty_two_tokens(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    make, heads = DECODERS[name]
    model, rng = captured(make().eval(), heads), np.random.default_rng(0)
    transform(model, preset="int8", data=[feed(model, n, int(rng.integers(WORDS)), rng) for n in (3, 9, 20, 40)], force=True)
    export(model, tmp_path / "model.onnx")
    compile(model, tmp_path / "model.qgp")
    first, pairs = feed(model, 1, 7, rng), caches(model)
    assert len(pairs) == 2 * LAYERS

    peer, held = session_of(tmp_path / "model.onnx", optimize=True), dict[str, np.ndarray]()

    def step(given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        names = [v.name or "" for v in model.graph.outputs]
        found = dict(zip(names, peer.run(None, {**held, **given}), strict=True))
        held.update({into: found[out] for out, into in pairs.items()})
        return found

    wanted = generated(step, first)
    session = Session(tmp_path / "model.qgp")
    for out, into in pairs.items():
        session.bind(out, into)
    assert generated(session.run, first) == wanted
    assert len(set(wanted)) > 4
    assert all(array.shape[2] == LENGTH + 1 for array in session.state().values())
