"""Outputs of a fixed teacher on disk, so that it runs once for every sample and not once for every epoch.

One safetensors file a sample, named by a hash of the teacher's graph and of the sample's inputs: what changed is computed again,
and runs share a folder. A batch is taken from the cache only when all its samples are there and have equal shapes (padding may
differ from batch to batch); else the teacher runs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import onnx_ir as ir
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from qgraph.errors import QGraphError
from qgraph.ir.io import atomic_path


def graph_hash(model: ir.Model) -> str:
    """A hash of the graph's structure and weights."""
    digest = hashlib.sha256(ir.to_proto(model).SerializeToString(deterministic=True))
    return digest.hexdigest()


class TeacherCache:
    """The outputs of one teacher.

    Args:
        folder: where the files lie.
        model: the teacher's graph, taps included.
    """

    def __init__(self, folder: Path, model: ir.Model) -> None:
        self.folder, self.key = folder, graph_hash(model)
        self.hits = self.misses = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise QGraphError(f"cannot make the folder {folder} for teacher outputs: {error}; choose another 'cache'") from error

    def _files(self, inputs: Mapping[str, Tensor]) -> list[Path]:
        arrays = [inputs[name].detach().cpu().contiguous().numpy() for name in sorted(inputs)]
        files = []
        for i in range(len(arrays[0])):
            digest = hashlib.sha256(self.key.encode())
            for array in arrays:
                digest.update(f"{array.dtype}{array.shape[1:]}".encode() + array[i].tobytes())
            name = digest.hexdigest()
            files.append(self.folder / name[:2] / f"{name}.safetensors")
        return files

    def __call__(self, run: Callable[[], dict[str, Tensor]], inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The teacher's outputs for a batch; ``run`` computes them."""
        device = next(iter(inputs.values())).device
        files = self._files(inputs)
        cached = [self._read(file) for file in files]
        rows = [f for f in cached if f is not None]
        if len(rows) == len(files):
            self.hits += 1
            return {name: torch.stack([row[name] for row in rows]).to(device) for name in rows[0]}
        self.misses += 1
        outputs = run()
        if all(v.ndim and len(v) == len(files) for v in outputs.values()):  # an output without a batch axis is not kept
            for i, file in enumerate(files):
                if cached[i] is None:
                    file.parent.mkdir(exist_ok=True)
                    with atomic_path(file) as temporary:
                        save_file({name: v[i].detach().cpu().contiguous() for name, v in outputs.items()}, str(temporary))
        return outputs

    @staticmethod
    def _read(file: Path) -> dict[str, Tensor] | None:
        if not file.is_file():
            return None
        try:
            return load_file(str(file))
        except (OSError, SafetensorError):
            return None  # a damaged file is computed again
