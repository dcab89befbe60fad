"""PyTorch module -> float dialect, through ``torch.export`` and the ONNX exporter with its optimizer off."""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as common

from qgraph.capture.caches import plain, plain_shapes, taking_plain
from qgraph.capture.onnx_file import REMARK, prepare
from qgraph.capture.torch_errors import explain
from qgraph.capture.torch_names import Arguments, name_dims, name_inputs, name_outputs, output_paths
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

    if not isinstance(module, torch.nn.Module):
        raise QGraphError(f"a torch.nn.Module is captured, not {type(module).__name__}; wrap the function in a module")
    if isinstance(args, Mapping):
        kwargs = {**args, **(kwargs or {})}
        args = ()
    if isinstance(args, torch.Tensor):
        alone = isinstance(dynamic_shapes, Mapping) and all(isinstance(axis, int) for axis in dynamic_shapes)
        args, dynamic_shapes = (args,), (dynamic_shapes,) if alone else dynamic_shapes
    args, kwargs = tuple(args), dict(kwargs or {})
    _check_arguments(module, args, dynamic_shapes)
    call = Arguments.of(module, plain(args), plain(kwargs))
    shapes: dict[str, Any] = {}
    if call is not None and dynamic_shapes is not None:
        named = Arguments.of(module, args, kwargs)
        shapes = plain_shapes(named.values, call.shapes(dynamic_shapes))  # type: ignore[union-attr]
        dynamic_shapes = call.exported(shapes)
    was_training = module.training
    module.eval()
    try:
        with _quiet(), taking_plain(module, args, kwargs, call.others if call is not None else ()):
            program = torch.export.export(module, plain(args), plain(kwargs), dynamic_shapes=dynamic_shapes)
            exported = torch.onnx.export(program, dynamo=True, optimize=False, verbose=False, opset_version=MIN_OPSET)
    except Exception as error:
        raise QGraphError(explain(module, args, kwargs, error)) from error
    finally:
        module.train(was_training)
    assert exported is not None and exported.exported_program is not None
    model = exported.model
    _copy_tensors(model)
    common.InlinePass()(model)
    if call is not None:
        name_inputs(model, call.values)
        name_dims(model, call.values, shapes)
    name_outputs(model, output_paths(program))
    prepare(model, type(module).__name__)
    changed = sorted(exported.exported_program.graph_signature.buffers_to_mutate.values())
    if changed:
        remarks = [model.metadata_props[REMARK]] if REMARK in model.metadata_props else []
        listed = ", ".join(map(repr, changed))
        remarks.append(f"forward changes the buffers {listed}; the graph starts every run from their values at the capture")
        model.metadata_props[REMARK] = "; ".join(remarks)
    tables = module.named_parameters(remove_duplicate=False), module.named_buffers(remove_duplicate=False)
    mark(model, *({name for name, _ in table} for table in tables))
    model.producer_name = "qgraph"
    return model


def _check_arguments(module: Any, args: Sequence[Any], dynamic_shapes: Any) -> None:
    """Refuse a module without data, and dynamic axes that the inputs do not have."""
    meta = next((name for name, tensor in [*module.named_parameters(), *module.named_buffers()] if tensor.is_meta), None)
    if meta is not None:
        raise QGraphError(
            f"{meta!r} of {type(module).__name__} lies on the meta device, which holds no data; load the weights first"
        )
    specs = dynamic_shapes if isinstance(dynamic_shapes, tuple | list) else ()
    for place, (value, spec) in enumerate(zip(args, specs, strict=False)):
        rank = getattr(value, "ndim", None)
        axes = [axis for axis in spec if isinstance(axis, int)] if isinstance(spec, Mapping) else []
        if rank is not None and any(not -rank <= axis < rank for axis in axes):
            raise QGraphError(
                f"dynamic_shapes names axis {max(axes, key=abs)} of input {place}, which has {rank} dims; correct it"
            )


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
