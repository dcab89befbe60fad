"""Random examples of every op of the integer dialect, by op type: ``EXAMPLES``. A family's file registers its own."""

from tests.runtime.examples import attention, control, conv, index, linear, movement, norm, pointwise, pool, resize  # noqa: F401
from tests.runtime.examples.example import EXAMPLES, Example

__all__ = ["EXAMPLES", "Example"]
