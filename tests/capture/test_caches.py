"""Caches of keys and values of transformers come in and go out of a captured module as tensors with names."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import transformers
from torch import nn

from qgraph.capture import from_torch
from qgraph.capture.caches import plain, plain_shapes, rebuilt
from qgraph.capture.torch_names import leaves
from tests.conftest import run_onnx

ANY = torch.export.Dim.DYNAMIC
IDS, MASK, PLACES = {0: ANY}, {0: ANY, 1: ANY}, {0: ANY}
PAST = {0: ANY, 2: ANY}


def llama() -> Any:
    config = transformers.LlamaConfig(
        vocab_size=31, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2
    )
    return transformers.LlamaForCausalLM(config).eval()


def filled(module: Any, heads: int, length: int) -> Any:
    cache = transformers.DynamicCache(config=module.config)
    for layer in range(2):
        cache.update(torch.randn(2, heads, length, 4), torch.randn(2, heads, length, 4), layer)
    return cache


def step(module: Any, length: int) -> dict[str, Any]:
    """The arguments of a decoder's step behind ``length`` tokens, the first of which is padding in the second row."""
    mask = torch.ones(2, length + 1, dtype=torch.long)
    mask[1, 0] = 0
    places = torch.full((2, 1), length)
    ids = torch.randint(0, 31, (2, 1))
    return {"input_ids": ids, "attention_mask": mask, "position_ids": places, "past_key_values": filled(module, 2, length)}


def equals_torch(module: nn.Module, arguments: dict[str, Any], model: Any) -> None:
    feed = {v.name: t.numpy() for v, (_, t) in zip(model.graph.inputs, leaves(plain(arguments)), strict=True)}
    found = run_onnx(model, feed)
    with torch.no_grad():
        wanted = [t.numpy() for _, t in leaves(plain(dict(module(**arguments))))]  # the last: a step changes the cache
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_a_step_of_a_decoder_at_other_lengths() -> None:
    module = llama()
    dims = {"input_ids": IDS, "attention_mask": MASK, "position_ids": PLACES, "past_key_values": PAST}
    model = from_torch(module, step(module, 3), dynamic_shapes=dims)
    tensors = [f"{i}.{side}" for i in range(2) for side in ("key", "value")]
    assert [v.name for v in model.graph.inputs][3:] == [f"past_key_values.{t}" for t in tensors]
    assert [v.name for v in model.graph.outputs] == ["logits", *(f"present.{t}" for t in tensors)]
    assert "forward" not in module.__dict__
    equals_torch(module, step(module, 3), model)
    equals_torch(module, step(module, 9), model)


def test_a_cache_that_only_goes_out() -> None:
    module, ids = llama(), torch.randint(0, 31, (2, 5))
    model = from_torch(module, {"input_ids": ids})
    assert [v.name for v in model.graph.outputs][:2] == ["logits", "present.0.key"]
    equals_torch(module, {"input_ids": ids}, model)


def test_a_decoder_with_a_cache_of_its_encoder() -> None:
    config = transformers.WhisperConfig(
        vocab_size=31, num_mel_bins=4, d_model=16, encoder_layers=1, decoder_layers=2, encoder_attention_heads=4,
        decoder_attention_heads=4, encoder_ffn_dim=16, decoder_ffn_dim=16, max_source_positions=6, max_target_positions=8,
        pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
    )  # fmt: skip
    module = transformers.WhisperForConditionalGeneration(config).eval()
    own, encoder = filled(module, 4, 3), filled(module, 4, 6)
    arguments = {
        "decoder_input_ids": torch.randint(3, 31, (2, 1)),
        "encoder_outputs": (torch.randn(2, 6, 16),),
        "past_key_values": transformers.EncoderDecoderCache(own, encoder),
    }
    model = from_torch(module, arguments)
    assert model.graph.inputs[2].name == "past_key_values.0.decoder.key"
    assert [v.name for v in model.graph.outputs][:3] == ["logits", "present.0.decoder.key", "present.0.decoder.value"]
    equals_torch(module, arguments, model)


def test_dynamic_dims_of_a_cache_may_be_given_as_transformers_has_them() -> None:
    keys, values, cache = {2: "k"}, {2: "v"}, filled(llama(), 2, 3)
    for given in ([[keys] * 2, [values] * 2], [(keys, values), (keys, values)]):
        made = plain_shapes({"c": cache}, {"c": given})["c"]
        assert [set(layer) for layer in made] == [{"key", "value"}] * 2
    assert plain_shapes(cache, [[keys] * 2, [values] * 2]) == [{"key": keys, "value": values}] * 2
    assert plain_shapes(cache, keys) == [{"key": keys, "value": keys}] * 2
    assert plain_shapes(cache, None) == [{"key": None, "value": None}] * 2


def test_the_plain_form_and_back() -> None:
    cache = filled(llama(), 2, 3)
    nested = {"a": [cache, 1], "b": None}
    there = plain(nested)
    assert [name for name, _ in leaves(there)] == [f"a.0.{i}.{side}" for i in range(2) for side in ("key", "value")]
    back = rebuilt(nested, there)
    assert type(back["a"][0]) is type(cache) and back["a"][0] is not cache
    assert back["a"][0].layers[1].values is cache.layers[1].values
    untouched = {"x": (torch.ones(1), [torch.ones(2)])}
    assert plain(untouched) is untouched
