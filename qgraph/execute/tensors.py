"""NumPy arrays, also those of types that NumPy lacks, as torch tensors and back."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

from qgraph.errors import QGraphError

DTYPES = {
    ir.DataType.FLOAT: torch.float32,
    ir.DataType.DOUBLE: torch.float64,
    ir.DataType.FLOAT16: torch.float16,
    ir.DataType.BFLOAT16: torch.bfloat16,
    ir.DataType.INT8: torch.int8,
    ir.DataType.INT16: torch.int16,
    ir.DataType.INT32: torch.int32,
    ir.DataType.INT64: torch.int64,
    ir.DataType.UINT8: torch.uint8,
    ir.DataType.UINT16: torch.uint16,
    ir.DataType.UINT32: torch.uint32,
    ir.DataType.UINT64: torch.uint64,
    ir.DataType.BOOL: torch.bool,
}


def dtype_of(code: int) -> torch.dtype:
    """The torch dtype of an ONNX type number."""
    kind = ir.DataType(code)
    if kind not in DTYPES:
        raise QGraphError(f"torch has no type for ONNX's {kind.name}; cast to another type in the model")
    return DTYPES[kind]


def tensor_of(array: np.ndarray) -> Tensor:
    """A tensor with a copy of ``array``; packed 4- and 2-bit codes become int8 or uint8."""
    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(array.view(np.int16).copy()).view(torch.bfloat16)
    if array.dtype.kind not in "biufc":
        array = array.astype(np.uint8 if "uint" in array.dtype.name else np.int8)
    return torch.from_numpy(np.array(array, copy=True, order="C"))


def array_of(tensor: Tensor) -> np.ndarray:
    """The values of ``tensor`` as an array of the same type."""
    data = tensor.detach().cpu()
    if data.dtype == torch.bfloat16:
        return data.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return data.numpy()
