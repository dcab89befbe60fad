"""Weights of many zeros in program files: smaller, and the same answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from qgraph.capture import from_factory
from qgraph.deploy.program import compile
from qgraph.deploy.session import Session
from qgraph.execute import to_torch
from qgraph.pipeline import PassContext, Pipeline
from tests.conftest import same_bytes


def program(folder: Path, name: str, masks: str, weights: str) -> tuple[Path, np.ndarray, np.ndarray]:
    """A program of digits_mlp with wide layers, its answer, and that of the exact graph."""
    import torch

    model = from_factory("qgraph.zoo:digits_mlp", hidden=256)
    x = {"input": np.random.default_rng(0).random((9, 64)).astype(np.float32)}
    text = f"canonicalize,{masks}calibrate,quantize{{weights={weights} latent=true}},bake"
    Pipeline(text).run(model, PassContext(data=[x]))
    compile(model, folder / name)
    same_bytes(folder / name, x)
    exact = next(iter(to_torch(model, exact=True)(torch.from_numpy(x["input"])).values()))
    return folder / name, next(iter(Session(folder / name).run(x).values())), np.asarray(exact)


@pytest.mark.parametrize(("weights", "bits"), [("int8", 8), ("int4", 4), ("int2", 2)])
def test_zeros_take_a_bit(weights: str, bits: int, tmp_path: Path) -> None:
    dense, *_ = program(tmp_path, "dense.qgp", "", weights)
    sparse, found, wanted = program(tmp_path, "sparse.qgp", "prune-magnitude{sparsity=0.95},", weights)
    np.testing.assert_array_equal(found, wanted)
    elements = 64 * 256 + 256 * 256 + 256 * 10
    saved = dense.stat().st_size - sparse.stat().st_size
    assert saved > 0.9 * elements * (bits - 1 - 0.05 * bits) / 8


def test_two_of_four_int8_takes_five_eighths(tmp_path: Path) -> None:
    dense, *_ = program(tmp_path, "dense.qgp", "", "int8")
    sparse, found, wanted = program(tmp_path, "sparse.qgp", "prune-nm{n=2 m=4},", "int8")
    np.testing.assert_array_equal(found, wanted)
    assert sparse.stat().st_size < 0.7 * dense.stat().st_size
