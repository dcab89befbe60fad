"""Models of kinds that no package ships, built with public exporters: ONNX Runtime's quantizers, torch, and onnx itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from qgraph.tools.corpus.fetch import cache, fetch
from qgraph.tools.corpus.models import MADE, Entry, entries

MAKERS: dict[str, Callable[[Entry, Path], None]] = {}


def made(function: Callable[[Entry, Path], None]) -> Callable[[Entry, Path], None]:
    """Make a builder known under its name, the ``package`` of its entries: it writes the model of an entry to a path."""
    MAKERS[function.__name__] = function
    return function


def source_of(entry: Entry) -> Path:
    """The file of a model, fetched or built; from the cache when it is there."""
    if entry.registry != MADE:
        return fetch(entry)
    path = cache() / "models" / entry.name / entry.file
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name("part.onnx")
        MAKERS[entry.package](entry, part)
        part.replace(path)
    return path


def fed(entry: Entry) -> Path:
    """The model that the maker of inputs looks at: of a model that is made of another one, that one."""
    return source_of(entries()[entry.of] if entry.of else entry)


def _calibration(entry: Entry, model: Path) -> Any:
    """A reader of the entry's calibration batches for ONNX Runtime."""
    from onnxruntime.quantization import CalibrationDataReader
    from qgraph.tools.corpus.inputs import batches

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self.left: Iterator[dict[str, np.ndarray]] = iter(batches(entry.inputs, model)[0])

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.left, None)

    return Reader()


def _static(entry: Entry, path: Path, **options: Any) -> None:
    from onnxruntime.quantization import quantize_static

    logging.disable(logging.WARNING)
    source = fetch(entries()[entry.of])
    quantize_static(source, path, _calibration(entry, source), **options)


@made
def qdq(entry: Entry, path: Path) -> None:
    """``quantize_static`` in Q/DQ form, a scale a channel, int8 weights and uint8 activations."""
    from onnxruntime.quantization import QuantFormat, QuantType

    _static(
        entry,
        path,
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )


@made
def qoperator(entry: Entry, path: Path) -> None:
    """``quantize_static`` in the form of QLinearConv and com.microsoft's QLinear ops."""
    from onnxruntime.quantization import QuantFormat, QuantType

    _static(entry, path, quant_format=QuantFormat.QOperator, activation_type=QuantType.QUInt8, weight_type=QuantType.QUInt8)


@made
def nms(entry: Entry, path: Path) -> None:
    """A YOLO with NonMaxSuppression inside: [4 + classes, places] -> rows x1, y1, x2, y2, score, class of the boxes kept."""
    import onnx
    from onnx import helper, numpy_helper

    model = onnx.load(fetch(entries()[entry.of]))
    raw = model.graph.output[0]
    constants = {
        "nms_parts": np.array([4, raw.type.tensor_type.shape.dim[1].dim_value - 4]),
        "nms_axis": np.array([1]),
        "nms_most": np.array([100]),
        "nms_overlap": np.array([0.45], np.float32),
        "nms_least": np.array([0.25], np.float32),
        "nms_half": np.array([0.5], np.float32),
        "nms_row": np.array([0, 2]),
        "nms_class": np.array([1]),
        "nms_pairs": np.array([2, 2]),
    }
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
    nodes: list[tuple[str, list[str], list[str], dict[str, Any]]] = [
        ("Split", [raw.name, "nms_parts"], ["nms_centred", "nms_scores"], {"axis": 1}),
        ("Transpose", ["nms_centred"], ["nms_boxes"], {"perm": [0, 2, 1]}),
        (
            "NonMaxSuppression",
            ["nms_boxes", "nms_scores", "nms_most", "nms_overlap", "nms_least"],
            ["nms_chosen"],
            {"center_point_box": 1},
        ),
        ("Gather", ["nms_chosen", "nms_row"], ["nms_places"], {"axis": 1}),
        ("GatherND", ["nms_boxes", "nms_places"], ["nms_kept"], {}),
        ("GatherND", ["nms_scores", "nms_chosen"], ["nms_flat"], {}),
        ("Unsqueeze", ["nms_flat", "nms_axis"], ["nms_column"], {}),
        ("Gather", ["nms_chosen", "nms_class"], ["nms_number"], {"axis": 1}),
        ("Cast", ["nms_number"], ["nms_label"], {"to": onnx.TensorProto.FLOAT}),
        ("Split", ["nms_kept", "nms_pairs"], ["nms_centre", "nms_size"], {"axis": 1}),
        ("Mul", ["nms_size", "nms_half"], ["nms_reach"], {}),
        ("Sub", ["nms_centre", "nms_reach"], ["nms_low"], {}),
        ("Add", ["nms_centre", "nms_reach"], ["nms_high"], {}),
        ("Concat", ["nms_low", "nms_high", "nms_column", "nms_label"], ["rows"], {"axis": 1}),
    ]
    model.graph.node.extend(helper.make_node(op, inputs, outputs, **attributes) for op, inputs, outputs, attributes in nodes)
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info("rows", onnx.TensorProto.FLOAT, ["kept", 6]))
    onnx.checker.check_model(model)
    onnx.save(model, path)


@made
def letters_decoder(entry: Entry, path: Path) -> None:
    """A two-layer Transformer that guesses the next letter, with keys and values of the past; trained a minute on docstrings."""
    import torch
    from qgraph.tools.corpus.nets import Letters, train_letters

    torch.manual_seed(0)
    net = train_letters(Letters()).eval()
    batch, past = torch.export.Dim("batch"), torch.export.Dim("past")
    state = [torch.zeros(2, 4, 5, 16) for _ in net.past()]
    shapes = ({0: batch}, tuple({0: batch, 2: past} for _ in state))
    torch.onnx.export(
        net,
        (torch.zeros(2, 1, dtype=torch.int64), tuple(state)),
        path,
        dynamo=True,
        external_data=False,
        input_names=["ids", *net.past()],
        output_names=["logits", *(name.replace("past", "present") for name in net.past())],
        dynamic_shapes=shapes,
    )


@made
def segmentation(entry: Entry, path: Path) -> None:
    """A small U-Net (Ronneberger et al. 2015), trained for a minute to tell discs and squares from the ground."""
    import torch
    from qgraph.tools.corpus.nets import UNet, train_unet

    torch.manual_seed(0)
    net = train_unet(UNet()).eval()
    torch.onnx.export(
        net,
        (torch.zeros(2, 3, 96, 96),),
        path,
        dynamo=True,
        external_data=False,
        input_names=["image"],
        output_names=["classes"],
        dynamic_shapes=({0: torch.export.Dim("batch")},),
    )
