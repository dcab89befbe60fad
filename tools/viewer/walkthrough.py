"""The models of the README: ``python -m qgraph.tools.viewer.walkthrough FOLDER``.

A MiniLM whose masked attention scores were quantized in one layer, as tools that quantize every op do, and the way to that layer.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import onnx_ir as ir
from qgraph.tools.viewer.browser import Browser
from qgraph.tools.viewer.scenes import build
from qgraph.tools.viewer.server import Server

from qgraph.capture import from_factory
from qgraph.errors import QGraphError
from qgraph.ir import io
from qgraph.ir.patterns import add_initializer, new_node, nodes
from qgraph.workflow import transform
from qgraph.zoo.sentences import calibration


def spoil(model: ir.Model, layer: int) -> str:
    """Quantize the masked attention scores that a layer's Softmax reads to 8 bits, in place; returns their value."""
    softmax = nodes(model, "Softmax")[layer]
    scores = softmax.inputs[0]
    if scores is None or scores.name is None:
        raise QGraphError("the Softmax reads nothing")
    name, scores.name = scores.name, f"{scores.name}_raw"
    lowest = float(np.finfo(np.float32).min)
    scale = add_initializer(model, f"{name}_scale", np.array(-lowest / 255, np.float32))
    zero = add_initializer(model, f"{name}_zero_point", np.array(255, np.uint8))
    codes = new_node(softmax, "QuantizeLinear", [scores, scale, zero], name=f"{name}_quantize")
    back = new_node(softmax, "DequantizeLinear", [codes.outputs[0], scale, zero], name=f"{name}_dequantize")
    made = ((codes.outputs[0], f"{name}_quantized", ir.DataType.UINT8), (back.outputs[0], name, ir.DataType.FLOAT))
    for value, new, kind in made:
        value.name, value.shape, value.dtype = new, scores.shape, kind
    model.graph.insert_before(softmax, [codes, back])
    softmax.replace_input_with(0, back.outputs[0])
    return name


def main(folder: Path) -> None:
    """Take the models."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        here = Path(name)
        model = from_factory("qgraph.zoo:minilm")
        io.save(model, here / "minilm.onnx")
        transform(model, preset="int8", data=list(calibration()))
        spoil(model, 2)
        io.save(model, here / "minilm-int8.onnx")
        files = [str(here / "minilm.onnx"), str(here / "minilm-int8.onnx")]
        show = build(files, None, list(itertools.islice(calibration(), 1)), 1)
        browser = Browser(1300, 800)
        try:
            with Server(show) as server:
                threading.Thread(target=server.serve_forever, daemon=True).start()
                browser.open(server.url)
                browser.click("minilm-int8.onnx")
                browser.overlay("noise made here, part of the signal")
                first = browser.rows()[0][0]
                browser.find(f"//tr[@data-node='{first}']//button").click()
                browser.expect(first)
                time.sleep(2)  # the camera moves
                browser.driver.save_screenshot(str(folder / "worst.png"))
                browser.click("minilm.onnx | minilm-int8.onnx")
                browser.find("//tr[contains(., 'layer_2/attention/self/key') and contains(., 'changed')]//button").click()
                browser.expect("self/key", 1)
                time.sleep(3)
                browser.driver.save_screenshot(str(folder / "diff.png"))
                server.stop()
        finally:
            browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
