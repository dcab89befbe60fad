"""The server: this machine only, nothing but what it was given, a clean end; and what the command says."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from http.client import HTTPConnection
from importlib import util
from pathlib import Path
from urllib.error import HTTPError

import pytest
from qgraph.tools.viewer.scenes import Show, build, timeline
from qgraph.tools.viewer.server import Server, explorer_files

from qgraph.capture import from_factory
from qgraph.errors import QGraphError
from qgraph.ir import io


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("server") / "digits.onnx"
    io.save(from_factory("qgraph.zoo:digits_cnn"), path)
    return path


@pytest.fixture(scope="module")
def server(model: Path) -> Iterator[Server]:
    with Server(build([str(model)], None, [], 1)) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.stop()


def get(server: Server, path: str, **headers: str) -> tuple[int, bytes]:
    connection = HTTPConnection(*server.server_address[:2], timeout=10)
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_graphs_and_overlays_come_as_json(server: Server) -> None:
    with urllib.request.urlopen(server.url + "show.json") as answer:
        content = json.load(answer)
    assert content["scenes"][0]["title"] == "digits.onnx" and content["problems"] == []
    overlay = next(o for o in content["graphs"][0]["overlays"] if o["key"] == "bits")
    assert {value for _, value in overlay["rows"]} == {32.0}
    status, text = get(server, "/api/v1/load_graphs_json?graph_index=0")
    nodes = json.loads(text)["graphCollections"][0]["graphs"][0]["nodes"]
    conv = next(n for n in nodes if n["label"] == "Conv")
    told = {a["key"]: a["value"] for a in conv["attrs"]}
    assert status == 200 and told["weight bits"] == "32" and ".py:" in told["source"] and conv["incomingEdges"]
    ids = {n["id"] for n in nodes}
    assert len(ids) == len(nodes) and all(e["sourceNodeId"] in ids for n in nodes for e in n["incomingEdges"])
    status, text = get(server, f"/api/v1/load_node_data?node_data_index={overlay['number']}")
    assert conv["id"] in json.loads(json.loads(text)["content"])["digits.onnx"]["results"]


def test_only_what_was_given_is_served(server: Server, model: Path) -> None:
    assert server.server_address[0] == "127.0.0.1"
    for path in (
        f"/api/v1/read_text_file?path={model}",
        "/explorer/../server.py",
        "/../../etc/passwd",
        f"/{model}",
        "/api/v1/load_graphs_json?graph_index=7",
        "/api/v1/load_graphs_json?graph_index=-1",
        "/api/v1/load_graphs_json",
        "/api/v1/load_node_data?node_data_index=x",
    ):
        assert get(server, path)[0] == 404, path
    assert get(server, "/", Host="elsewhere.example")[0] == 403
    with pytest.raises(HTTPError, match="501"):
        urllib.request.urlopen(server.url + "apipost/v1/upload", data=b"x")
    page = get(server, "/explorer/")[1].decode()
    assert "https://fonts" not in page and '<base href="/explorer/">' in page


def test_ctrl_c_stops_it(model: Path) -> None:
    # a test run in the background ignores the signal, and so would its children
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); from qgraph.cli import main; main()"
    command = [sys.executable, "-c", code, "view", str(model), "--no-browser"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    url = process.stdout.readline().split()[0]
    assert urllib.request.urlopen(url).status == 200
    stream = urllib.request.urlopen(url + "apistream/server_director")  # a page that is still open
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    stream.close()
    assert process.returncode == 0 and out.strip() == "stopped" and "Traceback" not in err


def test_without_the_extra_the_command_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(util, "find_spec", lambda name: None)
    with pytest.raises(QGraphError, match=r"pip install 'qgraph\[view\]'"):
        explorer_files()


def test_bad_input_is_named(tmp_path: Path, model: Path) -> None:
    with pytest.raises(QGraphError, match="no such file"):
        build([str(tmp_path / "none.onnx")], None, [], 1)
    (tmp_path / "report.json").write_text('{"passes": [{"name": "x"}]}')
    show = build([str(model)], str(tmp_path / "report.json"), [], 1)
    assert "no report of 'qgraph transform --report'" in show.problems[0]
    with pytest.raises(QGraphError, match="no report"):
        timeline(Show(), str(tmp_path / "nothing.json"))
    with Server(show) as server, pytest.raises(QGraphError, match="cannot be used"):
        Server(show, server.server_address[1])
