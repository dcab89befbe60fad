"""Passes and pipelines: base class, registry, options, textual form, context and run loop.

A pipeline has one textual form, ``fold-batchnorm,calibrate{method=entropy},quantize{weights=int4}``; parsing and printing
round-trip, and options are checked against the pass's dataclass.
"""

from qgraph.pipeline.base import Pass, PassReport, dump_reports
from qgraph.pipeline.context import AnalysisState, MeasuredRange, PassContext
from qgraph.pipeline.options import print_value
from qgraph.pipeline.registry import get_pass, make_pass, passes, register
from qgraph.pipeline.run import Pipeline, all_or_nothing
from qgraph.pipeline.text import parse

__all__ = [
    "AnalysisState",
    "MeasuredRange",
    "Pass",
    "PassContext",
    "PassReport",
    "Pipeline",
    "all_or_nothing",
    "dump_reports",
    "get_pass",
    "make_pass",
    "parse",
    "passes",
    "print_value",
    "register",
]
