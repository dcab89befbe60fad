"""Names of a captured module's inputs, outputs and dims, as a user of the module knows them.

Outputs that the module returns in a dict (or a dataclass of one, such as the ModelOutput of transformers) are called by their
keys, tensors of caches ``NAME.LAYER.key`` and ``present.LAYER.key``; others keep the exporter's names.
"""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import onnx_ir as ir

from qgraph.errors import QGraphError
from qgraph.ir.patterns import unused

CACHE = re.compile(r"^(.+?)((?:\.\d+)(?:\.(?:decoder|encoder))?\.(?:key|value))$")


@dataclasses.dataclass(frozen=True)
class Arguments:
    """What a module is called with, by the names of its parameters.

    Attributes:
        values: in the order of the call; those of ``*args`` are one tuple.
        star: the parameter ``*args``, where some go to it.
        others: names that only ``**kwargs`` takes, whose name is ``double_star``.
        renamed: new names of parameters without a keyword, such as ``*x``, whose name is among ``others``.
        signature: the one of ``forward`` in which ``others`` are parameters; None where there are none.
    """

    values: dict[str, Any]
    star: str | None
    others: tuple[str, ...]
    double_star: str
    renamed: dict[str, str]
    signature: inspect.Signature | None

    @classmethod
    def of(cls, module: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Arguments | None:
        """None where ``forward`` does not take the arguments or cannot be asked for its parameters."""
        try:
            signature = inspect.signature(module.forward)
            signature.bind(*args, **kwargs)
        except (TypeError, ValueError):
            return None
        parameters = list(signature.parameters.values())
        known = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        others = tuple(k for k in kwargs if k not in known)
        renamed = {p.name: unused(p.name, {*signature.parameters, *kwargs}) for p in parameters if p.name in others}
        parameters = [p.replace(name=renamed.get(p.name, p.name)) for p in parameters]
        single = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        star = next((p.name for p in parameters if p.kind == p.VAR_POSITIONAL), None) if len(args) > len(single) else None
        values = dict(zip(single, args, strict=False))
        if star is not None:
            values[star] = tuple(args[len(single) :])
        double = next((p.name for p in parameters if p.kind == p.VAR_KEYWORD), "kwargs")
        named = [p for p in parameters if p.kind != p.VAR_KEYWORD]
        named += [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in others]
        made = signature.replace(parameters=named) if others else None
        return cls({**values, **kwargs}, star, others, double, renamed, made)

    def shapes(self, given: Any) -> dict[str, Any]:
        """``dynamic_shapes`` by the same names; a tuple may have the shapes of ``*args`` one by one or as one."""
        if isinstance(given, Mapping):
            inside = given.get(self.double_star) if self.others else None
            if not isinstance(inside, Mapping):
                return dict(given)
            return {**{self.renamed.get(name, name): spec for name, spec in given.items()}, **inside}
        names, shapes = list(self.values), list(given)
        total = len(names) if self.star is None else len(names) - 1 + len(self.values[self.star])
        if any(spec is not None for spec in shapes[max(total, len(names)) :]):
            raise QGraphError(f"dynamic_shapes has {len(shapes)} entries for {total} inputs; give one each, or a dict by name")
        if self.star is not None:
            at, count = names.index(self.star), len(self.values[self.star])
            whole = len(shapes) == len(names) and isinstance(shapes[at], tuple) and len(shapes[at]) == count
            if not whole and len(shapes) == len(names) - 1 + count:
                shapes[at : at + count] = [tuple(shapes[at : at + count])]
        return dict(zip(names, shapes, strict=False))

    def exported(self, shapes: Mapping[str, Any]) -> dict[str, Any]:
        """``shapes`` as ``torch.export`` wants them: every argument has an entry."""
        made = {name: shapes.get(name) for name in self.values}
        return made | {name: s for name, s in shapes.items() if name not in made and name != self.double_star}


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The tensors in lists, tuples and dicts with their paths, such as ``cache.0.key``."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield from leaves(part, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple):
        for i, part in enumerate(value):
            yield from leaves(part, f"{name}.{i}" if name else str(i))
    elif hasattr(value, "shape"):
        yield name, value


def output_paths(program: Any) -> list[str]:
    """The path of every tensor that an exported program returns; an empty one where no key leads to it."""
    from torch.export.graph_signature import ConstantArgument, OutputKind

    specs = [s for s in program.graph_signature.output_specs if s.kind == OutputKind.USER_OUTPUT]
    paths = _paths(program.call_spec.out_spec)
    return [p for p, s in zip(paths, specs, strict=True) if not (isinstance(s.arg, ConstantArgument) and s.arg.value is None)]


def _paths(spec: Any, name: str = "") -> list[str]:
    """The path of every leaf of a ``TreeSpec``, from the first key on."""
    if spec.is_leaf():
        return [name]
    keys = spec.context
    known = isinstance(keys, list | tuple) and len(keys) == spec.num_children and all(isinstance(k, str) for k in keys)
    paths = []
    for i, child in enumerate(spec.children()):
        key = str(keys[i]) if known else str(i) if name else ""
        paths += _paths(child, f"{name}.{key}" if name else key)
    return paths


def name_inputs(model: ir.Model, named: Mapping[str, Any]) -> None:
    """Give the tensors of caches among the inputs their paths as names; ``named`` has the arguments by parameter."""
    table = {v.name: v for v in model.graph.inputs}
    for path, _ in leaves(dict(named)):
        value = table.get(path.replace(".", "_"))
        if value is not None and CACHE.match(path):
            value.name = path


def separate_outputs(model: ir.Model, paths: Sequence[str]) -> None:
    """Give an output a value of its own where it is another output too, or an input or a weight that is returned under a key."""
    graph, seen = model.graph, set[ir.Value]()
    named = len(paths) == len(graph.outputs)
    taken = {v.name or "" for v in (*graph.inputs, *graph.initializers.values(), *(v for n in graph for v in n.outputs))}
    for place, value in enumerate(graph.outputs):
        key = named and bool(paths[place]) and value.producer() is None
        if value in seen or key:
            copy = ir.node("Identity", [value])
            copy.outputs[0].name = unused(f"{value.name}_copy", taken)
            taken.add(copy.outputs[0].name)
            copy.outputs[0].type, copy.outputs[0].shape = value.type, value.shape
            graph.append(copy)
            graph.outputs[place] = copy.outputs[0]
        seen.add(value)


def name_outputs(model: ir.Model, paths: Sequence[str]) -> None:
    """Give outputs that have a path their path as name, unless an input, a weight or another output is called so."""
    outputs = list(model.graph.outputs)
    if len(paths) != len(outputs):
        return
    taken = {v.name for v in model.graph.inputs} | set(model.graph.initializers)
    inner = {v.name: v for n in model.graph for v in n.outputs}
    for value, path in zip(outputs, paths, strict=True):
        found = CACHE.match(path)
        name = f"present{found[2]}" if found else path
        own = value.producer() is not None and outputs.count(value) == 1
        if not name or name in taken or not own:
            continue
        other = inner.get(name)
        if other is not None and other is not value:
            other.name = f"{name}_inner"
        value.name = name
        taken.add(name)


def name_dims(model: ir.Model, named: Mapping[str, Any], shapes: Mapping[str, Any]) -> None:
    """Rename the exporter's symbols (s43) to the names that the user gave to the dims."""
    rename: dict[str, str] = {}
    tensors = [path for path, _ in leaves(dict(named))]
    given = dict(_dims(dict(named), dict(shapes)))
    for value, path in zip(model.graph.inputs, tensors, strict=False):
        for axis, dim in given.get(path, ()):
            name = getattr(dim, "__name__", None)
            old = value.shape[axis] if value.shape is not None else None
            if name and isinstance(old, ir.SymbolicDim) and old.value:
                rename.setdefault(str(old.value), name)
    if not rename:
        return
    pattern = re.compile(r"\b(" + "|".join(map(re.escape, rename)) + r")\b")
    for value in [*model.graph.inputs, *(v for n in model.graph for v in n.outputs)]:
        if value.shape is not None:
            value.shape = ir.Shape(
                [
                    pattern.sub(lambda m: rename[m[1]], str(d.value)) if isinstance(d, ir.SymbolicDim) and d.value else d
                    for d in value.shape
                ]
            )


def without_bounds(shapes: Any) -> Any:
    """``dynamic_shapes`` of ``torch.export`` with every dim that has a name as one that is simply free."""
    from torch.export import Dim

    if isinstance(shapes, Mapping):
        return {key: without_bounds(value) for key, value in shapes.items()}
    if isinstance(shapes, list | tuple):
        return type(shapes)(without_bounds(value) for value in shapes)
    return Dim.DYNAMIC if getattr(shapes, "__name__", None) is not None else shapes


def check_examples(named: Mapping[str, Any], shapes: Mapping[str, Any]) -> None:
    """Refuse examples of one element along a dim that is to be free: torch takes their size as fixed."""
    from torch.export import Dim

    tensors = dict(leaves(dict(named)))
    for path, axes in _dims(dict(named), dict(shapes)):
        for axis, dim in axes:
            free = dim is Dim.DYNAMIC or getattr(dim, "__name__", None) is not None
            rank = len(tensors[path].shape)
            if free and -rank <= axis < rank and tensors[path].shape[axis] == 1:
                raise QGraphError(
                    f"dynamic_shapes frees axis {axis} of {path!r}, whose example has one element along it, which torch takes as "
                    "fixed; give an example of two or more"
                )


def _dims(value: Any, shapes: Any, name: str = "") -> Iterator[tuple[str, list[tuple[int, Any]]]]:
    """(path, (axis, dim) ...) of every tensor that has dynamic dims."""
    if not shapes:
        return
    if hasattr(value, "shape"):
        yield name, list(shapes.items() if isinstance(shapes, Mapping) else enumerate(shapes))
    elif isinstance(value, Mapping) and isinstance(shapes, Mapping):
        for key, part in value.items():
            yield from _dims(part, shapes.get(key), f"{name}.{key}" if name else str(key))
    elif isinstance(value, list | tuple) and isinstance(shapes, list | tuple):
        for i, (part, one) in enumerate(zip(value, shapes, strict=False)):
            yield from _dims(part, one, f"{name}.{i}" if name else str(i))
