"""Running program files: the Python face of the C++ runtime."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from qgraph.data import array_of, as_type, first_batch
from qgraph.errors import QGraphError, suggest
from qgraph.ir.snapshot import LAST


def converted(name: str, array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """``array`` in the type of input ``name``; raises QGraphError where that is another kind of number or loses one."""
    made = as_type(array, dtype)
    if made is None:
        what = f"is {array.dtype}" if array.dtype.kind != dtype.kind else f"({array.dtype}) holds numbers beyond {dtype}"
        raise QGraphError(f"input {name!r} {what}, the program takes {dtype}")
    return made


class Session:
    """A loaded ``.qgp`` program.

    Args:
        path: the program file.
        threads: 0 takes ``QGRAPH_THREADS``, else all cores.
        isa: ``reference``, ``portable``, ``avx2``, ``avx_vnni``, ``avx512_vnni`` or ``amx_int8``; empty takes
            ``QGRAPH_ISA``, else the best of this CPU.
        profile: collect a time for every op.
        keep: keep every intermediate value for ``values``.

    A session runs one call at a time; a concurrent ``run`` raises. Use one session a thread.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, threads: int = 0, isa: str = "", profile: bool = False, keep: bool = False
    ) -> None:
        from qgraph import _runtime

        self.keep = keep
        self._failure = _runtime.RuntimeFailure
        try:
            self._session = _runtime.Session(str(path), threads, isa, profile, keep)
            self._inputs = {s.name: (s.dtype, self._dims(s)) for s in self._session.inputs}
            self._dtypes = {name: np.dtype(dtype) for name, (dtype, _) in self._inputs.items()}
            self._outputs = [s.name for s in self._session.outputs]
            self._bound: set[str] = set()
            self._left = [False] * len(self._outputs)
        except self._failure as error:
            raise QGraphError(str(error)) from None
        except UnicodeDecodeError:
            raise QGraphError(f"cannot load {path}: a name in it is no text; compile the program again") from None

    @property
    def inputs(self) -> dict[str, tuple[str, list[int | str]]]:
        """Name -> (dtype, shape); free dims are given by their symbol, or -1."""
        return {name: (dtype, list(dims)) for name, (dtype, dims) in self._inputs.items()}

    @property
    def outputs(self) -> list[str]:
        return list(self._outputs)

    @staticmethod
    def _dims(signature: Any) -> list[int | str]:
        symbols = list(signature.symbols) + [""] * len(signature.shape)
        return [s if d < 0 and s else d for d, s in zip(signature.shape, symbols, strict=False)]

    @property
    def isa(self) -> str:
        return str(self._session.isa)

    @property
    def threads(self) -> int:
        return int(self._session.threads)

    @property
    def arena_bytes(self) -> int:
        """Bytes of activations and scratch for the shapes of the last run."""
        return int(self._session.arena_bytes)

    @property
    def metadata(self) -> dict[str, str]:
        return dict(self._session.metadata)

    def run(self, inputs: Any) -> dict[str, np.ndarray]:
        """Run on a dict of input name to array, on one array where there is one input, or on a tuple in the inputs' order.

        Arrays are NumPy's, torch's or any that speak DLPack; contiguous ones of the input's type are not copied.

        Numbers of the same kind are converted: float64, which NumPy makes, to float32; integers where none changes.

        Raises:
            QGraphError: a name, dtype, rank or dim does not fit; the message says which.
        """
        known = self._dtypes
        if not isinstance(inputs, Mapping):
            inputs = first_batch([inputs], [name for name in known if name not in self._bound])
        for name in inputs:
            if name not in known:
                raise QGraphError(f"the program has no input {name!r}{suggest(name, known)}")
        arrays: list[np.ndarray | None] = []
        for name, dtype in known.items():
            if name not in inputs:
                if name in self._bound:
                    arrays.append(None)
                    continue
                raise QGraphError(f"input {name!r} is missing{suggest(name, inputs)}; the program takes {', '.join(known)}")
            array = inputs[name]
            if not isinstance(array, np.ndarray):
                tensor = hasattr(array, "detach")  # torch's own conversion knows devices, gradients and bfloat16
                array = np.from_dlpack(array) if hasattr(array, "__dlpack__") and not tensor else array_of(array)
            if array.dtype != dtype:
                array = converted(name, array, dtype)
            arrays.append(np.ascontiguousarray(array).reshape(array.shape))
        try:
            results = self._session.run(arrays, self._left)
        except self._failure as error:
            raise QGraphError(str(error)) from None
        return {name: result for name, result in zip(self._outputs, results, strict=True) if result is not None}

    def bind(self, output: str, input: str) -> None:
        """Let ``input`` take what ``output`` was in the run before, such as past keys and values or a recurrent state.

        The value stays in the session and is not copied: ``run`` need not be given the input and does not return the output
        (``state`` does). An array that is given is taken instead; without one the first run takes zeros, as long along free dims
        as other inputs are along dims of the same symbol, else of length 0. A run that raises leaves the value as it was.

        Raises:
            QGraphError: there is no such output or input, their types differ, or the input is bound already.
        """
        try:
            self._session.bind(output, input)
        except self._failure as error:
            raise QGraphError(str(error)) from None
        self._bound.add(input)
        self._left[self._outputs.index(output)] = True

    def reset(self) -> None:
        """Forget the values of bound inputs: the next run is a first one."""
        self._session.reset()

    def state(self) -> dict[str, np.ndarray]:
        """What the bound inputs will be in the next run, by name; empty before the first."""
        found = {name: self._session.state(name) for name in sorted(self._bound)}
        return {name: array for name, array in found.items() if array is not None}

    def values(self) -> dict[str, np.ndarray]:
        """The real numbers (float32) of the quantized and float values of the last run; needs ``keep=True``."""
        scales = json.loads(self.metadata.get("qgraph.scales", "{}"))
        found = {}
        for name in self._session.tensor_names:
            array = self._session.tensor(name)
            base = name.removesuffix(LAST)
            if base != name and array.ndim > 2:
                array = np.moveaxis(array, -1, 1)
            if base in scales:
                scale, zero = scales[base]
                found[base] = (array.astype(np.float32) - np.float32(zero)) * np.float32(scale)
            elif array.dtype == np.float32:
                found[base] = array
        return found

    def shapes(self) -> dict[str, list[int]]:
        """Shapes of all values inside in the last run, by name; needs ``keep=True``."""
        return {name: list(self._session.tensor(name).shape) for name in self._session.tensor_names}

    def profile(self) -> list[tuple[str, str, float, int, int, int]]:
        """(op, node name, seconds, calls, multiply-accumulates a run, bytes a run) a node; needs ``profile=True``."""
        return [tuple(row) for row in self._session.profile()]
