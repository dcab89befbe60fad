"""NumPy arrays, also those of types that NumPy lacks, as torch tensors and back."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import torch
from torch import Tensor


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
