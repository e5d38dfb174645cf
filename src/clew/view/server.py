"""What neuroglancer's own web server answers besides.

The page, its state, virtual OME-Zarr and meshes.

All lies below ``/clew/TOKEN/``; without the token of a viewer there is nothing. Addresses are those by which the browser asked, so
that tunnels work, and only names of this machine are answered, so that no page of others reaches it through a name of its own.
"""

import asyncio
import json
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any
from weakref import WeakValueDictionary

import tornado.web

from clew.errors import InputError
from clew.view.keys import Keys
from clew.view.meshes import Meshes
from clew.view.virtual_zarr import VirtualZarr

OTHER_HOSTS = r"(?!(?:localhost|127\.0\.0\.1|\[::1\])$).*"
PATHS = (r"/clew/([^/]+)/state", r"/clew/([^/]+)/zarr/([^/]+?)(?:~\d+)?/(.+)", r"/clew/([^/]+)/mesh/([^/]+)/(\d+)/(.+)",
         r"/clew/([^/]+)/segments/([^/]+)/(\d+)", r"/clew/([^/]+)/page\.js", r"/v/([^/]+)/")  # fmt: skip
KEPT = "private, max-age=86400, immutable"
"""For what never changes below one token."""
SEGMENTS = 10_000
"""Ids that are looked up at a time, at most."""
OLD_ADDRESS = re.compile(r'https?://[^/"|]+/(?:[^"|]*?/)?clew/[^/"|]+')


@dataclass
class Served:
    """What one viewer shows.

    Parameters
    ----------
    state : mapping
        The state of neuroglancer, with addresses that begin with `PLACEHOLDER`.
    zarrs, meshes : mapping
        By the names of layers.
    say : callable
        Called with a sentence where something cannot be read.
    keys : Keys, optional
        Of the layer whose segments are corrected.
    keep : callable, optional
        Called with the state as text whenever it changes.
    said : set of str
        Sentences that were said.
    working : int
        Answers that are being made.
    heard : float
        When the last answer was made, by `time.monotonic`.
    """

    state: Mapping[str, Any]
    zarrs: Mapping[str, VirtualZarr]
    meshes: Mapping[str, Meshes]
    say: Callable[[str], None]
    keys: Keys | None = None
    keep: Callable[[str], None] | None = None
    said: set[str] = field(default_factory=set)
    working: int = 0
    heard: float = field(default_factory=time.monotonic)

    def quiet(self) -> float:
        """Seconds since the last answer was made; 0 while one is."""
        return 0.0 if self.working else time.monotonic() - self.heard

    @contextmanager
    def answering(self) -> Iterator[None]:
        """While an answer is being made."""
        self.working += 1
        try:
            yield
        finally:
            self.working -= 1
            self.heard = time.monotonic()

    def complain(self, error: Exception) -> None:
        """Say what is wrong, once."""
        text = str(error) if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
        if text not in self.said:
            self.said.add(text)
            self.say(text)


PLACEHOLDER = "http://viewer/clew/token"
VIEWERS: "WeakValueDictionary[str, Served]" = WeakValueDictionary()
"""What is shown, by the tokens of viewers."""
MESHING = ThreadPoolExecutor(1, "meshes")


def add_handlers(server: Any, more: Iterable[tuple[str, type["Handler"]]]) -> None:
    """Let neuroglancer's server answer for clew, too; once for each server.

    `more` are further paths and who answers them.
    """
    if getattr(server, "clew", False):
        return
    handlers = (StateHandler, ZarrHandler, MeshHandler, SegmentsHandler, ScriptHandler, PageHandler)
    server.app.add_handlers(OTHER_HOSTS, [(r".*", RefusedHandler)])
    every = (*zip(PATHS, handlers, strict=True), *more)
    server.app.add_handlers(r".*", [(path, each, {"server": server}) for path, each in every])
    server.clew = True


def readdressed(state: str, address: str) -> str:
    """A state with the addresses of this viewer, whatever viewer it was kept from."""
    return OLD_ADDRESS.sub(lambda _: address, state)


class RefusedHandler(tornado.web.RequestHandler):
    """Answer nothing to pages that reach this server by a name of their own."""

    def prepare(self) -> None:
        raise tornado.web.HTTPError(403)


class Handler(tornado.web.RequestHandler):
    """What all handlers share: 404 without the token, and errors in one line."""

    def initialize(self, server: Any) -> None:
        self.server = server

    def served(self) -> Served:
        """What the viewer of the token shows."""
        found = VIEWERS.get(self.token)
        if found is None:
            raise tornado.web.HTTPError(404)
        return found

    @property
    def token(self) -> str:
        """Of the viewer that is asked for."""
        return self.path_args[0] or ""

    @property
    def address(self) -> str:
        """Where the browser finds this viewer."""
        return f"{self.request.protocol}://{self.request.host}/clew/{self.token}"

    async def answer(self, executor: Executor, work: Callable[..., bytes | None], *arguments: Any) -> None:
        """Answer with bytes that a thread makes, 404 for None."""
        served = self.served()
        try:
            with served.answering():
                found = await asyncio.wrap_future(executor.submit(work, *arguments))
        except Exception as error:
            served.complain(error)
            raise tornado.web.HTTPError(500) from None
        if found is None:
            raise tornado.web.HTTPError(404)
        self.set_header("Content-Type", "application/octet-stream")
        self.finish(found)

    def log_exception(self, *_: Any) -> None:
        """Nothing of the server's own: what matters was said."""


class StateHandler(Handler):
    """The state with which a page begins, and where it is kept."""

    def get(self, token: str) -> None:
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(self.served().state).replace(PLACEHOLDER, self.address))

    def post(self, token: str) -> None:
        keep = self.served().keep
        if keep is None:
            raise tornado.web.HTTPError(404)
        keep(self.request.body.decode())


class ZarrHandler(Handler):
    """Virtual OME-Zarr: ``zarr.json``, ``s1/zarr.json``, ``s1/c/0/0/0``.

    A number after the name, ``~3``, makes a new address of what has changed.
    """

    async def get(self, token: str, name: str, path: str) -> None:
        zarr = self.served().zarrs.get(name)
        found = re.fullmatch(r"s(\d+)/(?:zarr\.json|c/([\d/]+))", path)
        if zarr is None or not (path == "zarr.json" or (found and int(found[1]) < len(zarr.shapes))):
            raise tornado.web.HTTPError(404)
        self.set_header("Cache-Control", "no-store" if zarr.layer.changing else KEPT)
        if found is None or found[2] is None:
            self.finish(zarr.group() if found is None else zarr.array(int(found[1])))
            return
        place = tuple(int(number) for number in found[2].split("/"))
        await self.answer(self.server.executor, zarr.chunk, int(found[1]), place)


class MeshHandler(Handler):
    """Meshes in neuroglancer's legacy format.

    ``info``, ``ID:0`` for the list of pieces, and the one piece ``ID``.
    """

    async def get(self, token: str, name: str, step: str, path: str) -> None:
        meshes = self.served().meshes.get(name)
        found = re.fullmatch(r"(\d+)(:0)?", path)
        if meshes is None or not (found or path == "info"):
            raise tornado.web.HTTPError(404)
        if found is None:
            self.finish({"@type": "neuroglancer_legacy_mesh"})
        elif found[2]:
            self.finish({"fragments": [found[1]]})
        else:
            self.set_header("Cache-Control", "no-store" if meshes.layer.changing else KEPT)
            await self.answer(MESHING, meshes.mesh, int(found[1]), int(step))


class SegmentsHandler(Handler):
    """The segments of fragments at a threshold, as text, in their order.

    Those of ids that are no fragments are 0.
    """

    async def get(self, token: str, name: str, step: str) -> None:
        meshes = self.served().meshes.get(name)
        ids = [int(text) for text in self.get_query_argument("ids", "").split(",") if text.isdigit()][:SEGMENTS]
        if meshes is None or meshes.cuts is None:
            raise tornado.web.HTTPError(404)
        await self.answer(self.server.executor, meshes.segments_of, ids, int(step))


class ScriptHandler(Handler):
    """What is added to the page.

    Where segments are corrected, the keys for that, too.
    """

    def get(self, token: str) -> None:
        names = ("page.js",) if self.served().keys is None else ("page.js", "proofread.js")
        self.set_header("Content-Type", "text/javascript")
        self.finish(b"".join((files("clew.view") / name).read_bytes() for name in names))


class PageHandler(Handler):
    """The page of neuroglancer with our script.

    It asks for no icon, which would not be there.
    """

    def get(self, token: str) -> None:
        from neuroglancer.server import global_static_content_source

        keep = str(self.served().keep is not None).lower()
        added = f'<link rel="icon" href="data:,"><script src="../../clew/{token}/page.js" data-keep="{keep}"></script>'
        page, content_type = global_static_content_source.get("", "")
        self.set_header("Content-Type", content_type)
        self.finish(page.replace(b"<head>", b"<head>" + added.encode(), 1))
