"""The public names stay what they are, however often they are looked up."""

import qgraph


def test_public_names_are_functions_and_classes() -> None:
    for _ in range(2):
        for name in ("transform", "compile", "compare", "load", "save", "Pipeline", "Session"):
            assert callable(getattr(qgraph, name)), name
