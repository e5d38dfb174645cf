"""Volumes at s3:// and gs://, against servers on this machine that also fail, answer late, or are not there."""

import http.client
import http.server
import json
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator

import numpy as np
import pytest

from clew import cli
from clew.errors import InputError
from clew.volumes.location import read_bytes, write_bytes
from clew.volumes.open import open_volume
from clew.volumes.save import create_volume, save_volume

DATA = np.random.default_rng(0).integers(1, 200, (70, 40, 130), np.uint8)
VOXEL_SIZE = (40, 8, 8)


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


@pytest.fixture(params=["s3", "google"])
def url(request: pytest.FixtureRequest) -> str:
    request.getfixturevalue(request.param)
    return {"s3": "s3://bucket/deep/a.zarr", "google": "gs://bucket/deep/a.zarr"}[request.param]


def keys(backend: int) -> list[str]:
    """All objects in the bucket."""
    listing = urllib.request.urlopen(f"http://127.0.0.1:{backend}/bucket?list-type=2").read().decode()
    return sorted(part.partition("</Key>")[0] for part in listing.split("<Key>")[1:])


def test_what_is_written_is_read(url: str):
    save_volume(url, DATA, voxel_size=VOXEL_SIZE, offset=(80, 0, 16), attributes={"stage": "test"})
    volume = open_volume(url)
    np.testing.assert_array_equal(volume.read(), DATA)
    assert (volume.voxel_size, volume.offset) == ((40, 8, 8), (80, 0, 16))
    assert volume.attributes["stage"] == "test"
    np.testing.assert_array_equal(open_volume(f"{url}/s0")[5:7, :, 3], DATA[5:7, :, 3])


def test_an_output_is_replaced_at_the_end_only(url: str):
    save_volume(url, DATA, voxel_size=VOXEL_SIZE)
    with pytest.raises(InputError, match="exists already"):
        save_volume(url, DATA, voxel_size=VOXEL_SIZE)
    with create_volume(url, shape=(2, 3, 4), dtype="uint8", voxel_size=VOXEL_SIZE, overwrite=True) as volume:
        volume[:] = DATA[:2, :3, :4]
        assert open_volume(url).shape == DATA.shape
    np.testing.assert_array_equal(open_volume(url).read(), DATA[:2, :3, :4])
    assert read_bytes(f"{url}/s0", "zarr.json") is None, "the array that was replaced"


def test_a_failure_leaves_nothing(s3: Server, backend: int):
    created = create_volume("s3://bucket/a.zarr", shape=DATA.shape, dtype="uint8", voxel_size=VOXEL_SIZE)
    with pytest.raises(RuntimeError, match="stop"), created as volume:
        volume[:64, :, :64] = DATA[:64, :, :64]
        assert len(keys(backend)) == 2
        raise RuntimeError("stop")
    assert keys(backend) == []


def test_what_is_no_ome_zarr_is_not_replaced(s3: Server, backend: int):
    write_bytes("s3://bucket/a.zarr", "zarr.json", b'{"zarr_format": 3, "node_type": "array"}')
    with pytest.raises(InputError, match="no OME-Zarr; it is not replaced"):
        save_volume("s3://bucket/a.zarr", DATA, voxel_size=VOXEL_SIZE, overwrite=True)
    assert keys(backend) == ["a.zarr/zarr.json"]


def test_errors_now_and_then_and_slow_answers_do_not_matter(s3: Server):
    counter = iter(range(10**6))
    s3.misbehave = lambda method, path: 503 if next(counter) % 9 == 1 else time.sleep(0.02)
    save_volume("s3://bucket/a.zarr", DATA, voxel_size=VOXEL_SIZE)
    np.testing.assert_array_equal(open_volume("s3://bucket/a.zarr").read(), DATA)
    assert next(counter) > 20


def test_refusals_are_one_line_and_leave_no_volume(s3: Server, backend: int):
    def refuse(method: str, path: str) -> int | None:
        return 403 if method == "PUT" and "/c/" in path else None

    s3.misbehave = refuse
    with pytest.raises(InputError, match=r"s3://bucket/a.zarr cannot be written: .*403") as error:
        save_volume("s3://bucket/a.zarr", DATA, voxel_size=VOXEL_SIZE)
    assert "\n" not in str(error.value)
    assert keys(backend) == []
    with pytest.raises(InputError, match=r"s3://nowhere/a.zarr cannot be written: .*NoSuchBucket"):
        save_volume("s3://nowhere/a.zarr", DATA, voxel_size=VOXEL_SIZE)
    s3.misbehave = lambda method, path: 403
    with pytest.raises(InputError, match=r"s3://bucket/b.zarr cannot be written: .*403"):
        save_volume("s3://bucket/b.zarr", DATA, voxel_size=VOXEL_SIZE)


def test_a_damaged_chunk_is_one_line(s3: Server):
    save_volume("s3://bucket/a.zarr", DATA, voxel_size=VOXEL_SIZE)
    write_bytes("s3://bucket/a.zarr/s0", "c/0/0/1", b"no chunk")
    with pytest.raises(InputError, match=r"s3://bucket/a.zarr/s0") as error:
        open_volume("s3://bucket/a.zarr").read()
    assert "\n" not in str(error.value)


def test_a_server_that_is_not_there_is_said_soon(s3: Server, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(InputError, match="s3://bucket/a.zarr"):
        open_volume("s3://bucket/a.zarr")


def test_command_converts_to_and_from(s3: Server, tmp_path):
    save_volume(tmp_path / "a.zarr", DATA, voxel_size=VOXEL_SIZE)
    cli.main(["convert", str(tmp_path / "a.zarr"), "s3://bucket/b.zarr"])
    cli.main(["convert", "s3://bucket/b.zarr", str(tmp_path / "c.h5:raw")])
    np.testing.assert_array_equal(open_volume(f"{tmp_path}/c.h5:raw").read(), DATA)
