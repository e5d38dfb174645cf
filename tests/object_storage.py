"""S3 and Google servers on this machine, as fixtures; they may be told to fail or to answer late."""

import http.client
import http.server
import json
import threading
import urllib.parse
import urllib.request
from collections.abc import Iterator

import pytest


class Server(http.server.ThreadingHTTPServer):
    """Passes requests on to another server, or answers from memory; may be told to misbehave.

    misbehave(method, path) returns a status to answer with instead, or None; it may wait first.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, handler: type[http.server.BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.misbehave = lambda method, path: None
        self.seen: list[tuple[str, str]] = []
        self.objects: dict[str, bytes] = {}
        self.backend = 0


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def handle_any(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.seen.append((self.command, self.path))
        status = self.server.misbehave(self.command, self.path)
        if status is not None:
            self.reply(status, b"out of order")
        else:
            self.answer(content)

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any

    def answer(self, content: bytes) -> None:
        raise NotImplementedError

    def reply(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        pass


class Proxy(Handler):
    """In front of the S3 server."""

    def answer(self, content: bytes) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.backend)
        connection.request(self.command, self.path, content, dict(self.headers))
        found = connection.getresponse()
        body = found.read()
        dropped = ("content-length", "transfer-encoding", "connection")
        self.reply(found.status, body, {k: v for k, v in found.getheaders() if k.lower() not in dropped})
        connection.close()


class Google(Handler):
    """The little of Google's JSON interface that is needed, in memory."""

    def answer(self, content: bytes) -> None:
        url = urllib.parse.urlsplit(self.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        objects, name = self.server.objects, urllib.parse.unquote(url.path.partition("/o/")[2])
        if url.path.startswith("/upload/"):
            objects[query["name"]] = content
            self.reply(200, _object(query["name"]))
        elif not name:
            first, end = query.get("startOffset", ""), query.get("endOffset", "\U0010ffff")
            found = sorted(key for key in objects if first <= key < end and key.startswith(query.get("prefix", "")))
            self.reply(200, json.dumps({"items": [json.loads(_object(key)) for key in found]}).encode())
        elif name not in objects:
            self.reply(404, b"{}")
        elif self.command == "DELETE":
            objects.pop(name, None)
            self.reply(204, b"")
        else:
            self.reply(200, objects[name], {"x-goog-generation": "1"})


def _object(name: str) -> bytes:
    return json.dumps({"name": name, "generation": "1", "size": "0"}).encode()


def running(handler: type[Handler]) -> Iterator[Server]:
    with Server(handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def backend() -> Iterator[int]:
    server = pytest.importorskip("moto.server", reason="moto is a dependency of development only")
    moto = server.ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    moto.start()
    yield moto.get_host_and_port()[1]
    moto.stop()


@pytest.fixture
def s3(backend: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """An empty bucket s3://bucket behind the proxy."""
    for server in running(Proxy):
        server.backend = backend
        for method, path in (("POST", "/moto-api/reset"), ("PUT", "/bucket")):
            urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{backend}{path}", method=method))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "name")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        yield server


@pytest.fixture
def google(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for server in running(Google):
        monkeypatch.setenv("TENSORSTORE_GCS_HTTP_URL", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("GOOGLE_AUTH_TOKEN_FOR_TESTING", "token")
        yield server


def keys(backend: int) -> list[str]:
    """All objects in the bucket."""
    listing = urllib.request.urlopen(f"http://127.0.0.1:{backend}/bucket?list-type=2").read().decode()
    return sorted(part.partition("</Key>")[0] for part in listing.split("<Key>")[1:])
