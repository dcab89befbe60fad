"""Names of a captured module's inputs, outputs and dims, and the ways of giving them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx_ir as ir
import pytest
import torch
from torch import Tensor, nn

from qgraph.capture import from_torch
from qgraph.errors import QGraphError
from tests.conftest import run_onnx

BATCH = torch.export.Dim("batch")
X, Z = torch.randn(3, 4), torch.randn(3, 4)


class Calls(nn.Module):
    """A module that returns what a function of its arguments returns."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function = function


class Star(Calls):
    def forward(self, *x: Tensor) -> Any:
        return self.function(*x)


class StarAndKeywords(Calls):
    def forward(self, *x: Tensor, scale: Tensor | None = None, **more: Tensor) -> Any:
        return self.function(*x, **more)


class Two(Calls):
    def forward(self, x: Tensor, y: Tensor) -> Any:
        return self.function(x, y)


def captured(module: nn.Module, args: Any, **options: Any) -> tuple[dict[str, list[Any]], dict[str, np.ndarray]]:
    """Dims of the inputs by name, and outputs by name on the example, which equal torch's."""
    model = from_torch(module, args, **options)
    keywords = options.get("kwargs") or {}
    tensors = [*(args.values() if isinstance(args, dict) else args), *keywords.values()]
    found = run_onnx(model, {v.name or "": t.numpy() for v, t in zip(model.graph.inputs, tensors, strict=True)})
    dims = {v.name or "": [d.value if isinstance(d, ir.SymbolicDim) else d for d in v.shape or ()] for v in model.graph.inputs}
    return dims, {v.name or "": a for v, a in zip(model.graph.outputs, found, strict=True)}


def test_outputs_in_a_dict_are_called_by_its_keys() -> None:
    module = Two(lambda x, y: {"logits": x + y, "hidden": [x - y, None, (x * y,)], "none": None})
    _, outputs = captured(module, (X, Z))
    assert list(outputs) == ["logits", "hidden.0", "hidden.2.0"]
    np.testing.assert_allclose(outputs["hidden.2.0"], X * Z, rtol=1e-6)


def test_outputs_without_a_key_and_keys_that_are_taken_keep_the_names_of_the_exporter() -> None:
    _, outputs = captured(Two(lambda x, y: (x * y, {"x": x + y, "sub": x - y})), (X, Z))
    assert list(outputs) == ["mul", "add", "sub"]
    np.testing.assert_allclose(outputs["sub"], X - Z, rtol=1e-6)


def test_a_key_that_is_the_name_of_an_inner_value() -> None:
    def function(x: Tensor, y: Tensor) -> dict[str, Tensor]:
        inner = x + y  # the exporter calls it add
        return {"mul": inner.relu(), "add": inner * y}

    _, outputs = captured(Two(function), (X, Z))
    assert list(outputs) == ["mul", "add"]
    np.testing.assert_allclose(outputs["add"], (X + Z) * Z, rtol=1e-6)
    np.testing.assert_allclose(outputs["mul"], (X + Z).relu(), rtol=1e-6)


@pytest.mark.parametrize("shapes", [({0: BATCH}, {0: BATCH}), (({0: BATCH}, {0: BATCH}),), {"x": ({0: BATCH}, {0: BATCH})}])
def test_shapes_of_star_arguments_may_be_given_one_by_one(shapes: Any) -> None:
    dims, _ = captured(Star(lambda a, b: a + b), (X, Z), dynamic_shapes=shapes)
    assert dims == {"x_0": ["batch", 4], "x_1": ["batch", 4]}


def test_keyword_arguments_that_only_a_double_star_takes_have_dynamic_dims() -> None:
    module = StarAndKeywords(lambda x, **more: x + more["z"])
    before = module.__dict__.copy()
    for shapes in ({"x": ({0: BATCH},), "z": {0: BATCH}}, {"x": ({0: BATCH},), "more": {"z": {0: BATCH}}}):
        dims, _ = captured(module, (X,), kwargs={"z": Z}, dynamic_shapes=shapes)
        assert dims == {"x_0": ["batch", 4], "z": ["batch", 4]}
    assert module.__dict__.keys() == before.keys()


def test_arguments_without_dynamic_dims_need_no_entry_and_entries_any_order() -> None:
    width = torch.export.Dim("width")
    dims, _ = captured(Two(lambda x, y: x + y.sum()), (X, Z), dynamic_shapes={"y": {0: BATCH}})
    assert dims == {"x": [3, 4], "y": ["batch", 4]}
    dims, _ = captured(Two(lambda x, y: x.sum() + y), (X, Z), dynamic_shapes={"y": {0: BATCH}, "x": {1: width}})
    assert dims == {"x": [3, "width"], "y": ["batch", 4]}


def test_a_dict_of_inputs() -> None:
    dims, outputs = captured(Two(lambda x, y: x - y), {"y": Z, "x": X}, dynamic_shapes={"x": {0: BATCH}, "y": {0: BATCH}})
    assert dims == {"y": ["batch", 4], "x": ["batch", 4]}
    np.testing.assert_allclose(outputs["sub"], X - Z, rtol=1e-6)


class PositionalOnly(Calls):
    def forward(self, x: Tensor, /, **more: Tensor) -> Any:
        return self.function(x, **more)


def test_a_keyword_may_be_called_as_a_parameter_that_has_none() -> None:
    for module in (StarAndKeywords(lambda first, **more: first - more["x"]), PositionalOnly(lambda first, x: first - x)):
        dims, outputs = captured(module, (X,), kwargs={"x": Z})
        assert len(dims) == 2 and dims["x"] == [3, 4]
        np.testing.assert_allclose(outputs["sub"], X - Z, rtol=1e-6)
    shapes = {"x": ({0: BATCH},), "more": {"x": {0: BATCH}}}
    dims, _ = captured(StarAndKeywords(lambda first, **more: first - more["x"]), (X,), kwargs={"x": Z}, dynamic_shapes=shapes)
    assert list(dims.values()) == [["batch", 4], ["batch", 4]]


def test_what_is_returned_twice_or_as_it_came_has_names_of_its_own() -> None:
    def twice(x: Tensor, y: Tensor) -> Any:
        made = x - y
        return made, y, made, {"again": made, "came": x}

    _, outputs = captured(Two(twice), (X, Z))
    assert list(outputs) == ["sub", "y", "sub_copy", "again", "came"]
    for name, wanted in zip(outputs, (X - Z, Z, X - Z, X - Z, X), strict=True):
        np.testing.assert_allclose(outputs[name], wanted, rtol=1e-6)


@pytest.mark.parametrize("value", [3, 0.5, True, "text"])
def test_an_output_that_is_no_tensor_is_refused(value: Any) -> None:
    with pytest.raises(QGraphError, match=f"output 1 of Two is the {type(value).__name__} {value!r}, and a graph has tensors"):
        from_torch(Two(lambda x, y: (x - y, value)), (X, Z))


def test_more_dynamic_shapes_than_inputs_are_refused() -> None:
    with pytest.raises(QGraphError, match="dynamic_shapes has 3 entries for 2 inputs"):
        from_torch(Two(lambda x, y: x - y), (X, Z), dynamic_shapes=({0: BATCH}, {0: BATCH}, {0: BATCH}))


@pytest.mark.parametrize("free", [BATCH, torch.export.Dim.DYNAMIC])
def test_an_example_of_one_element_along_a_free_dim_is_refused(free: Any) -> None:
    with pytest.raises(QGraphError, match="frees axis 0 of 'y', whose example has one element along it"):
        from_torch(Two(lambda x, y: x.sum() + y), (X, Z[:1]), dynamic_shapes={"y": {0: free}})
