"""Padding that a node implies is written down.

    Conv(auto_pad=SAME_UPPER, 3x3, strides 1)   ->  Conv(pads=[1,1,1,1])
    ConvTranspose(output_shape=[12,12])         ->  ConvTranspose(pads=..., output_padding=...)

What depends on a size that is free stays: SAME with a stride above one.
"""

from __future__ import annotations

import onnx_ir as ir

from qgraph.ir.padding import cut, padding, same_output
from qgraph.ir.patterns import attr, nodes
from qgraph.pipeline import Pass, PassReport, register

WINDOWS = ("Conv", "MaxPool", "AveragePool", "LpPool")


@register("explicit-pads")
class ExplicitPads(Pass):
    """Replace auto_pad=SAME_UPPER, SAME_LOWER and output_shape by pads where the sizes they depend on are known."""

    def apply(self, model: ir.Model, report: PassReport) -> None:
        for node in nodes(model, *WINDOWS, "ConvTranspose"):
            same = attr(node, "auto_pad", "NOTSET").startswith("SAME")
            kernel = _kernel(node)
            if kernel is None or not (same or attr(node, "output_shape")):
                continue
            found = _transposed(node, kernel) if node.op_type == "ConvTranspose" else _window(node, kernel)
            if found is None:
                continue
            for name in ("auto_pad", "output_shape"):
                node.attributes.pop(name, None)
            for name, numbers in found.items():
                if any(numbers):
                    node.attributes[name] = ir.AttrInt64s(name, numbers)
                else:
                    node.attributes.pop(name, None)
            report.count("implied pads written down")


def _kernel(node: ir.Node) -> list[int] | None:
    """The kernel's size on each spatial axis, None where it is not known."""
    given = attr(node, "kernel_shape")
    if given or not node.op_type.startswith("Conv"):
        return given
    shape = node.inputs[1].shape if node.inputs[1] is not None else None
    if shape is None or not all(isinstance(d, int) for d in shape):
        return None
    return [int(d) for d in shape][2:]  # type: ignore[arg-type]


def _sizes(node: ir.Node, n: int) -> list[int | None]:
    """Sizes of the input's spatial axes, None where one is free."""
    shape = node.inputs[0].shape if node.inputs[0] is not None else None
    if shape is None or len(shape) != n + 2:
        return [None] * n
    return [d if isinstance(d, int) else None for d in shape][2:]


def _window(node: ir.Node, kernel: list[int]) -> dict[str, list[int]] | None:
    n = len(kernel)
    strides, dilations = attr(node, "strides", [1] * n), attr(node, "dilations", [1] * n)
    # with a stride of one the padding is the same for every size
    sizes = [s if s is not None else 1 if step == 1 else None for s, step in zip(_sizes(node, n), strides, strict=True)]
    if any(s is None for s in sizes):
        return None
    before, after = padding(attr(node, "auto_pad"), None, sizes, kernel, strides, dilations)  # type: ignore[arg-type]
    return {"pads": before + after}


def _transposed(node: ir.Node, kernel: list[int]) -> dict[str, list[int]] | None:
    n = len(kernel)
    strides, dilations = attr(node, "strides", [1] * n), attr(node, "dilations", [1] * n)
    wanted = attr(node, "output_shape")
    # SAME asks for the input times the strides: the padding is the same for every size
    sizes = [s if s is not None or wanted else 1 for s in _sizes(node, n)]
    if any(s is None for s in sizes):
        return None
    known = [int(s) for s in sizes if s is not None]
    extra = attr(node, "output_padding", [0] * n)
    full = [(s - 1) * t + (k - 1) * d + 1 + e for s, t, k, d, e in zip(known, strides, kernel, dilations, extra, strict=True)]
    wanted = wanted[-n:] if wanted else same_output(known, strides, full)
    before, after, more = cut(full, wanted, upper=attr(node, "auto_pad", "NOTSET") == "SAME_UPPER")
    if any(m and e + m >= max(t, d) for e, m, t, d in zip(extra, more, strides, dilations, strict=True)):
        return None  # more than output_padding may add
    return {"pads": before + after, "output_padding": [e + m for e, m in zip(extra, more, strict=True)]}
