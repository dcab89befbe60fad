"""Capture of torch modules: torch's numbers, memory of its own, and refusals that say whose mistake it is."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import nn

from qgraph.capture import from_torch
from qgraph.capture.onnx_file import REMARK
from qgraph.errors import QGraphError
from tests.conftest import run_onnx


def assert_equals_torch(module: nn.Module, *args: torch.Tensor, tolerance: float = 1e-5) -> ir.Model:
    """Capture, run in ONNX Runtime and compare with the module; returns the captured model."""
    model = from_torch(module, args)
    made = module.eval()(*args)
    wanted = [made] if isinstance(made, torch.Tensor) else list(made)
    found = run_onnx(model, {v.name or "": t.numpy() for v, t in zip(model.graph.inputs, args, strict=True)})
    for got, expected in zip(found, wanted, strict=True):
        np.testing.assert_allclose(got, expected.detach().numpy(), rtol=tolerance, atol=tolerance)
    return model


class Calls(nn.Module):
    """A module whose forward is a function of its linear layer and its inputs."""

    def __init__(self, function: Any, inputs: int = 8, outputs: int = 8) -> None:
        super().__init__()
        self.function, self.linear = function, nn.Linear(inputs, outputs)

    def forward(self, *args: torch.Tensor) -> Any:
        return self.function(self.linear, *args)


class Counts(nn.Module):
    """A module whose forward changes one of its buffers."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.tensor(3.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.count += 1
        return x * self.count


def test_steps_of_the_module_leave_the_graph_alone() -> None:
    module, x = nn.Linear(8, 4), torch.randn(3, 8)
    model = from_torch(module, (x,))
    before = run_onnx(model, {"input": x.numpy()})[0]
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(2)
    np.testing.assert_array_equal(run_onnx(model, {"input": x.numpy()})[0], before)


def test_a_changed_buffer_keeps_its_value_and_is_named() -> None:
    module, x = Counts(), torch.ones(2, 3)
    model = assert_equals_torch(module, x)
    assert model.metadata_props[REMARK] == (
        "forward changes the buffers 'count'; the graph starts every run from their values at the capture"
    )


def test_a_tensor_alone_is_one_input() -> None:
    x = torch.randn(4, 8)
    for args, shapes in [(x, None), (x, {0: torch.export.Dim("batch")}), ((x,), ({0: torch.export.Dim("batch")},))]:
        model = from_torch(nn.Linear(8, 3), args, dynamic_shapes=shapes)  # type: ignore[arg-type]
        assert [list(v.shape or ()) for v in model.graph.inputs] == [[4 if shapes is None else ir.SymbolicDim("batch"), 8]]


def test_a_half_module_computes_as_torch() -> None:
    module = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3)).half()
    model = assert_equals_torch(module, torch.randn(4, 8).half(), tolerance=2e-3)
    assert {v.dtype for v in (*model.graph.inputs, *model.graph.outputs)} == {ir.DataType.FLOAT16}


def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(QGraphError, match=r"a torch.nn.Module is captured, not function; wrap the function in a module"):
        from_torch(lambda x: x, (torch.ones(2),))


class Flow(nn.Module):
    """Python control flow on the data."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.relu() if x.sum() > 0 else -x


class ToNumPy(nn.Module):
    """Leaves torch."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(x.numpy().cumsum(0))


def refusal(module: nn.Module, *args: Any, **options: Any) -> str:
    with pytest.raises(QGraphError) as caught:
        from_torch(module, args, **options)
    return str(caught.value)


def test_a_mistake_of_the_module_or_its_inputs_is_called_theirs() -> None:
    x, linear = torch.randn(4, 8), nn.Linear(5, 3)
    assert refusal(linear, x).startswith(
        "Linear itself fails with these example inputs: RuntimeError: mat1 and mat2 shapes cannot be multiplied (4x8 and 5x3)"
    )
    missing = refusal(Calls(lambda linear, x: linear.gone(x)), x)
    assert "Calls itself fails" in missing and "has no attribute 'gone'" in missing and f"{__file__}:" in missing
    assert "TypeError" in refusal(nn.Linear(8, 3), x, x)


def test_a_failed_capture_leaves_buffers_and_mode() -> None:
    module = nn.Sequential(Counts(), Flow()).train()
    assert "data-dependent" in refusal(module, torch.ones(2, 3))
    assert module.training and float(module[0].count) == 3  # type: ignore[arg-type]


def test_the_suggestion_of_torch_is_passed_on() -> None:
    batch, other = torch.export.Dim("batch", max=64), torch.export.Dim("other", max=64)
    fixed = refusal(Calls(lambda linear, x: linear(x.reshape(4, 8))), torch.randn(4, 8), dynamic_shapes=(({0: batch},),))
    assert "torch suggests: batch = 4" in fixed and "TORCH_LOGS" not in fixed
    x = torch.randn(4, 8)
    equal = refusal(Calls(lambda linear, x, y: linear(x) + y), x, x + 1, dynamic_shapes=(({0: batch}, {0: other}),))
    assert "must always be equal" in equal and "other = batch" in equal


def test_what_the_exporter_lacks_is_named_with_its_line() -> None:
    text = refusal(ToNumPy(), torch.randn(4, 8))
    assert "cannot capture ToNumPy: .numpy() is not supported" in text and f"{__file__}:" in text
    assert "_linalg_eigh" in refusal(Calls(lambda linear, x: torch.linalg.eigh(x[:4, :4])[0]), torch.randn(4, 8))


def test_a_module_without_data_is_refused() -> None:
    with pytest.raises(QGraphError, match=r"'weight' of Linear lies on the meta device, which holds no data"):
        from_torch(nn.Linear(2, 3, device="meta"), (torch.randn(1, 2, device="meta"),))


def test_an_axis_that_an_input_does_not_have_is_refused() -> None:
    with pytest.raises(QGraphError, match=r"dynamic_shapes names axis 7 of input 0, which has 2 dims"):
        from_torch(nn.Linear(2, 3), (torch.randn(1, 2),), dynamic_shapes=({7: torch.export.Dim("n")},))


def test_modules_that_torch_made_are_taken_or_named() -> None:
    linear, x = nn.Linear(8, 3).eval(), torch.randn(4, 8)
    program = torch.export.export(linear, (x,))
    assert_equals_torch(torch.compile(linear), x)  # type: ignore[arg-type]
    model, wanted = from_torch(program.module(), (x,)), linear(x).detach().numpy()
    np.testing.assert_allclose(run_onnx(model, {model.graph.inputs[0].name or "": x.numpy()})[0], wanted, rtol=1e-5, atol=1e-5)
    assert "not ExportedProgram; give its module()" in refusal(program, x)  # type: ignore[arg-type]
    assert "is a ScriptModule" in refusal(torch.jit.trace(linear, x), x)
    quantized = torch.ao.quantization.quantize_dynamic(nn.Sequential(linear), {nn.Linear})
    assert "'0' of Sequential is quantized by torch already; capture the float module" in refusal(quantized, x)


def test_example_inputs_of_another_form_are_refused() -> None:
    for given in (None, 3, "text"):
        with pytest.raises(QGraphError, match=r"example inputs are a tensor, a tuple or list of what Linear takes"):
            from_torch(nn.Linear(8, 3), given)  # type: ignore[arg-type]


@dataclasses.dataclass
class Pair:
    first: torch.Tensor
    second: torch.Tensor


def test_a_class_that_torch_does_not_know_is_refused_with_what_to_do() -> None:
    x = torch.randn(4, 8)
    for text in (refusal(Calls(lambda linear, x: Pair(x, x)), x), refusal(Calls(lambda linear, p: p.first), Pair(x, x))):
        assert text.endswith("or make the class known with torch.export.register_dataclass") and "tests.capture" in text


def test_relative_positions_that_are_trained_go_through_fused_attention() -> None:
    def attend(linear: nn.Linear, x: torch.Tensor) -> torch.Tensor:
        heads = linear(x).view(2, 5, 2, 4).transpose(1, 2)
        bias = linear.weight[:5, :5]
        out = nn.functional.scaled_dot_product_attention(heads, heads, heads, attn_mask=bias)
        return out.transpose(1, 2).reshape(2, 5, 8)  # no copy without gradients, one with

    module = Calls(attend)
    assert_equals_torch(module, torch.randn(2, 5, 8))
    assert all(p.requires_grad for p in module.parameters())


def test_a_recurrent_layer_that_onnx_has_not_is_refused() -> None:
    text = refusal(nn.LSTM(8, 6, proj_size=3), torch.randn(4, 2, 8))
    assert "an LSTM of LSTM has a proj_size, which ONNX's has not" in text and "put a Linear behind" in text


class Attends(nn.Module):
    """Attention without heads."""

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return nn.functional.scaled_dot_product_attention(x, x, x, attn_mask=mask)


@pytest.mark.parametrize("mask", [torch.ones(5, 5).tril().bool(), torch.randn(2, 5, 5)])
def test_attention_without_heads(mask: torch.Tensor) -> None:
    model = assert_equals_torch(Attends(), torch.randn(2, 5, 8), mask)
    assert list(model.graph.outputs[0].shape or ()) == [2, 5, 8]
    text = refusal(Attends(), torch.randn(2, 1, 1, 5, 8), torch.ones(5, 5))
    assert "of Attends has 5 dims, of which the exporter takes 3 or 4" in text and f"{__file__}:" in text


class Writes(nn.Module):
    """A cache that is written in place."""

    def forward(self, x: torch.Tensor, cache: torch.Tensor) -> torch.Tensor:
        return cache.index_copy_(0, torch.tensor([1]), x).sum(0)


def test_an_input_that_forward_changes_is_named() -> None:
    model = from_torch(Writes(), (torch.ones(1, 3), torch.zeros(4, 3)))
    assert model.metadata_props[REMARK] == (
        "forward changes the inputs 'cache' in place, and the graph does not; return them to have what they become"
    )
    found = run_onnx(model, {"x": np.ones((1, 3), np.float32), "cache": np.zeros((4, 3), np.float32)})
    np.testing.assert_array_equal(found[0], [1, 1, 1])
