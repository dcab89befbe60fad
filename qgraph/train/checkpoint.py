"""Checkpoints: one safetensors file with every tensor of a run, written atomically.

Random numbers need no place in it: each step seeds its own (``seed_step``), so a run that goes on from step n draws what an
unbroken one draws.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from qgraph.errors import QGraphError
from qgraph.ir.io import atomic_path


def seed_step(seed: int, step: int, rank: int = 0) -> None:
    """Seed torch for one step of one process."""
    torch.manual_seed((seed * 1_000_003 + step) * 1009 + rank)


def save(path: Path, modules: dict[str, nn.Module], optimizer: torch.optim.Optimizer, facts: dict[str, Any]) -> None:
    """Write the state of modules and optimizer; ``facts`` is JSON (step, curves, what the run is)."""
    tensors: dict[str, Tensor] = {}
    for prefix, module in modules.items():
        for name, value in module.state_dict().items():
            tensors[f"{prefix}/{name}"] = value.detach().cpu().clone().contiguous()
    plain: dict[str, dict[str, Any]] = {}
    for number, state in optimizer.state_dict()["state"].items():
        for name, value in state.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer/{number}/{name}"] = value.detach().cpu().clone().contiguous()
            else:
                plain.setdefault(str(number), {})[name] = value
    with atomic_path(path) as temporary:
        save_file(tensors, str(temporary), {"facts": json.dumps(facts), "optimizer": json.dumps(plain)})


def load(path: Path, modules: dict[str, nn.Module], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Restore what ``save`` wrote; returns the facts."""
    try:
        with safe_open(str(path), framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            metadata = file.metadata() or {}
        facts: dict[str, Any] = json.loads(metadata["facts"])
        plain = json.loads(metadata["optimizer"])
    except (OSError, SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise QGraphError(f"checkpoint {path} cannot be read ({error}); delete it to start this stage again") from error
    for prefix, module in modules.items():
        own = {n.removeprefix(f"{prefix}/"): t for n, t in tensors.items() if n.startswith(f"{prefix}/")}
        try:
            module.load_state_dict(own)
        except RuntimeError as error:
            raise QGraphError(f"checkpoint {path} belongs to another recipe; give another --out or delete it") from error
    state = optimizer.state_dict()
    state["state"] = {int(k): dict(v) for k, v in plain.items()}
    for name, tensor in tensors.items():
        if name.startswith("optimizer/"):
            _, number, key = name.split("/")
            state["state"].setdefault(int(number), {})[key] = tensor
    optimizer.load_state_dict(state)
    return facts
