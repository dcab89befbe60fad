"""A server for this machine only: the page, Model Explorer's files, and the graphs of one call; it opens no other file."""

from __future__ import annotations

import json
import mimetypes
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import util
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from qgraph.tools.viewer.scenes import Show

from qgraph.errors import QGraphError

HOST = "127.0.0.1"
PAGE = Path(__file__).parent / "page"
EXPLORER = "/explorer/"
POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; frame-ancestors 'self'"
)


def explorer_files() -> Path:
    """The folder of Model Explorer's web app; raises QGraphError where the package is missing."""
    spec = util.find_spec("model_explorer")
    if spec is None or spec.origin is None:
        raise QGraphError("the visualizer needs Model Explorer, which is not installed: pip install 'qgraph[view]'")
    return Path(spec.origin).parent / "web_app"


class Server(ThreadingHTTPServer):
    """Serves ``show`` on the loopback address; port 0 takes a free one."""

    daemon_threads = True

    def __init__(self, show: Show, port: int = 0) -> None:
        folder = explorer_files()
        self.show = show
        self.files = {f"/{p.name}": p for p in PAGE.iterdir() if p.is_file()}
        self.files |= {EXPLORER + p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
        self.files |= {"/" + p.relative_to(folder).as_posix(): p for p in (folder / "static_files").rglob("*") if p.is_file()}
        self.stopped = threading.Event()
        try:
            super().__init__((HOST, port), Handler)
        except OSError as error:
            raise QGraphError(f"port {port} cannot be used ({error.strerror}); give another --port, or none") from error

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.server_address[1]}/"

    def stop(self) -> None:
        """End open streams and the loop."""
        self.stopped.set()
        self.shutdown()


class Handler(BaseHTTPRequestHandler):
    """Answers GET requests of a page that came from this server."""

    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        return

    def do_GET(self) -> None:
        port = self.server.server_address[1]
        if self.headers.get("Host") not in (f"{HOST}:{port}", f"localhost:{port}"):  # another site's name for this address
            return self.send(403, "text/plain", b"wrong host")
        parts = urlsplit(self.path)
        query = {key: values[-1] for key, values in parse_qs(parts.query).items()}
        try:
            return self.answer(parts.path, query)
        except (BrokenPipeError, ConnectionResetError):
            return None

    def answer(self, path: str, query: dict[str, str]) -> None:
        show = self.server.show
        if path == "/":
            path = "/index.html"
        if path == EXPLORER:
            path += "index.html"
        if path in self.server.files:
            return self.file(self.server.files[path], explorer=path.startswith(EXPLORER))
        if path == "/show.json":
            return self.json(show.page())
        if path == "/api/v1/get_extensions":
            return self.json(
                [{"fileExts": ["json"], "type": "adapter", "id": "builtin_json", "name": "graphs", "description": ""}]
            )
        if path == "/api/v1/check_new_version":
            return self.json({"version": "", "runningVersion": "", "releaseUrl": "", "desktopAppUrl": ""})
        if path == "/api/v1/notify_user_provided_model_path":
            return self.json({"status": "ok"})
        if path == "/apistream/server_director":
            return self.stream()
        try:
            if path == "/api/v1/load_graphs_json":
                graph = show.drawn[number(query["graph_index"])]
                return self.json({"graphCollections": [{"label": "", "graphs": [graph.graph]}]})
            if path == "/api/v1/load_node_data":
                return self.json({"content": json.dumps(show.node_data(number(query["node_data_index"])))})
        except (KeyError, ValueError, IndexError):
            pass
        return self.send(404, "text/plain", b"not here")

    def json(self, content: Any) -> None:
        self.send(200, "application/json", json.dumps(content, allow_nan=False, default=str).encode())

    def file(self, path: Path, *, explorer: bool) -> None:
        content = path.read_bytes()
        if explorer and path.name == "index.html":
            content = offline(content.decode()).encode()
        self.send(200, mimetypes.guess_type(path.name)[0] or "application/octet-stream", content)

    def send(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", POLICY)
        self.end_headers()
        self.wfile.write(content)

    def stream(self) -> None:
        """An event stream without events: the page asks for one and would ask again."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.close_connection = True
        while not self.server.stopped.wait(5):
            self.wfile.write(b": here\n\n")
            self.wfile.flush()


def number(text: str) -> int:
    """A number that counts something; raises ValueError for others."""
    if not text.isdecimal():
        raise ValueError(text)
    return int(text)


def offline(page: str) -> str:
    """Model Explorer's page under its own path, with the fonts that lie beside it and none from elsewhere."""
    page = page.replace('<base href="/">', f'<base href="{EXPLORER}">')
    page = re.sub(r"<link[^>]*https://[^>]*>", "", page)
    page = re.sub(r"@font-face\s*{[^}]*https://[^}]*}", "", page)
    return page.replace('href="/static_files/', f'href="{EXPLORER}static_files/')
