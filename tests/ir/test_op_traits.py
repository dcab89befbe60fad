"""Coverage: every op has its forms, each in the file of its family, or a written reason why not."""

from __future__ import annotations

from collections.abc import Mapping

import onnx
import pytest
import qgraph.passes  # noqa: F401  fills the registry of the lowering
from qgraph.passes.lower.registry import RULES

from qgraph.execute.integer.common import DEFINITIONS
from qgraph.execute.torch_ops import TORCH_OPS
from qgraph.ir.axes import AXIS_RULES
from qgraph.ir.integer_ops import INTEGER_OPS, KINDS
from qgraph.ir.op_traits import TRAITS, OpTraits, Trait, ops

Rows = Mapping[tuple[str, str], OpTraits]


def missing(rows: Rows) -> list[str]:
    """What the forms of ops and ``rows`` do not agree on."""
    found = []
    for (domain, op), row in rows.items():
        forms = {
            "an integer form": ((not domain and op in RULES) or Trait.TABLE in row.traits, row.no_integer),
            "a torch form": ((domain, op) in TORCH_OPS, row.no_torch),
            "a rule for pruning": (op in AXIS_RULES or Trait.FROM_SHAPES in row.traits, row.no_axes),
        }
        for form, (exists, reason) in forms.items():
            if exists == bool(reason):
                found.append(f"{op} has {form} and a reason against it" if exists else f"{op} has neither {form} nor a reason")
    for where, registered in (("lowering", RULES), ("torch form", (op for d, op in TORCH_OPS if not d)), ("axes", AXIS_RULES)):
        found += [f"{op} has a {where} and no row" for op in registered if not {("", op), ("qgraph", op)} & set(rows)]
    return found


def test_every_op_has_its_forms_or_a_reason() -> None:
    assert missing(TRAITS) == []


@pytest.mark.parametrize("op", ["Conv", "Gather", "Relu", "Resize", "Softmax"])
def test_a_row_that_is_removed_is_missed(op: str) -> None:
    rows = {key: row for key, row in TRAITS.items() if key != ("", op)}
    assert any(op in line and "no row" in line for line in missing(rows))


def test_a_form_that_is_removed_is_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(RULES, "Pad")
    monkeypatch.delitem(AXIS_RULES, "Concat")
    monkeypatch.delitem(TORCH_OPS, ("", "Softmax"))
    assert missing(TRAITS) == [
        "Softmax has neither a torch form nor a reason",
        "Concat has neither a rule for pruning nor a reason",
        "Pad has neither an integer form nor a reason",
    ]


def test_every_op_of_the_standard_has_a_row() -> None:
    standard = {s.name for s in onnx.defs.get_all_schemas() if s.domain == "" and not s.deprecated}
    assert standard <= {op for domain, op in TRAITS if not domain}


def test_functions_stand_in_the_file_of_their_family() -> None:
    tables = {"lower": {("", op): r.emit for op, r in RULES.items()}, "axes": {("", op): r for op, r in AXIS_RULES.items()}}
    tables["torch_ops"] = {key: form.function for key, form in TORCH_OPS.items()}
    for room, table in tables.items():
        for key, function in table.items():
            module = getattr(function, "__module__", None) or ""
            if module.startswith("qgraph") and f".{room}." in module and key in TRAITS:
                assert module.rsplit(".", 1)[-1] == TRAITS[key].family, (room, key, module)


@pytest.mark.parametrize("op", [op for domain, op in INTEGER_OPS if domain])
def test_every_integer_op_has_a_numpy_definition(op: str) -> None:
    assert op in DEFINITIONS


def test_every_definition_is_of_an_op() -> None:
    assert set(DEFINITIONS) <= set(KINDS)


def test_linear_ops_have_weight_axes() -> None:
    assert {op for op in ops(Trait.LINEAR)} == {r.op_type for r in TRAITS.values() if r.weight_axes is not None}


def test_ops_that_permute_keep_the_number_of_elements() -> None:
    for op in ops(Trait.PERMUTES):
        schema = onnx.defs.get_schema(op)
        assert len(schema.outputs) == 1 and Trait.MOVES in TRAITS["", op].traits


def test_elementwise_ops_broadcast_by_the_standard() -> None:
    """Ops of several inputs of one type: ONNX's own shape inference broadcasts them."""
    for op in sorted(ops(Trait.ELEMENTWISE) & ops(Trait.TABLE)):
        schema = onnx.defs.get_schema(op)
        if len(schema.inputs) != 2 or schema.inputs[1].type_str != schema.inputs[0].type_str or op in ("PRelu", "Shrink"):
            continue
        a, b = (onnx.helper.make_tensor_value_info(n, 1, s) for n, s in (("a", [2, 1, 3]), ("b", [4, 1])))
        y = onnx.helper.make_tensor_value_info("y", 1, None)
        graph = onnx.helper.make_graph([onnx.helper.make_node(op, ["a", "b"], ["y"])], "g", [a, b], [y])
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", onnx.defs.onnx_opset_version())])
        inferred = onnx.shape_inference.infer_shapes(model).graph.output[0].type.tensor_type.shape.dim
        assert [d.dim_value for d in inferred] == [2, 4, 3], op
