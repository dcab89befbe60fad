"""The integer arithmetic as a torch module: what the program computes, bit for bit, where it can be looked into."""

from __future__ import annotations

import onnx_ir as ir
import torch
from torch import Tensor, nn

from qgraph.errors import QGraphError
from qgraph.execute.integer import evaluate
from qgraph.execute.tensors import array_of
from qgraph.ir.dialects import dialect_of
from qgraph.pipeline import Pipeline


class ExactGraph(nn.Module):
    """Runs a quantized model in integers, by the written definition of every op (slow, without gradients).

    Called like the module of ``to_torch``; returns the same dict of outputs. ``values`` has every value of the last call, by its
    name in the integer dialect.
    """

    def __init__(self, model: ir.Model) -> None:
        super().__init__()
        dialect = dialect_of(model)
        if dialect == "float":
            raise QGraphError("a float model has no integer arithmetic; quantize it first")
        self.model = model.clone()
        if dialect == "quantized":
            Pipeline("bake,lower").run(self.model)
        self.values: dict[str, Tensor] = {}

    def forward(self, *inputs: Tensor) -> dict[str, Tensor]:
        names = [v.name or "" for v in self.model.graph.inputs]
        if len(inputs) != len(names):
            raise QGraphError(f"the graph takes {len(names)} inputs ({', '.join(names)}), {len(inputs)} were given")
        found = evaluate(self.model, {name: array_of(x) for name, x in zip(names, inputs, strict=True)})
        self.values = {name: torch.as_tensor(array.copy()) for name, array in found.items() if array.dtype.name in TYPES}
        return {v.name or "": self.values[v.name or ""] for v in self.model.graph.outputs}


TYPES = {"float32", "int64", "int32", "int16", "int8", "uint8", "bool"}
