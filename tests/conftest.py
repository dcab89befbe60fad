"""Models that several tests share, captured once a run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

from qgraph.capture import from_factory
from qgraph.ir import io
from qgraph.workflow import transform


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with digits.onnx (float), digits_int8.onnx and digits.qgp."""
    from qgraph.deploy.program import compile
    from qgraph.zoo import digits_data

    folder = tmp_path_factory.mktemp("digits")
    model = from_factory("qgraph.zoo:digits_cnn")
    io.save(model, folder / "digits.onnx")
    transform(model, preset="int8", data=list(digits_data()))
    io.save(model, folder / "digits_int8.onnx")
    compile(model, folder / "digits.qgp")
    return folder


def same_bytes(program: Path, feed: dict[str, np.ndarray]) -> None:
    """Every ISA of this machine, with 1 and 2 threads, and each op by itself as when it is timed, gives the same bytes."""
    from qgraph import _runtime
    from qgraph.deploy.session import Session

    answers = set()
    for isa in _runtime.available_isas():
        for threads, timed in ((1, False), (2, False), (2, True)):
            found = Session(program, isa=isa, threads=threads, profile=timed).run(feed)
            answers.add(b"".join(array.tobytes() for array in found.values()))
    assert len(answers) == 1


def agrees_with_onnxruntime(model: ir.Model, feed: dict[str, np.ndarray], ops: int) -> None:
    """Each of at least ``ops`` linear ops, on ONNX Runtime's own codes, differs from it in few codes, by one step."""
    from qgraph.tools.bench.agreement import agreement

    rows = agreement(model, feed)
    assert len(rows) >= ops
    assert sum(r.more for r in rows) == 0
    assert sum(r.one for r in rows) <= 1e-3 * sum(r.elements for r in rows)


def opset_of(op_type: str) -> int:
    """Opset 21, or the first that has the op."""
    versions = [s.since_version for s in onnx.defs.get_all_schemas_with_history() if s.name == op_type and not s.domain]
    return max(21, min(versions, default=21))


def run_onnx(model: ir.Model, feed: dict[str, np.ndarray]) -> list[np.ndarray]:
    from qgraph.execute.onnxruntime import session

    return session(model).run(None, feed)
