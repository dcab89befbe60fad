"""``from_torch``: trained values back into the graph that they came from."""

from __future__ import annotations

from typing import cast

import numpy as np
import onnx_ir as ir
from torch import fx

from qgraph.errors import QGraphError
from qgraph.execute.masks import MaskWeight
from qgraph.execute.quantizers import FakeQuantize
from qgraph.execute.tensors import array_of


def from_torch(module: fx.GraphModule, model: ir.Model) -> ir.Model:
    """Write the parameters, statistics and quantizer ranges of ``module`` into ``model``, in place.

    Args:
        module: made by ``to_torch`` from ``model`` (or a copy of it), trained since.

    Raises:
        QGraphError: the module is not of this model, or a trained value is not finite.
    """
    state = module.state_dict()
    names = dict(module.meta.get("names", {}))
    if not names and not module.meta.get("quantizers"):
        raise QGraphError("the module was not made by to_torch; convert the model and train that module")
    for name, path in names.items():
        _write(model, name, array_of(state[path]))
    for name, (source, perm) in module.meta.get("ties", {}).items():
        _write(model, name, array_of(state[names[source]]).transpose(perm))
    for path, entry in module.meta.get("quantizers", {}).items():
        quantizer = cast(FakeQuantize, module.get_submodule(path))
        scale, zero = array_of(quantizer.effective_scale()), array_of(quantizer.zero)
        for name in entry["scale"]:
            _write(model, name, scale)
        for name in entry["zero"]:
            _write(model, name, np.rint(zero))
    for path, entry in module.meta.get("masks", {}).items():
        _write(model, entry["mask"], array_of(cast(MaskWeight, module.get_submodule(path)).mask))
    return model


def _write(model: ir.Model, name: str, array: np.ndarray) -> None:
    value = model.graph.initializers.get(name)
    if value is None:
        value = next((o for n in model.graph for o in n.outputs if o.name == name and n.op_type == "Constant"), None)
        if value is None:
            raise QGraphError(f"the model has no constant {name!r}; it is not the model that the module was made from")
        return  # constants inside the graph are not trained
    tensor = value.const_value
    if tensor is None or tuple(tensor.shape.numpy()) != array.shape:
        raise QGraphError(f"constant {name!r} has another shape in the model; it is not the model that the module was made from")
    if array.dtype.kind == "f" and not np.isfinite(array).all() and np.isfinite(tensor.numpy().astype(np.float64)).all():
        raise QGraphError(f"trained value {name!r} is not finite; train with a smaller learning rate")
    value.const_value = ir.Tensor(array.astype(tensor.dtype.numpy()), dtype=tensor.dtype, name=name)
