"""Sentence encoders: the real MiniLM-L6 and a BERT-base of random weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from qgraph.zoo.sentences import model_folder


class Encoder(nn.Module):
    """A Hugging Face encoder that returns its last hidden state."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        return self.body(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state


def _text_example(module: nn.Module, limit: int) -> tuple[nn.Module, tuple[Tensor, ...], Any]:
    ids = torch.randint(5, 1000, (2, 16))
    dims = {0: torch.export.Dim("batch", max=64), 1: torch.export.Dim("length", min=2, max=limit)}
    return module.eval(), (ids, torch.ones_like(ids)), (dims, dict(dims))


def minilm(pretrained: bool = True) -> tuple[nn.Module, tuple[Tensor, ...], Any]:
    """all-MiniLM-L6-v2 with its real weights, or random ones: 6 layers, 384 wide, 22.6 M parameters."""
    folder = model_folder()
    from transformers import AutoConfig, AutoModel

    body = AutoModel.from_pretrained(folder) if pretrained else AutoModel.from_config(AutoConfig.from_pretrained(folder))
    return _text_example(Encoder(body), 512)


class Block(nn.Module):
    """One post-norm transformer layer (Devlin et al. 2019)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.norm1, self.norm2 = nn.LayerNorm(width, 1e-12), nn.LayerNorm(width, 1e-12)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        batch, length, width = x.shape
        q, k, v = (
            f(x).view(batch, length, self.heads, width // self.heads).transpose(1, 2) for f in (self.query, self.key, self.value)
        )
        mixed = nn.functional.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = self.norm1(x + self.out(mixed.transpose(1, 2).reshape(batch, length, width)))
        return self.norm2(x + self.down(nn.functional.gelu(self.up(x))))


class Bert(nn.Module):
    """An encoder of BERT's shape in plain torch."""

    def __init__(self, vocabulary: int, width: int, layers: int, heads: int, limit: int) -> None:
        super().__init__()
        self.tokens, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(limit, width)
        self.norm = nn.LayerNorm(width, 1e-12)
        self.layers = nn.ModuleList(Block(width, heads) for _ in range(layers))

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        mask = attention_mask[:, None, None, :].bool()
        x = self.tokens(input_ids) + self.positions.weight[: input_ids.shape[1]]
        x = self.norm(x)
        for layer in self.layers:
            x = layer(x, mask)
        return x


def bert_base() -> tuple[nn.Module, tuple[Tensor, ...], Any]:
    """BERT-base's shape (12 layers, 768 wide, 108 M parameters) with random weights."""
    torch.manual_seed(0)
    return _text_example(Bert(30522, 768, 12, 12, 512), 512)
