"""ONNX's own node tests, run by programs and by ``to_torch``: ``python -m qgraph.tools.node_tests [NAME*]``.

Each test is a small model with inputs and what they must give. What cannot be run is named with a reason, never left out.
"""

from __future__ import annotations

import collections
import dataclasses
import fnmatch
import functools
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnx
import onnx_ir as ir
from onnx import TensorProto, numpy_helper

from qgraph.errors import QGraphError
from qgraph.ir.bit_types import program_number

RANDOM = {
    "test_training_dropout",
    "test_training_dropout_default",
    "test_training_dropout_default_mask",
    "test_training_dropout_mask",
}
"""Their values come from NumPy's random generator."""
NOT_ROUNDED = {"test_resize_downsample_scales_linear_align_corners", "test_resize_downsample_scales_cubic_align_corners"}
"""They take 2.4 for the length of an axis of 4 that is scaled by 0.6; ONNX's text and ONNX Runtime take 2, which it then has."""
OTHER_TYPES = "types that no program holds"
PASSED = "passed"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a test ended: ``passed``, a reason why it was not run, or, with ``failed``, what went wrong."""

    name: str
    op: str
    reason: str
    failed: bool = False


@functools.cache
def cases() -> list[Any]:
    """All node tests of the installed onnx package."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        return list(collect_testcases(None))


def op_of(case: Any) -> str:
    """The op that a test is about: that of its only node, else (a function that is written out) the one its name begins with."""
    ops = [node.op_type for node in case.model.graph.node]
    if len(ops) == 1:
        return ops[0]
    name = case.name.removeprefix("test_").replace("_", "")
    known = {s.name for s in onnx.defs.get_all_schemas() if not s.domain}
    return max((op for op in known if name.startswith(op.lower())), key=len, default=ops[0])


def array_of(value: Any) -> np.ndarray:
    return numpy_helper.to_array(value) if isinstance(value, TensorProto) else np.asarray(value)


def absolute_tolerance(wanted: np.ndarray, case: Any) -> float:
    """That of the test, and in floats the rounding of the largest number, which sums that cancel are off by."""
    if wanted.dtype.kind != "f":
        return float(case.atol)
    sizes = np.abs(wanted[np.isfinite(wanted)].astype(np.float64))
    return max(float(case.atol), 2**-24 * float(sizes.max(initial=0.0)))


def is_close(found: np.ndarray, wanted: np.ndarray, case: Any) -> str:
    """What is wrong with ``found``; empty where it is ``wanted`` within the test's tolerance."""
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        return f"{found.dtype}{list(found.shape)} in place of {wanted.dtype}{list(wanted.shape)}"
    same = np.isclose(
        found.astype(np.float64), wanted.astype(np.float64), rtol=case.rtol, atol=absolute_tolerance(wanted, case), equal_nan=True
    )
    return "" if same.all() else f"{(~same).sum()} of {same.size} elements differ"


def run_program(case: Any, folder: Path) -> Outcome:
    """Compile a test's model and run it."""
    from qgraph.capture import read
    from qgraph.deploy.program import compile
    from qgraph.deploy.session import Session

    op = op_of(case)
    if case.name in RANDOM:
        return Outcome(case.name, op, "random")
    if case.name in NOT_ROUNDED:
        return Outcome(case.name, op, "ONNX Runtime gives other values")
    values = [*case.model.graph.input, *case.model.graph.output]
    if any(value.type.WhichOneof("value") != "tensor_type" for value in values):
        return Outcome(case.name, op, "sequences or optional values at the border")
    kinds = {ir.DataType(v.type.tensor_type.elem_type) for v in values}
    if any(program_number(kind) is None or kind in (ir.DataType.INT4, ir.DataType.INT2) for kind in kinds):
        return Outcome(case.name, op, OTHER_TYPES)
    onnx.save(case.model, folder / "case.onnx")
    try:
        compile(read(folder / "case.onnx"), folder / "case.qgp")
    except QGraphError as error:
        return Outcome(case.name, op, f"refused: {str(error).replace(str(folder), '')}")
    names = [value.name for value in case.model.graph.input]
    for inputs, outputs in case.data_sets:
        try:
            found = Session(folder / "case.qgp").run(dict(zip(names, map(array_of, inputs), strict=True)))
        except QGraphError as error:
            return Outcome(case.name, op, str(error), True)
        for wanted, got in zip(map(array_of, outputs), found.values(), strict=True):
            if wrong := is_close(got, wanted, case):
                return Outcome(case.name, op, wrong, True)
    return Outcome(case.name, op, PASSED)


def outcomes(patterns: Sequence[str] = ("*",)) -> Iterator[Outcome]:
    """Every test whose name one of ``patterns`` matches, run by a program."""
    with tempfile.TemporaryDirectory() as folder:
        for case in cases():
            if any(fnmatch.fnmatch(case.name, pattern) for pattern in patterns):
                yield run_program(case, Path(folder))


@click.command()
@click.argument("patterns", nargs=-1)
def main(patterns: tuple[str, ...]) -> None:
    """Run node tests in programs and say how they ended."""
    counts: collections.Counter[str] = collections.Counter()
    for outcome in outcomes(patterns or ("*",)):
        counts["failed" if outcome.failed else outcome.reason.split(":")[0]] += 1
        if outcome.reason != PASSED:
            click.echo(f"{'FAILED ' if outcome.failed else ''}{outcome.name} ({outcome.op}): {outcome.reason}")
    click.echo(", ".join(f"{count} {reason}" for reason, count in counts.most_common()))


if __name__ == "__main__":
    main()
