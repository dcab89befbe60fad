"""Twelve architectures of the transformers package, small and with random weights, from files of torch's exporter and captured.

What a query without a key gives differs in both (``qgraph.capture.masked_rows``): files see no prompt that is padded on the left.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch
import transformers as tr
from torch import Tensor, nn

from qgraph.capture import from_onnx, from_torch
from qgraph.capture.caches import plain, rebuilt
from qgraph.capture.torch_names import leaves
from qgraph.deploy.onnxruntime import export
from qgraph.deploy.program import compile
from qgraph.deploy.session import Session
from qgraph.execute import to_torch
from qgraph.workflow import transform
from tests.capture.files import session_of, sqnr
from tests.conftest import run_onnx

WORDS, WIDTH = 61, 32
SIZES = {"hidden_size": WIDTH, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
TEXT = {**SIZES, "vocab_size": WORDS}
PICTURE = {**SIZES, "image_size": 16, "patch_size": 4}
SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
DECODER = {**TEXT, **SPECIAL, "num_key_value_heads": 2, "max_position_embeddings": 32}
WHISPER = {
    **SPECIAL, "vocab_size": WORDS, "num_mel_bins": 8, "d_model": WIDTH, "encoder_layers": 2, "decoder_layers": 2,
    "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64,
    "max_source_positions": 12, "max_target_positions": 16, "decoder_start_token_id": 1,
}  # fmt: skip
Call = dict[str, Any]


def ids(length: int = 7) -> Tensor:
    return torch.randint(3, WORDS, (2, length))


def mask(length: int = 7, *, left: bool = False) -> Tensor:
    """The second text is two tokens shorter."""
    made = torch.ones(2, length, dtype=torch.long)
    made[1, slice(2) if left else slice(-2, None)] = 0
    return made


def text() -> Call:
    return {"input_ids": ids(), "attention_mask": mask()}


def pictures() -> Call:
    return {"pixel_values": torch.randn(2, 3, 16, 16)}


def cache(module: Any, heads: int, length: int) -> Any:
    made = tr.DynamicCache(config=module.config)
    for layer in range(2):
        made.update(torch.randn(2, heads, length, 8), torch.randn(2, heads, length, 8), layer)
    return made


def prompt(module: Any) -> Call:
    return {"input_ids": ids(), "attention_mask": mask(left=True)}


def step(module: Any) -> Call:
    return {"input_ids": ids(1), "attention_mask": mask(5, left=True), "past_key_values": cache(module, 2, 4)}


def whisper_step(module: Any) -> Call:
    return {"decoder_input_ids": ids(4), "encoder_outputs": (torch.randn(2, 12, WIDTH),)}


def whisper_next(module: Any) -> Call:
    past = tr.EncoderDecoderCache(cache(module, 4, 3), cache(module, 4, 12))
    return {"decoder_input_ids": ids(1), "encoder_outputs": (torch.randn(2, 12, WIDTH),), "past_key_values": past}


def clip() -> nn.Module:
    config = tr.CLIPConfig(
        text_config={**TEXT, **SPECIAL, "max_position_embeddings": 16}, vision_config=PICTURE, projection_dim=16
    )
    return tr.CLIPModel(config)


@dataclasses.dataclass(frozen=True)
class Architecture:
    """
    Attributes:
        module, call: make the module, and the arguments of a call of it.
        int8, dynamic: least SQNR in dB of an output of the presets int8 and int8-dynamic.
    """

    module: Callable[[], Any]
    call: Callable[[Any], Call]
    int8: float
    dynamic: float


T5 = {"vocab_size": WORDS, "d_model": WIDTH, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
GPT2 = {"vocab_size": WORDS, "n_embd": WIDTH, "n_layer": 2, "n_head": 4, "n_positions": 32, **SPECIAL}
DISTIL = {"vocab_size": WORDS, "dim": WIDTH, "hidden_dim": 64, "n_layers": 2, "n_heads": 4}
ROBERTA = {**TEXT, "max_position_embeddings": 32, "pad_token_id": 1}
ARCHITECTURES = {
    "bert": Architecture(lambda: tr.BertModel(tr.BertConfig(**TEXT)), lambda _: text(), 34, 36),
    "distilbert": Architecture(lambda: tr.DistilBertModel(tr.DistilBertConfig(**DISTIL)), lambda _: text(), 34, 32),
    "roberta": Architecture(lambda: tr.RobertaModel(tr.RobertaConfig(**ROBERTA)), lambda _: text(), 34, 36),
    "vit": Architecture(lambda: tr.ViTForImageClassification(tr.ViTConfig(**PICTURE)), lambda _: pictures(), 28, 20),
    "whisper encoder": Architecture(
        lambda: tr.WhisperModel(tr.WhisperConfig(**WHISPER)).encoder,
        lambda _: {"input_features": torch.randn(2, 8, 24)}, 50, 50,
    ),
    "whisper decoder": Architecture(
        lambda: tr.WhisperForConditionalGeneration(tr.WhisperConfig(**WHISPER)), whisper_step, 34, 34
    ),
    "whisper decoder with a cache": Architecture(
        lambda: tr.WhisperForConditionalGeneration(tr.WhisperConfig(**WHISPER)), whisper_next, 34, 34
    ),
    "t5 encoder": Architecture(lambda: tr.T5EncoderModel(tr.T5Config(**T5)), lambda _: text(), 32, 32),
    "gpt2": Architecture(lambda: tr.GPT2LMHeadModel(tr.GPT2Config(**GPT2)), lambda _: {"input_ids": ids()}, 34, 34),
    "llama": Architecture(lambda: tr.LlamaForCausalLM(tr.LlamaConfig(**DECODER)), prompt, 30, 34),
    "llama with a cache": Architecture(lambda: tr.LlamaForCausalLM(tr.LlamaConfig(**DECODER)), step, 32, 34),
    "qwen2": Architecture(lambda: tr.Qwen2ForCausalLM(tr.Qwen2Config(**DECODER)), prompt, 30, 34),
    "qwen2 with a cache": Architecture(lambda: tr.Qwen2ForCausalLM(tr.Qwen2Config(**DECODER)), step, 32, 34),
    "clip": Architecture(clip, lambda _: {**text(), **pictures()}, 13, 20),
}  # fmt: skip


class Plain(nn.Module):
    """A module whose caches are lists of tensors, which torch's own exporter needs."""

    def __init__(self, module: nn.Module, call: Call) -> None:
        super().__init__()
        self.module, self.call = module, call

    def forward(self, **named: Any) -> Any:
        return plain(dict(self.module(**{k: rebuilt(self.call[k], v) for k, v in named.items()})))


def tensors(value: Mapping[str, Any]) -> list[np.ndarray]:
    return [t.numpy() for _, t in leaves(plain(dict(value)))]


@pytest.fixture(scope="module", params=ARCHITECTURES)
def built(request: pytest.FixtureRequest) -> tuple[Architecture, Any, list[Call]]:
    """An architecture, its module, and calls."""
    torch.manual_seed(0)
    row = ARCHITECTURES[request.param]
    module = row.module().eval()
    return row, module, [row.call(module) for _ in range(3)]


def outputs(module: nn.Module, call: Call) -> list[np.ndarray]:
    with torch.no_grad():
        return tensors(module(**copy.deepcopy(call)))  # a call changes its cache


def feeds_of(model: ir.Model, calls: list[Call]) -> list[dict[str, np.ndarray]]:
    names = [v.name or "" for v in model.graph.inputs]
    return [dict(zip(names, tensors(call), strict=True)) for call in calls]


def least(wanted: list[np.ndarray], found: list[np.ndarray]) -> float:
    return min(sqnr(a, b) for a, b in zip(wanted, found, strict=True))


def deploy(model: ir.Model, row: Architecture, feeds: list[dict[str, np.ndarray]], wanted: list[np.ndarray], path: Path) -> None:
    """Quantize to int8, export and compile; both engines give what was wanted, the program its graph's bits."""
    transform(model, preset="int8", data=feeds)
    export(model, path / "ort.onnx")
    assert least(wanted, session_of(path / "ort.onnx", optimize=True).run(None, feeds[0])) > row.int8
    compile(model, path / "p.qgp")
    program = Session(path / "p.qgp").run(feeds[0])
    assert list(program) == [v.name for v in model.graph.outputs]
    assert least(wanted, list(program.values())) > row.int8
    exact = to_torch(model, exact=True)(*[torch.from_numpy(feeds[0][v.name or ""]) for v in model.graph.inputs])
    for name, array in program.items():
        assert exact[name].numpy().tobytes() == array.tobytes(), name


def test_captured(built: tuple[Architecture, Any, list[Call]], tmp_path: Path) -> None:
    row, module, calls = built
    model, wanted = from_torch(module, calls[0]), outputs(module, calls[0])
    feeds = feeds_of(model, calls)
    assert least(wanted, run_onnx(model, feeds[0])) > 100
    dynamic = model.clone()
    transform(dynamic, preset="int8-dynamic")
    export(dynamic, tmp_path / "dynamic.onnx")
    assert least(wanted, session_of(tmp_path / "dynamic.onnx", optimize=True).run(None, feeds[0])) > row.dynamic
    deploy(model, row, feeds, wanted, tmp_path)


def test_from_a_file_of_torch(built: tuple[Architecture, Any, list[Call]], tmp_path: Path) -> None:
    row, module, calls = built
    calls = [{**c, "attention_mask": torch.ones_like(c["attention_mask"])} if row.call in (prompt, step) else c for c in calls]
    wanted = outputs(module, calls[0])
    module.requires_grad_(False)  # or its exporter fails on T5
    torch.onnx.export(Plain(module, calls[0]), (), tmp_path / "model.onnx", kwargs=plain(calls[0]), dynamo=True, verbose=False)
    assert (tmp_path / "model.onnx.data").exists()
    model = from_onnx(tmp_path / "model.onnx")
    feeds = feeds_of(model, calls)
    assert least(wanted, run_onnx(model, feeds[0])) > 100
    deploy(model, row, feeds, wanted, tmp_path)
