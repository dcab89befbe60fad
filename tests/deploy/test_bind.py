"""States that stay in the session: they are what the caller would have fed back."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.parser
import pytest
import torch
import transformers

from qgraph.capture import from_torch
from qgraph.capture.caches import plain
from qgraph.capture.torch_names import leaves
from qgraph.deploy.program import compile
from qgraph.deploy.session import Session
from qgraph.errors import QGraphError
from qgraph.workflow import transform

F32 = np.float32
LAYERS, HEADS, WIDTH, WORDS = 4, 4, 32, 61
ANY = torch.export.Dim.DYNAMIC


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A step of a GPT-2 of four layers, quantized, with keys and values of any length."""
    torch.manual_seed(0)
    special = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = transformers.GPT2Config(vocab_size=WORDS, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS, n_positions=64, **special)
    module = transformers.GPT2LMHeadModel(config).eval()

    def step(length: int) -> dict[str, Any]:
        cache = transformers.DynamicCache(config=config)
        for layer in range(LAYERS):
            key, value = (torch.randn(1, HEADS, length, WIDTH // HEADS) for _ in range(2))
            cache.update(key, value, layer)
        places, mask = torch.full((1, 1), length), torch.ones(1, length + 1, dtype=torch.long)
        ids = torch.randint(3, WORDS, (1, 1))
        return {"input_ids": ids, "attention_mask": mask, "position_ids": places, "past_key_values": cache}

    dims = {"input_ids": None, "attention_mask": {1: ANY}, "position_ids": None, "past_key_values": {2: ANY}}
    model = from_torch(module, step(3), dynamic_shapes=dims)
    names = [v.name or "" for v in model.graph.inputs]
    feeds = [dict(zip(names, (t.numpy() for _, t in leaves(plain(step(n)))), strict=True)) for n in (3, 5, 8)]
    transform(model, preset="int8", data=feeds)
    path = tmp_path_factory.mktemp("decoder") / "gpt2.qgp"
    compile(model, path)
    return path


@pytest.mark.parametrize("threads", [1, 2])
def test_generation_with_bound_caches_is_that_with_fed_ones(decoder: Path, threads: int) -> None:
    bound, fed = Session(decoder, threads=threads), Session(decoder, threads=threads)
    pairs = {o: o.replace("present", "past_key_values") for o in bound.outputs if o.startswith("present")}
    assert len(pairs) == 2 * LAYERS
    for output, input in pairs.items():
        bound.bind(output, input)
    for _ in range(2):
        past, token = {i: np.zeros((1, HEADS, 0, WIDTH // HEADS), F32) for i in pairs.values()}, 5
        for length in range(32):
            step = {"input_ids": np.array([[token]]), "position_ids": np.array([[length]])}
            step["attention_mask"] = np.ones((1, length + 1), np.int64)
            found, wanted = bound.run(step), fed.run(step | past)
            assert list(found) == ["logits"] and found["logits"].tobytes() == wanted["logits"].tobytes()
            past = {i: wanted[o] for o, i in pairs.items()}
            token = int(found["logits"].argmax())
        state = bound.state()
        assert {name: array.tobytes() for name, array in state.items()} == {n: a.tobytes() for n, a in past.items()}
        bound.reset()


@pytest.fixture
def small(tmp_path: Path) -> Path:
    text = (
        "g (float[B, N] x, float[B, P] past, float[B, 3] h, int64[1] n) => (float[B, Q] present, float[B, 3] h2, int64[1] n2) "
        "<float one = {1}, int64[1] two = {2}> { present = Concat<axis = 1>(past, x) h2 = Add(h, one) n2 = Mul(n, two) }"
    )
    onnx.save(onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> {text}'), tmp_path / "m.onnx")
    compile(tmp_path / "m.onnx", tmp_path / "m.qgp")
    return tmp_path / "m.qgp"


@pytest.mark.parametrize("batch", [1, 3])
def test_the_first_run_takes_zeros_unless_an_array_is_given(small: Path, batch: int) -> None:
    session = Session(small)
    for output, input in (("present", "past"), ("h2", "h"), ("n2", "n")):
        session.bind(output, input)
    assert session.state() == {}
    x = np.arange(2 * batch, dtype=F32).reshape(batch, 2)
    assert session.run({"x": x, "n": np.array([3])}) == {}
    assert session.run(x) == {}  # the only input that is needed
    state = session.state()
    np.testing.assert_array_equal(state["past"], np.concatenate([x, x], 1))
    np.testing.assert_array_equal(state["h"], np.full((batch, 3), 2, F32))
    assert state["n"].item() == 12
    session.run({"x": x, "past": x[:, :1], "h": np.zeros((batch, 3), F32)})
    np.testing.assert_array_equal(session.state()["past"], np.concatenate([x[:, :1], x], 1))
    assert session.state()["n"].item() == 24 and session.state()["h"][0, 0] == 1
    session.run({"x": x, "past": x[:, :0]})
    np.testing.assert_array_equal(session.state()["past"], x)
    session.reset()
    assert session.state() == {}


@pytest.mark.parametrize(
    ("output", "input", "said"),
    [
        ("gone", "past", "the program has no output 'gone'; it has present, h2, n2"),
        ("present", "gone", "the program has no input 'gone'; it has x, past, h, n"),
        ("h2", "n", "output 'h2' is float32 and input 'n' int64; only values of one type can be bound"),
        ("h2", "past", "input 'past' is bound to output 'present' already"),
    ],
)
def test_what_cannot_be_bound(small: Path, output: str, input: str, said: str) -> None:
    session = Session(small)
    session.bind("present", "past")
    with pytest.raises(QGraphError) as caught:
        session.bind(output, input)
    assert str(caught.value) == said


def test_a_shape_that_the_input_does_not_take(small: Path) -> None:
    session = Session(small)
    session.bind("present", "h")
    feed = {"x": np.ones((1, 1), F32), "past": np.ones((1, 1), F32), "n": np.array([1])}
    with pytest.raises(QGraphError, match=r"output 'present' has shape \[1, 2\], which input 'h' does not take \(\[-1, 3\]"):
        session.run(feed)


def test_many_steps_take_little_memory(small: Path) -> None:
    session = Session(small)
    session.bind("present", "past")
    x = {"x": np.ones((1, 100), F32), "h": np.zeros((1, 3), F32), "n": np.array([1])}
    for _ in itertools.repeat(None, 200):
        session.run(x)
    assert session.state()["past"].shape == (1, 20000) and session.arena_bytes < 5 * 80000
