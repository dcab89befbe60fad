"""Fold constants and clean up: what a compiler's constant folding, CSE and dead-code elimination do.

    Shape -> Slice -> Concat (dims known)      ->  constant
    Transpose(weight)                          ->  weight, transposed, under the weight's own name
    Identity, Cast to the same type, unused    ->  gone

The work is onnxscript's optimizer and onnx_ir's common passes; this pass sets their limits and keeps names. Parameters that are
equal stay apart, and a bias of zeros stays a bias: training makes them differ.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, Literal

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common
from onnxscript import rewriter
from onnxscript.optimizer import _constant_folding as folding
from onnxscript.rewriter._pattern_ir import Constant

from qgraph.errors import QGraphError
from qgraph.ir.parameters import ROLE, TIED, is_parameter, tie
from qgraph.ir.patterns import attr, constant
from qgraph.pipeline import Pass, PassReport, register

TRANSPOSED = "qgraph.transposed"
KEEP = {"QuantizeLinear", "DequantizeLinear"}
VIEWS = {"Transpose", "Reshape", "Unsqueeze", "Squeeze", "Flatten", "Identity"}
"""Ops whose output has the elements of their input: a parameter that only one of them reads may be stored as its output."""
LONGEST = 200
"""Characters of a message that are passed on."""
MERGED = 1 << 16
"""Elements of the largest constants that are compared."""
Parameters = Literal["keep", "fold", "merge"]


def _exact(rule: rewriter.RewriteRule) -> rewriter.RewriteRule:
    """The rule with its numbers taken exactly: by default x + 1e-10 is x + 0, which the logarithm behind it tells apart."""
    for node in rule._target_pattern._nodes:
        for value in node.inputs:
            if isinstance(value, Constant):
                value._rel_tol = value._abs_tol = 0.0
    return rule


FORCE = {"ConstantOfShape"}  # left alone by default, for models that fill tensors of any size
# BatchNorm has a pass of its own: training from scratch needs it unfolded
# and a rule with two outputs is tried on every pair of nodes, which takes quadratic time
LEFT_OUT = ("BatchNorm", "SlicesSplit")
RULES = [_exact(r) for r in rewriter._DEFAULT_REWRITE_RULES if not any(word in str(r.name) for word in LEFT_OUT)]


def _applicable(model: ir.Model) -> list[rewriter.RewriteRule]:
    """The rules whose ops are all in the graph; every rule is tried on every node, so fewer rules are quicker."""
    present = {n.op_type for n in model.graph} | {"Reshape"}  # rules turn other ops into Reshape
    return [r for r in RULES if {str(n.op) for n in r._target_pattern._nodes} <= present]


class Evaluator(folding.ReferenceEvaluator):
    """ONNX's reference, but for GatherElements, which that gathers along the wrong axis from 64 rows on, or not at all."""

    def get_evaluator(self, domain: str, op: str, version: int) -> Callable[..., Any] | None:
        return _gather_elements if (domain, op) == ("", "GatherElements") else super().get_evaluator(domain, op, version)


def _gather_elements(data: np.ndarray, indices: np.ndarray, axis: int = 0) -> np.ndarray:
    inside = tuple(slice(None) if i == axis % data.ndim else slice(n) for i, n in enumerate(indices.shape))
    return np.take_along_axis(data[inside], indices, axis)


folding._reference_evaluator = Evaluator()


@contextlib.contextmanager
def hidden(values: list[ir.Value]) -> Iterator[None]:
    """Let ``values`` have unknown values, so that no rule can use them."""
    tensors = [value.const_value for value in values]
    for value in values:
        value.const_value = None
    try:
        yield
    finally:
        for value, tensor in zip(values, tensors, strict=True):
            value.const_value = tensor


HIDDEN = "qgraph.hidden"


@contextlib.contextmanager
def kept_copies(model: ir.Model) -> Iterator[None]:
    """Let no pass take out an Identity that hands a value from outside out of a branch or loop body: it would rename that value,
    or make one value the output of two graphs."""
    copies = [
        node
        for graph in model.graphs()
        if graph is not model.graph
        for node in graph
        if node.op_type == "Identity" and not node.domain and node.outputs[0].is_graph_output()
        if node.inputs[0] is not None and (node.inputs[0].graph is not graph or node.inputs[0].is_graph_output())
    ]
    for node in copies:
        node.domain = HIDDEN
    try:
        yield
    finally:
        for node in copies:
            node.domain = ""


class MergeEqual(ir.passes.InPlacePass):
    """Store equal constants once, parameters only on demand."""

    def __init__(self, parameters: bool) -> None:
        super().__init__()
        self.parameters = parameters

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        merged = [self._merge(graph) for graph in model.graphs()]
        return ir.passes.PassResult(model, any(merged))

    def _merge(self, graph: ir.Graph) -> bool:
        first: dict[tuple[object, ...], ir.Value] = {}
        before = len(graph.initializers)
        for name, value in list(graph.initializers.items()):
            tensor = value.const_value
            if tensor is None or tensor.size > MERGED or value.is_graph_input() or value.is_graph_output():
                continue
            if is_parameter(value) and not self.parameters:
                continue
            elements = tuple(tensor.numpy().reshape(-1)) if tensor.dtype == ir.DataType.STRING else tensor.tobytes()
            kept = first.setdefault((tensor.dtype, tuple(tensor.shape), elements), value)
            if kept is not value:
                value.replace_all_uses_with(kept)
                del graph.initializers[name]
        return len(graph.initializers) < before


class OwnOutputs(ir.passes.InPlacePass):
    """Let every output of a branch or loop body be a value of its own that a node in it makes, as ONNX Runtime wants."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        made = [self._copy(graph) for graph in model.graphs() if graph is not model.graph]
        return ir.passes.PassResult(model, any(made))

    @staticmethod
    def _copy(graph: ir.Graph) -> bool:
        seen: set[ir.Value] = set()
        copied = False
        for place, value in enumerate(graph.outputs):
            maker = value.producer()
            if maker is None or maker.graph is not graph or value in seen:
                copy = ir.Node("", "Identity", [value], name=f"{value.name}_identity")
                copy.outputs[0].name, copy.outputs[0].shape, copy.outputs[0].type = f"{value.name}_copy", value.shape, value.type
                graph.append(copy)
                graph.outputs[place] = copy.outputs[0]
                copied = True
            seen.add(value)
        return copied


class RemoveUnread(ir.passes.InPlacePass):
    """Take away the constants of branches and loops that nothing reads; onnx_ir's pass does so for the main graph."""

    def call(self, model: ir.Model) -> ir.passes.PassResult:
        modified = False
        for graph in [g for g in model.graphs() if g is not model.graph]:
            for name, value in list(graph.initializers.items()):
                if not value.uses() and not value.is_graph_output() and not value.is_graph_input():
                    del graph.initializers[name]
                    modified = True
        return ir.passes.PassResult(model, modified)


def _cleanups(merge: bool) -> tuple[ir.passes.InPlacePass, ...]:
    return (
        common.IdentityEliminationPass(),
        common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0),
        common.RemoveUnusedNodesPass(),
        common.RemoveUnusedFunctionsPass(),
        MergeEqual(merge),
        common.CommonSubexpressionEliminationPass(),
        common.RemoveUnusedNodesPass(),
        RemoveUnread(),
        common.RemoveUnusedOpsetsPass(),
        OwnOutputs(),
        common.NameFixPass(),
    )


def _register_all(graph: ir.Graph) -> None:
    """Give constants that nodes read their place in the graph: rules name theirs after a value (``x/shape``), and of two of one
    name the graph knows the last alone."""
    known = set(graph.initializers.values())
    for node in graph:
        for value in node.inputs:
            if value is None or value in known or value.const_value is None or value.producer() is not None:
                continue
            base, number = value.name, 1
            while value.name in graph.initializers:
                value.name, number = f"{base}_{number}", number + 1
            graph.register_initializer(value)
            known.add(value)


def _innermost(error: BaseException) -> str:
    """What the error at the bottom of a chain says, behind what the first one says."""
    last = error
    while last.__cause__ is not None:
        last = last.__cause__
    told = [" ".join(str(e).split())[:LONGEST] for e in dict.fromkeys((error, last))]
    return ": ".join(told)


@register("fold-constants")
class FoldConstants(Pass):
    """Fold constants (also shape arithmetic), remove identities, common subexpressions and dead nodes."""

    @dataclasses.dataclass(frozen=True)
    class Options:
        """
        Attributes:
            limit: largest tensor, in MiB, that folding may create.
            parameters: what becomes of parameters. ``fold``: weights that are computed from them (weight norm, a transposed
                weight) are stored as computed; ``keep``: they stay computed and shared, for graphs that will be trained;
                ``merge``: as ``fold``, and equal ones are stored once, biases of zeros not at all, for graphs that will not be.
        """

        limit: int = 2048
        parameters: Parameters = "fold"

    def apply(self, model: ir.Model, report: PassReport) -> None:
        limit = self.options.limit << 20
        merge = self.options.parameters == "merge"
        if merge:
            for value in model.graph.initializers.values():
                value.metadata_props.pop(ROLE, None)
                value.metadata_props.pop(TIED, None)
        self._constants: set[str | None] = set()
        folder = folding.FoldConstantsPass(
            shape_inference=True, input_size_limit=limit, output_size_limit=limit, should_fold=self._should_fold
        )
        before, outputs = len(model.graph), [v.name or "" for v in model.graph.outputs]
        self._believe_inputs(model.graph)
        declared = self._doubt_outputs(model.graph)
        with kept_copies(model):
            # folded, a weight that is shared through identities or equal transposes would become many
            modified = common.IdentityEliminationPass()(model).modified
            modified |= common.CommonSubexpressionEliminationPass()(model).modified
            transposed = {
                node.outputs[0].name: (node.inputs[0], attr(node, "perm"))
                for node in model.graph
                if node.op_type == "Transpose" and node.inputs[0] is not None and node.inputs[0].is_initializer()
            }
            try:
                modified |= folder(model).modified
            except QGraphError:
                raise
            except Exception as error:  # a node that no one can compute: onnxscript says which
                raise QGraphError(f"pass 'fold-constants': {_innermost(error)}; correct the node or its constants") from error
            if not merge:
                self._mark_constants(model)
            parameters = [v for v in model.graph.initializers.values() if is_parameter(v)]
            with hidden([] if merge else parameters):
                modified |= rewriter.RewritePass(_applicable(model))(model).modified
            _register_all(model.graph)
            self._believe_inputs(model.graph)
            for cleanup in _cleanups(merge):
                modified |= cleanup(model).modified
        self._keep_names(model, transposed, ties=not merge)
        self._keep_outputs(model.graph, outputs)
        for value in model.graph.outputs:
            if value.shape is None:
                value.shape = declared.get(value.name)
        if modified:
            report.count("nodes removed", before - len(model.graph))

    def _should_fold(self, node: ir.Node) -> bool | None:
        """Whether to fold a node whose inputs are constants; None where the folder's own limits decide."""
        if node.op_type in KEEP:
            return False
        parameters = [v for v in node.inputs if v is not None and v.name not in self._constants and is_parameter(v)]
        if parameters and self.options.parameters == "keep":
            own = node.op_type in VIEWS and len(parameters[0].uses()) == 1 and not parameters[0].is_graph_output()
            if not own:
                return False
        if not parameters:
            self._constants.add(node.outputs[0].name)
        return True if node.op_type in FORCE else None

    def _mark_constants(self, model: ir.Model) -> None:
        """Mark arrays that were computed from no parameter, such as masks: they are not trained."""
        for name in self._constants:
            value = model.graph.initializers.get(name or "")
            if value is not None and is_parameter(value):
                value.metadata_props[ROLE] = "constant"

    @staticmethod
    def _keep_names(model: ir.Model, transposed: dict[str | None, tuple[ir.Value, list[int] | None]], *, ties: bool) -> None:
        """A folded Transpose of a weight takes the weight's name, so that parameters keep theirs; where others read the weight
        as it was, the two stay tied."""
        table = model.graph.initializers
        for name, (source, perm) in transposed.items():
            folded = table.get(name) if name else None
            if folded is None or name is None or source.name is None or constant(folded) is None:
                continue
            if source.name in table:
                if ties and is_parameter(source):
                    tie(folded, source, perm or range(len(source.const_value.shape))[::-1])  # type: ignore[union-attr]
                continue
            del table[name]
            folded.name = source.name
            folded.metadata_props[TRANSPOSED] = "1"
            table[source.name] = folded

    @staticmethod
    def _believe_inputs(graph: ir.Graph) -> None:
        """Where an Identity's output is declared with another shape than its input has, the input is right: it was inferred."""
        for node in graph:
            x, y = node.inputs[0] if node.inputs else None, node.outputs[0]
            if node.op_type != "Identity" or node.domain or x is None or x.shape is None or y.shape is None:
                continue
            pairs = zip(x.shape, y.shape, strict=False)
            if len(x.shape) != len(y.shape) or any(isinstance(a, int) and isinstance(b, int) and a != b for a, b in pairs):
                y.shape = x.shape

    @staticmethod
    def _doubt_outputs(graph: ir.Graph) -> dict[str | None, ir.Shape | None]:
        """Forget, and return by name, the declared shapes of outputs that copy a value without one: folding may find another."""
        declared: dict[str | None, ir.Shape | None] = {}
        for value in graph.outputs:
            maker = value.producer()
            source = maker.inputs[0] if maker is not None and maker.op_type == "Identity" else None
            if source is not None and source.shape is None:
                declared[value.name], value.shape = value.shape, None
        return declared

    @staticmethod
    def _keep_outputs(graph: ir.Graph, names: list[str]) -> None:
        """Outputs keep their names, each a value of its own: what became one value is copied by an Identity for each name."""
        if [v.name for v in graph.outputs] == names:
            return
        owners: dict[ir.Value, str] = {}
        for value, name in zip(graph.outputs, names, strict=True):
            fixed = value.producer() is None  # an input or a constant
            owners.setdefault(value, value.name or "" if fixed else name)
        changed = {v: name for v, name in owners.items() if v.name != name}
        for value in changed:
            value.name = f"{value.name}__renamed"  # names may change places
        for value, name in changed.items():
            value.name = name
        for place, name in enumerate(names):
            value = graph.outputs[place]
            if owners[value] != name or any(v is value for v in graph.outputs[:place]):
                copy = ir.Node("", "Identity", [value], name=f"{name}_identity")
                copy.outputs[0].name, copy.outputs[0].shape, copy.outputs[0].type = name, value.shape, value.type
                graph.append(copy)
                graph.outputs[place] = copy.outputs[0]
