"""PyTorch module -> float dialect, through ``torch.export`` and the ONNX exporter with its optimizer off."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common

from qgraph.capture.caches import plain, plain_shapes, taking_plain
from qgraph.capture.masked_rows import zero_masked_rows
from qgraph.capture.onnx_file import REMARK, prepare
from qgraph.capture.torch_errors import explain
from qgraph.capture.torch_names import (
    Arguments,
    check_examples,
    name_dims,
    name_inputs,
    name_outputs,
    output_paths,
    separate_outputs,
    without_bounds,
)
from qgraph.capture.torch_program import check_program, give_heads
from qgraph.errors import QGraphError
from qgraph.factories import call_factory
from qgraph.ir.dialects import MIN_OPSET
from qgraph.ir.parameters import mark


def from_torch(
    module: Any, args: Sequence[Any] | Mapping[str, Any], *, dynamic_shapes: Any = None, kwargs: Any = None
) -> ir.Model:
    """Capture ``module`` as a model of the float dialect.

    Initializers carry the parameters' qualified names, nodes the module scope and source line; BatchNorm is kept.

    Args:
        module: a ``torch.nn.Module``; it is captured in inference mode and its mode is restored.
        args: example inputs (tensors); a tensor alone is the only input, a dict has inputs by keyword.
        dynamic_shapes: as for ``torch.export.export``; names given to ``Dim`` become the symbolic dims' names. Arguments without
            an entry are static; a cache of the transformers package may have the dims of one of its tensors, for all of them.
        kwargs: example keyword inputs.

    Outputs that come in a dict are called by its keys, see ``torch_names``.

    Raises:
        QGraphError: ``torch.export`` or the exporter cannot take the module, or the module does not take the inputs; the
            user's source line is named.
    """
    import torch

    _check_module(module)
    if isinstance(args, Mapping):
        kwargs = {**args, **(kwargs or {})}
        args = ()
    if isinstance(args, torch.Tensor):
        alone = isinstance(dynamic_shapes, Mapping) and all(isinstance(axis, int) for axis in dynamic_shapes)
        args, dynamic_shapes = (args,), (dynamic_shapes,) if alone else dynamic_shapes
    if not isinstance(args, Sequence) or isinstance(args, str):
        raise QGraphError(
            f"example inputs are a tensor, a tuple or list of what {type(module).__name__} takes, or a dict by the names of its "
            f"parameters, not {type(args).__name__}; correct them"
        )
    args, kwargs = tuple(args), dict(kwargs or {})
    _check_axes(args, dynamic_shapes)
    call = Arguments.of(module, plain(args), plain(kwargs))
    shapes: dict[str, Any] = {}
    if call is not None and dynamic_shapes is not None:
        named = Arguments.of(module, args, kwargs)
        shapes = plain_shapes(named.values, call.shapes(dynamic_shapes))  # type: ignore[union-attr]
        check_examples(call.values, shapes)
        dynamic_shapes = call.exported(shapes)
    signature = call.signature if call is not None else None
    with _in_inference_mode(module):
        try:
            with _quiet(), taking_plain(module, args, kwargs, signature):
                program = _exported(module, plain(args), plain(kwargs), dynamic_shapes)
                check_program(program, type(module).__name__)
                give_heads(program)
                exported = torch.onnx.export(program, dynamo=True, optimize=False, verbose=False, opset_version=MIN_OPSET)
        except QGraphError:
            raise
        except Exception as error:
            raise QGraphError(explain(module, args, kwargs, error)) from error
    assert exported is not None and exported.exported_program is not None
    model = exported.model
    _copy_tensors(model)
    common.InlinePass()(model)
    if call is not None:
        name_inputs(model, call.values)
        name_dims(model, call.values, shapes)
    paths = output_paths(program)
    separate_outputs(model, paths)
    name_outputs(model, paths)
    prepare(model, type(module).__name__)
    zero_masked_rows(model)
    _remark_changes(model, exported.exported_program.graph_signature)
    tables = module.named_parameters(remove_duplicate=False), module.named_buffers(remove_duplicate=False)
    mark(model, *({name for name, _ in table} for table in tables))
    model.producer_name = "qgraph"
    return model


def _exported(module: Any, args: Any, kwargs: Any, dynamic_shapes: Any) -> Any:
    """What ``torch.export`` makes of a module.

    Where a dim with a name cannot be shown to satisfy a guard of the trace, which says nothing about the module, it is free
    without bounds in a second attempt.
    """
    import torch

    try:
        return torch.export.export(module, args, kwargs, dynamic_shapes=dynamic_shapes)
    except torch._dynamo.exc.UserError as error:
        if "Constraints violated" not in str(error) or "Suggested fixes" in str(error):
            raise
        return torch.export.export(module, args, kwargs, dynamic_shapes=without_bounds(dynamic_shapes))


def _remark_changes(model: ir.Model, signature: Any) -> None:
    """Say what ``forward`` changes in place and the graph does not."""
    remarks = [model.metadata_props[REMARK]] if REMARK in model.metadata_props else []
    if buffers := ", ".join(map(repr, sorted(signature.buffers_to_mutate.values()))):
        remarks.append(f"forward changes the buffers {buffers}; the graph starts every run from their values at the capture")
    if inputs := ", ".join(map(repr, sorted(set(signature.user_inputs_to_mutate.values())))):
        remarks.append(
            f"forward changes the inputs {inputs} in place, and the graph does not; return them to have what they become"
        )
    if remarks:
        model.metadata_props[REMARK] = "; ".join(remarks)


def _check_module(module: Any) -> None:
    """Refuse what is no module that torch can export: functions, scripts, quantized modules, modules without data."""
    import torch

    name = type(module).__name__
    if isinstance(module, torch.export.ExportedProgram):
        raise QGraphError(f"a torch.nn.Module is captured, not {name}; give its module()")
    if not isinstance(module, torch.nn.Module):
        raise QGraphError(f"a torch.nn.Module is captured, not {name}; wrap the function in a module")
    if isinstance(module, torch.jit.ScriptModule):
        raise QGraphError(f"{name} is a ScriptModule, which torch.export does not take; capture the module that it was made from")
    for path, inner in module.named_modules():
        if ".ao.nn.quantized" in type(inner).__module__:
            raise QGraphError(
                f"{path!r} of {name} is quantized by torch already; capture the float module, 'transform' quantizes it"
            )
    meta = next((name for name, tensor in [*module.named_parameters(), *module.named_buffers()] if tensor.is_meta), None)
    if meta is not None:
        raise QGraphError(f"{meta!r} of {name} lies on the meta device, which holds no data; load the weights first")


def _check_axes(args: Sequence[Any], dynamic_shapes: Any) -> None:
    """Refuse dynamic axes that the inputs do not have."""
    specs = dynamic_shapes if isinstance(dynamic_shapes, tuple | list) else ()
    for place, (value, spec) in enumerate(zip(args, specs, strict=False)):
        rank = getattr(value, "ndim", None)
        axes = [axis for axis in spec if isinstance(axis, int)] if isinstance(spec, Mapping) else []
        if rank is not None and any(not -rank <= axis < rank for axis in axes):
            raise QGraphError(
                f"dynamic_shapes names axis {max(axes, key=abs)} of input {place}, which has {rank} dims; correct it"
            )


@contextlib.contextmanager
def _in_inference_mode(module: Any) -> Iterator[None]:
    """Evaluation mode without gradients, for the time.

    Torch fuses attention differently for values that have a gradient, and its export takes strides of the one for the other. What
    torch.export made has one mode alone, which it keeps.
    """
    import torch

    was_training, trained = module.training, [p for p in module.parameters() if p.requires_grad]
    with contextlib.suppress(NotImplementedError):
        module.eval()
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        with torch.no_grad():
            yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)
        with contextlib.suppress(NotImplementedError):
            module.train(was_training)


def _copy_tensors(model: ir.Model) -> None:
    """Give the graph its own memory, so that an optimizer step of the module does not change it; shared weights stay shared."""
    copies: dict[tuple[Any, ...], np.ndarray] = {}
    for name, value in model.graph.initializers.items():
        tensor = value.const_value
        raw: Any = getattr(tensor, "raw", None)
        if tensor is None or not hasattr(raw, "data_ptr"):
            continue
        key = (raw.data_ptr(), tuple(raw.shape), raw.stride(), raw.dtype)
        if key not in copies:
            copies[key] = np.array(tensor.numpy(), order="C", copy=True)
        value.const_value = ir.Tensor(copies[key], dtype=tensor.dtype, name=name, doc_string=tensor.doc_string)


def from_factory(spec: str, **arguments: Any) -> ir.Model:
    """Capture what ``PACKAGE.MODULE:FACTORY`` returns: ``(module, args)`` or ``(module, args, dynamic_shapes)``."""
    made = call_factory(spec, **arguments)
    if not isinstance(made, tuple) or len(made) not in (2, 3):
        raise QGraphError(f"factory {spec} must return (module, example inputs[, dynamic shapes])")
    return from_torch(made[0], made[1], dynamic_shapes=made[2] if len(made) == 3 else None)


@contextlib.contextmanager
def _quiet() -> Any:
    """Silence the exporter's own chatter; errors come through as exceptions."""
    loggers = [logging.getLogger(n) for n in ("torch.onnx", "torch.export")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
