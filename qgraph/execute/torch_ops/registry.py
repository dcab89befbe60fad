"""Which ONNX op is which torch function: one table, filled by decorators.

A function takes the op's inputs in ONNX's order (None where one is absent) and its attributes by name. Inputs listed in
``static`` are small integers or lists that torch wants as Python numbers: shapes, axes, counts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Numbers = Tensor | tuple[int, ...] | int


@dataclasses.dataclass(frozen=True)
class TorchOp:
    """The torch form of an op.

    Attributes:
        function: called with tensors and attributes.
        static: inputs that the function takes as Python numbers when they are constants.
        training: whether it has a keyword ``training``, which follows the module's mode.
        like: whether it has a keyword ``like``, a tensor on the device that the result belongs on.
        returns_tuple: whether it returns a tuple even where the node has one output.
        returns_numbers: whether it returns Python integers, a shape or a count, and no tensor.
    """

    function: Callable[..., Any]
    static: tuple[int, ...] = ()
    training: bool = False
    like: bool = False
    returns_tuple: bool = False
    returns_numbers: bool = False


TORCH_OPS: dict[tuple[str, str], TorchOp] = {}
"""By domain and op type."""


def op(
    *names: str,
    domain: str = "",
    static: tuple[int, ...] = (),
    training: bool = False,
    like: bool = False,
    returns_tuple: bool = False,
    returns_numbers: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function as the torch form of the ops ``names``; the keywords are those of ``TorchOp``."""

    def keep(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in names:
            TORCH_OPS[domain, name] = TorchOp(function, static, training, like, returns_tuple, returns_numbers)
        return function

    return keep


def plain(functions: dict[str, Callable[..., Any]]) -> None:
    """Register functions that have no attributes."""
    for name, function in functions.items():
        TORCH_OPS["", name] = TorchOp(function)


def ints(x: Numbers | None) -> list[int]:
    """A shape, axes or counts as a list."""
    if x is None:
        return []
    if isinstance(x, Tensor):
        return x.reshape(-1).tolist()  # type: ignore[no-any-return]
    return [x] if isinstance(x, int) else list(x)


def number(x: Any) -> Any:
    """A tensor of one element, or a list of one, as a Python number."""
    if isinstance(x, Tensor):
        return x.reshape(()).item()
    return x[0] if isinstance(x, tuple | list) else x


def as_tensor(x: Any, like: Tensor) -> Tensor:
    """Integers that were computed from shapes as an int64 tensor on the device of ``like``."""
    return x if isinstance(x, Tensor) else torch.tensor(x, dtype=torch.int64, device=like.device)
