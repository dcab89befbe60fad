"""If, Loop and Scan, which run graphs of their own. These are closed: what they read from around them comes with the inputs."""

from __future__ import annotations

from qgraph.ir.integer_ops.spec import ANY, BOOL, I64, MAX_RANK, AttributeSpec, InputSpec, OpSpec, OutputSpec

MANY = 1 << 20
CARRIED = AttributeSpec("carried", "int", 0, MANY, 0, meaning="the values that go from one iteration to the next")


def _axes(name: str, meaning: str) -> AttributeSpec:
    return AttributeSpec(name, "ints", -MAX_RANK, MAX_RANK - 1, meaning=meaning)


def _values(meaning: str) -> InputSpec:
    return InputSpec("values", ANY, meaning, optional=True, variadic=True)


RESULTS = OutputSpec("y", ANY, "one or more", variadic=True)

IF = OpSpec(
    "If",
    "control",
    inputs=(InputSpec("condition", (BOOL,), "one element"), _values("what the branches read")),
    outputs=(RESULTS,),
    attributes=(),
    equation="y = what then_branch, else else_branch, gives for values",
    graphs=("then_branch", "else_branch"),
)

LOOP = OpSpec(
    "Loop",
    "control",
    inputs=(
        InputSpec("trips", (I64,), "one element; left out: no limit", optional=True),
        InputSpec("condition", (BOOL,), "one element; left out: true", optional=True),
        _values("the carried ones, then others that the body reads"),
    ),
    outputs=(RESULTS,),
    attributes=(CARRIED,),
    equation=(
        "for i = 0, 1, ... below trips, while condition: condition, carried, elements = body(i, condition, carried, others)\n"
        "y = the last carried, then the elements of all iterations along a new first axis"
    ),
    graphs=("body",),
)

SCAN = OpSpec(
    "Scan",
    "control",
    inputs=(_values("the carried ones, the sequences, then others that the body reads"),),
    outputs=(RESULTS,),
    attributes=(
        CARRIED,
        AttributeSpec("scanned", "int", 1, MANY, required=True, meaning="the sequences"),
        _axes("scan_input_axes", "along which their elements lie; left out: 0"),
        _axes("scan_output_axes", "the same for those that it makes"),
        AttributeSpec("scan_input_directions", "ints", 0, 1, meaning="1: the last element first; left out: 0"),
        AttributeSpec("scan_output_directions", "ints", 0, 1, meaning="1: the first element last"),
    ),
    equation=(
        "for every i: carried, elements = body(carried, element i of each sequence, others)\n"
        "y = the last carried, then the elements of all iterations along an axis"
    ),
    graphs=("body",),
)

OPS = (IF, LOOP, SCAN)
