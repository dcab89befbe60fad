"""Weights of many zeros in program files: smaller, and the same answer."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given
from hypothesis import strategies as st
from qgraph._runtime import available_isas

from qgraph.capture import from_factory, from_torch
from qgraph.deploy import program_file, sparse
from qgraph.deploy.program import compile
from qgraph.deploy.program_file import GROUPS, grouped, write
from qgraph.deploy.session import Session
from qgraph.errors import QGraphError
from qgraph.execute import to_torch
from qgraph.ir.integer_ops import SparseForm
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


def pruned(n: int, k: int, masks: str) -> ir.Model:
    """A quantized model of one linear layer whose weights a pass has pruned."""
    import torch

    torch.manual_seed(0)
    model = from_torch(torch.nn.Linear(k, n), (torch.zeros(3, k),), dynamic_shapes=({0: torch.export.Dim("rows")},))
    x = {model.graph.inputs[0].name or "": np.random.default_rng(0).standard_normal((8, k)).astype(np.float32)}
    Pipeline(f"canonicalize,{masks},calibrate,quantize{{latent=true}},bake").run(model, PassContext(data=[x]))
    return model


@pytest.mark.parametrize(("n", "k"), [(80, 100), (16, 64), (257, 36)])
@pytest.mark.parametrize("form", [SparseForm.TWO_OF_FOUR, SparseForm.WORDS])
def test_sparse_forms_give_the_dense_bytes(
    form: SparseForm, n: int, k: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    masks = {SparseForm.TWO_OF_FOUR: "prune-nm", SparseForm.WORDS: "prune-block{outputs=1 inputs=4 sparsity=0.98}"}[form]
    model = pruned(n, k, masks)
    monkeypatch.setattr(sparse, "seconds", lambda codes, rows, tried, *_: float(tried != form))
    chosen: list[sparse.Choice] = []
    lowered = compile(model, tmp_path / "sparse.qgp", chosen=chosen)
    assert [c.form for c in chosen] == [form]
    assert [node.attributes.get_int("sparse") for node in lowered.graph if node.op_type == "Linear"] == [int(form)]
    compile(model, tmp_path / "dense.qgp", sparse=False)
    name = model.graph.inputs[0].name or ""
    for rows in (1, 2, 3, 7, 50):
        x = {name: np.random.default_rng(rows).standard_normal((rows, k)).astype(np.float32)}
        same_bytes(tmp_path / "sparse.qgp", x)
        found, wanted = (next(iter(Session(tmp_path / f"{kind}.qgp").run(x).values())) for kind in ("sparse", "dense"))
        np.testing.assert_array_equal(found, wanted)


def test_only_sparse_products_are_timed(tmp_path: Path) -> None:
    chosen: list[sparse.Choice] = []
    compile(pruned(64, 64, "prune-magnitude{sparsity=0.3}"), tmp_path / "a.qgp", chosen=chosen)
    assert not chosen
    compile(pruned(64, 64, "prune-nm"), tmp_path / "b.qgp", chosen=chosen, threads=1)
    assert set(chosen[0].seconds) == {SparseForm.DENSE, SparseForm.TWO_OF_FOUR} and min(chosen[0].seconds.values()) > 0
    with pytest.raises(QGraphError, match="no input 'y'"):
        compile(pruned(64, 64, "prune-nm"), tmp_path / "c.qgp", shapes={"y": [1, 64]})


def test_programs_whose_weights_lack_the_form_are_refused(tmp_path: Path) -> None:
    codes = np.ones((16, 64), np.int8)
    write(sparse.product([codes], ir.DataType.INT8, 1, SparseForm.TWO_OF_FOUR), tmp_path / "bad.qgp")
    if "avx512_vnni" not in available_isas():
        pytest.skip("no sparse products here")
    with pytest.raises(QGraphError, match="sparse form"):
        Session(tmp_path / "bad.qgp")


@given(st.integers(1, 8).flatmap(lambda m: st.tuples(st.integers(1, max(1, m - 1)), st.just(max(m, 2)))), st.integers(0, 2**31))
def test_groups_are_read_as_written(pattern: tuple[int, int], seed: int) -> None:
    n, m = pattern
    rng = np.random.default_rng(seed)
    codes = rng.integers(-8, 8, (m * 16, 5 * m)).astype(np.int8)
    keep = np.argsort(rng.random((m * 16, 5, m)), -1) < n
    codes *= keep.reshape(codes.shape)
    width = int(rng.choice([8, 4]))
    data = grouped(codes.reshape(-1), n, m, width)
    assert data is not None
    groups = codes.size // m
    rank_bits = max(1, (math.comb(m, n) - 1).bit_length())
    assert len(data) == 2 + -(-groups * rank_bits // 8) + -(-groups * n * width // 8)
    with tempfile.TemporaryDirectory() as folder:
        model = sparse.product([codes], {8: ir.DataType.INT8, 4: ir.DataType.INT4}[width], 1, SparseForm.DENSE)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(
                program_file, "stored", lambda tensor: (data, GROUPS) if len(tensor.shape) == 2 else (tensor.tobytes(), 0)
            )
            write(model, Path(folder) / "a.qgp")
        write(model, Path(folder) / "b.qgp")
        x = {"x": rng.integers(0, 256, (1, 5 * m)).astype(np.uint8)}
        found, wanted = (next(iter(Session(Path(folder) / f"{kind}.qgp", threads=1).run(x).values())) for kind in "ab")
    np.testing.assert_array_equal(found, wanted)
