"""Small model factories for demos and tests.

Each factory returns ``(module, example inputs, dynamic shapes)`` and can be captured by name:
``qgraph capture qgraph.zoo:minilm -o minilm.onnx``. Data factories return an iterable of input dicts.
Names are imported when they are used, so that data factories do not wait for torch.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qgraph.zoo.cnn import mobilenet_v2, noise_images, resnet50
    from qgraph.zoo.digits import digits_cnn, digits_data, digits_mlp
    from qgraph.zoo.sentences import calibration, sentences, tokens
    from qgraph.zoo.text import bert_base, minilm

_HOMES = {
    "bert_base": "text",
    "calibration": "sentences",
    "digits_cnn": "digits",
    "digits_data": "digits",
    "digits_mlp": "digits",
    "minilm": "text",
    "mobilenet_v2": "cnn",
    "noise_images": "cnn",
    "resnet50": "cnn",
    "sentences": "sentences",
    "tokens": "sentences",
}

__all__ = [
    "bert_base",
    "calibration",
    "digits_cnn",
    "digits_data",
    "digits_mlp",
    "minilm",
    "mobilenet_v2",
    "noise_images",
    "resnet50",
    "sentences",
    "tokens",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
