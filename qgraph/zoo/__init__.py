"""Small model factories for demos and tests.

Each factory returns ``(module, example inputs, dynamic shapes)`` and can be captured by name:
``qgraph capture qgraph.zoo:minilm -o minilm.onnx``. Data factories return an iterable of input dicts.
"""

from qgraph.zoo.cnn import mobilenet_v2, noise_images, resnet50
from qgraph.zoo.digits import digits_cnn, digits_data
from qgraph.zoo.text import bert_base, calibration, minilm, sentences, tokens

__all__ = [
    "bert_base",
    "calibration",
    "digits_cnn",
    "digits_data",
    "minilm",
    "mobilenet_v2",
    "noise_images",
    "resnet50",
    "sentences",
    "tokens",
]
