"""Where a node comes from: module path and source line, kept in node metadata by the capture."""

from __future__ import annotations

import ast
import fnmatch
import re
from collections.abc import Iterable

import onnx_ir as ir

from qgraph.errors import QGraphError

NAMESPACE = "namespace"
SCOPES = "pkg.torch.onnx.name_scopes"
PLACEHOLDER = "_empty_nn_module_stack_from_metadata_hook"
"""What torch.export names as the module of what it made itself."""
STACK = "pkg.torch.onnx.stack_trace"
NOTES = "pkg."
"""Start of the keys of what the exporter notes for itself."""


def module_path(node: ir.Node) -> str:
    """The dotted module path of ``node`` (``encoder.layer.0.attention``), or its name's prefix without one."""
    scopes = node.metadata_props.get(SCOPES)
    if scopes:
        try:
            names = [s for s in ast.literal_eval(scopes)[:-1] if s and s != PLACEHOLDER]
        except (ValueError, SyntaxError):
            names = []
        return names[-1] if names else ""
    name = (node.name or "").strip("/")
    return ".".join(name.split("/")[:-1])


def source_line(node: ir.Node) -> str:
    """``file:line`` of the source that made ``node``, or an empty string; of an installed package its file's place in it."""
    found = re.findall(r'File "(?:[^"]*/site-packages/)?([^"]+)", line (\d+)', node.metadata_props.get(STACK, ""))
    return f"{found[-1][0]}:{found[-1][1]}" if found else ""


def where(node: ir.Node) -> str:
    """One phrase that names ``node`` for an error message: op, name, module and source line if known."""
    name = node.name or (node.outputs[0].name if node.outputs else "")
    parts = [f"{node.op_type} node {name!r}"]
    if path := module_path(node):
        parts.append(f"in module {path!r}")
    if line := source_line(node):
        parts.append(f"from {line}")
    return " ".join(parts)


def fits(name: str, glob: str) -> bool:
    """Whether ``glob`` is ``name`` or matches it; so a name that holds ``[`` or ``*`` can be given as it is.

    Within a glob, ``[[]`` stands for ``[``.
    """
    return name == glob or fnmatch.fnmatchcase(name, glob)


def subjects(node: ir.Node) -> list[str]:
    """What a node goes by: op type, name, names of its values, module path and its parents, source line."""
    path = module_path(node)
    parents = [path[: i.start()] for i in re.finditer(r"\.", path)]
    values = [v.name or "" for v in (*node.inputs, *node.outputs) if v is not None]
    return [s for s in (node.op_type, node.name or "", path, source_line(node), *parents, *values) if s]


def matches(node: ir.Node, patterns: tuple[str, ...]) -> bool:
    """Whether a glob of ``patterns`` matches something that the node goes by."""
    return bool(patterns) and any(fits(s, p) for s in subjects(node) for p in patterns)


def chosen(names: Iterable[str], include: tuple[str, ...], exclude: tuple[str, ...]) -> bool:
    """Whether globs choose what goes by one of ``names``: one of ``include`` matches (or there is none), none of ``exclude``."""
    names = list(names)
    wanted = not include or any(fits(name, glob) for name in names for glob in include)
    return wanted and not any(fits(name, glob) for name in names for glob in exclude)


def check_globs(globs: Iterable[str], names: Iterable[str], what: str) -> None:
    """Refuse globs that match none of ``names``.

    Raises:
        QGraphError: with the nearest names; ``what`` says where the globs stand.
    """
    known = list(dict.fromkeys(names))
    for glob in globs:
        if not any(fits(name, glob) for name in known):
            import difflib

            near = ", ".join(map(repr, difflib.get_close_matches(glob, known, n=3, cutoff=0.4)))
            hint = "; write [[] for a [ in a glob" if "[" in glob else ""
            raise QGraphError(
                f"{what}: {glob!r} matches no name of the model{f'; the nearest are {near}' if near else ''}{hint}; "
                "'qgraph inspect --layers' lists them"
            )


def forget_sources(model: ir.Model) -> None:
    """Take out of ``model``, in place, what tells of the machine and the code that it was made with: stack traces, source lines,
    the exporter's notes and the documentation of nodes and values. Module paths stay."""
    functions = list(model.functions.values())
    graphs = [*model.graphs(), *(g for f in functions for g in (f.graph, *f.subgraphs()))]
    for graph in graphs:
        values = [*graph.inputs, *graph.initializers.values(), *(v for node in graph for v in node.outputs)]
        items: list[ir.Graph | ir.Node | ir.Value] = [graph, *graph, *values]
        for item in items:
            item.doc_string = None
            _forget_notes(item.metadata_props)
            if isinstance(item, ir.Value) and isinstance(item.const_value, ir.Tensor):
                item.const_value.doc_string = None
    owners: list[ir.Model | ir.Function] = [model, *functions]
    for owner in owners:
        _forget_notes(owner.metadata_props)


def _forget_notes(notes: dict[str, str]) -> None:
    for key in [key for key in notes if key.startswith(NOTES) and key != SCOPES]:
        del notes[key]


def copy_origin(source: ir.Node, target: ir.Node) -> None:
    """Give ``target`` the metadata of the node that it replaces."""
    for key, value in source.metadata_props.items():
        target.metadata_props.setdefault(key, value)
