"""What is wrong with a model as it was read: put right where its meaning is clear, else one sentence."""

from __future__ import annotations

import collections
import contextlib
from collections.abc import Callable, Iterator

import onnx
import onnx_ir as ir

from qgraph.errors import QGraphError
from qgraph.ir.scopes import where

ALIAS = "ai.onnx"
"""The other spelling of ONNX's default domain."""
MAX_RANK = 64
"""Dims that no value has."""
LONGEST = 300
"""Characters of a message of onnx that are passed on."""
SHOWN = 60
"""Bytes of a name that is no text that are shown."""
FREE = ("", "?", "-1", "None")
"""What exporters write for a dim that is not known."""


def put_right(model: ir.Model, file: str) -> None:
    """Bring ``model``, in place, into the form that every reader expects; ``file`` names it in errors.

    The default domain is spelled ``""``, nodes stand in topological order, dims that exporters declare as ``?``, -1 or, of an
    input or output, 0 are unknown.

    Raises:
        QGraphError: nodes in a circle, values that nothing makes, two inputs of one name, names that are no text.
    """
    _default_domain(model, file)
    _names(model, file)
    _schemas(model, file)
    _order(model, file)
    for value in [*model.graph.inputs, *model.graph.outputs, *(v for n in model.graph for v in n.outputs)]:
        _free_dims(value)


def fault_of(proto: onnx.ModelProto) -> str:
    """Which value of a main graph has two origins, as a phrase; empty where none has."""
    made: dict[str, str] = {}
    for name, origin in _origins(proto.graph):
        if name in made and {made[name], origin} != {"a graph input", "an initializer"}:
            return f"the value {name!r} has two origins, {made[name]} and {origin}; rename one of them"
        made[name] = origin
    return ""


def twice(proto: onnx.ModelProto) -> str:
    """Which initializer of a main graph is there twice, as a phrase; empty where none is."""
    names = collections.Counter(tensor.name for tensor in proto.graph.initializer)
    name = next((name for name, count in names.items() if count > 1), None)
    return "" if name is None else f"two initializers are called {name!r}; leave out or rename one of them"


def _origins(graph: onnx.GraphProto) -> Iterator[tuple[str, str]]:
    yield from ((value.name, "a graph input") for value in graph.input)
    yield from ((tensor.name, "an initializer") for tensor in graph.initializer)
    for node in graph.node:
        yield from ((name, f"the {node.op_type} node {node.name!r}") for name in node.output if name)


def _default_domain(model: ir.Model, file: str) -> None:
    imports = model.graph.opset_imports
    if ALIAS not in imports:
        return
    version = imports.pop(ALIAS)
    if imports.setdefault("", version) != version:
        raise QGraphError(
            f"cannot read {file}: it imports the opsets {imports['']} and {version} of ONNX at once; export it again"
        )


def _names(model: ir.Model, file: str) -> None:
    graph = model.graph
    for name in _words(model):
        if isinstance(name, bytes):
            shown = f"{name[:SHOWN]!r}" + "..." * (len(name) > SHOWN)
            raise QGraphError(f"cannot read {file}: the name {shown} is no UTF-8 text; rename it and export again")
    for what, values in (("inputs", graph.inputs), ("outputs", graph.outputs)):
        names = collections.Counter(value.name for value in values)
        for name, count in names.items():
            if count > 1:
                raise QGraphError(f"cannot read {file}: two graph {what} are called {name!r}; rename one of them")
            if not name:
                raise QGraphError(f"cannot read {file}: one of the graph {what} has no name; export it again")
    for value in graph.inputs:
        if value.type is None or value.dtype == ir.DataType.UNDEFINED:
            raise QGraphError(f"cannot read {file}: the graph input {value.name!r} has no type; export it again")


def _words(model: ir.Model) -> Iterator[str | None]:
    """Every text of a model that is written again when it is saved."""
    yield from (model.producer_name, model.producer_version, model.domain, model.doc_string)
    yield from (word for item in model.metadata_props.items() for word in item)
    for graph in model.graphs():
        yield from (graph.name, graph.doc_string, *graph.opset_imports)
        values = [*graph.inputs, *graph.initializers.values(), *(v for n in graph for v in n.outputs)]
        for value in values:
            yield from (value.name, value.doc_string, *(d.value for d in value.shape or () if isinstance(d, ir.SymbolicDim)))
        for node in graph:
            yield from (node.name, node.op_type, node.domain, node.overload, node.doc_string, *node.attributes)
            yield from (word for item in node.metadata_props.items() for word in item)


def _schemas(model: ir.Model, file: str) -> None:
    """Compare every node of the standard with what ONNX says that it has: inputs, outputs and types of attributes."""
    version = model.graph.opset_imports.get("", 0)
    for node in model.graph.all_nodes():
        if not version and node.domain in ("", ALIAS):
            raise QGraphError(f"cannot read {file}: it has ops of ONNX and imports no ONNX opset; export it again")
        if node.domain in ("", ALIAS):
            known = min(version, onnx.defs.onnx_opset_version())  # the capture refuses what is newer
            try:
                schema = onnx.defs.get_schema(node.op_type, max_inclusive_version=known, domain="")
            except onnx.defs.SchemaError:
                continue  # who reads the model says which op it does not know
            if fault := _unlike(node, schema):
                raise QGraphError(f"cannot read {file}: {where(node)} {fault}, unlike ONNX's {node.op_type}; export it again")


def _unlike(node: ir.Node, schema: onnx.defs.OpSchema) -> str:
    """In what ``node`` is no instance of its op, as a phrase; empty where it is one."""
    for what, have, least, most in (
        ("input", node.inputs, schema.min_input, schema.max_input),
        ("output", node.outputs, schema.min_output, schema.max_output),
    ):
        count = len(have)
        while count and (have[count - 1] is None or not have[count - 1].name):  # type: ignore[union-attr]
            count -= 1  # those at the end that are left out
        if not least <= count <= most:
            return f"has {count} {what}{'s' * (count != 1)}"
    for place, option in enumerate(schema.inputs[: len(node.inputs)]):
        if option.option == onnx.defs.OpSchema.FormalParameterOption.Single and node.inputs[place] is None:
            return f"lacks its input {option.name!r}"
    if schema.name == "Constant" and (len(node.attributes) != 1 or not schema.attributes.keys() >= node.attributes.keys()):
        return f"has the attributes {', '.join(node.attributes) or 'of no name'}"
    if axis := _outside(node):
        return axis
    for name, wanted in schema.attributes.items():
        attribute = node.attributes.get(name)
        if attribute is None:
            if wanted.required:
                return f"lacks the attribute {name!r}"
        elif int(attribute.type) != wanted.type.value:  # type: ignore[attr-defined]
            return f"has an attribute {name!r} of another type"
        elif isinstance(attribute.value, bytes):
            return f"has an attribute {name!r} that is no UTF-8 text"
    return ""


def _outside(node: ir.Node) -> str:
    """An axis that the node's first input cannot have, as a phrase; empty where there is none."""
    x = node.inputs[0] if node.inputs else None
    sure = x is not None and (x.is_graph_input() or x.is_initializer())  # files may lie about the shapes of other values
    shape = x.shape if x is not None and sure else None
    most = len(shape) + 1 if shape is not None else MAX_RANK  # Unsqueeze and Flatten count one beyond the last
    for name in ("axis", "axes", "batch_axis", "time_axis"):
        attribute = node.attributes.get(name)
        if attribute is None or attribute.is_ref() or attribute.type not in (ir.AttributeType.INT, ir.AttributeType.INTS):
            continue
        for axis in attribute.as_ints() if attribute.type == ir.AttributeType.INTS else [attribute.as_int()]:
            if abs(axis) > max(most, MAX_RANK * (name == "axes")):
                return f"has the {name} {axis}, and its input {len(shape) if shape is not None else MAX_RANK} dims at most"
    return ""


def _order(model: ir.Model, file: str) -> None:
    """Sort the nodes where one reads a value before it is made."""
    graph, seen, sorted_ = model.graph, set[ir.Node](), True
    for node in graph:
        for value in node.inputs:
            if value is None or value.is_graph_input() or value.is_initializer():
                continue
            if value.producer() is None:
                raise QGraphError(f"cannot read {file}: {where(node)} reads {value.name!r}, which nothing makes; export it again")
            sorted_ &= value.producer() in seen
        seen.add(node)
    for value in graph.outputs:
        if value.producer() is None and not value.is_graph_input() and not value.is_initializer():
            raise QGraphError(f"cannot read {file}: nothing makes the output {value.name!r}; export it again")
    if sorted_:
        return
    try:
        graph.sort()
    except ValueError:
        raise QGraphError(f"cannot read {file}: {where(_in_circle(graph))} needs its own result; break the circle") from None


def _in_circle(graph: ir.Graph) -> ir.Node:
    """A node of a circle: walk from what cannot be sorted to what it waits for until a node comes again."""
    left = dict.fromkeys(graph)
    while ready := [n for n in left if not any(v is not None and v.producer() in left for v in n.inputs)]:
        for node in ready:
            del left[node]
    node, seen = next(iter(left)), set[ir.Node]()
    while node not in seen:
        seen.add(node)
        node = next(v.producer() for v in node.inputs if v is not None and v.producer() in left)  # type: ignore[assignment]
    return node


def _free_dims(value: ir.Value) -> None:
    if value.shape is None:
        return
    border = value.is_graph_input() or value.is_graph_output()
    dims = list(value.shape)
    free = [(d < 0 or (d == 0 and border)) if isinstance(d, int) else d.value in FREE for d in dims]
    if any(free):
        value.shape = ir.Shape([None if gone else d for d, gone in zip(dims, free, strict=True)])


@contextlib.contextmanager
def blamed_on(what: str, source: Callable[[], ir.Model]) -> Iterator[None]:
    """Let an error of the block be told as that of the model where ONNX's checks say that the model contradicts itself.

    Args:
        what: what is tried with which model, for the message.
        source: gives the model as it was before the block; called only after an error.

    Raises:
        QGraphError: the block failed on a model that contradicts itself. Other errors stay as they are: they are ours.
    """
    try:
        yield
    except QGraphError:
        raise
    except Exception as error:
        if reason := contradiction(source()):
            raise QGraphError(f"{what}: the model contradicts itself: {reason}; correct it or export it again") from error
        raise


def contradiction(model: ir.Model) -> str:
    """What ONNX's checker or its strict shape inference finds wrong with ``model``, in one line; empty where that is nothing."""
    try:
        proto = ir.to_proto(model)
        onnx.checker.check_model(proto)
        onnx.shape_inference.infer_shapes(proto, check_type=True, strict_mode=True)
    except Exception as error:  # of classes of onnx, protobuf and onnx_ir
        last = error
        while last.__cause__ is not None:
            last = last.__cause__  # type: ignore[assignment]
        return " ".join(str(last).split())[:LONGEST] or type(last).__name__
    return ""
