"""What neuroglancer's graph tools, and cloud-volume, ask of a server of segments.

Below ``/clew/TOKEN/`` as everything, and also without a path before ``/segmentation``, for readers that allow none: their table is
``clew-TOKEN``. What an edit has changed is on the disk before it is answered.
"""

import asyncio
import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import tornado.web

from clew.errors import InputError
from clew.space import Box
from clew.view.graphene import Graph, Point
from clew.view.keys import Keys
from clew.view.server import Handler

TABLE = "segments"
EDITING = ThreadPoolExecutor(1, "edits")
"""Edits are done one after another."""


def _table(service: str, rest: str) -> str:
    return rf"(?:/clew/([^/]+)/{service}/table/{TABLE}\d*|/{service}/table/clew-([^/]+))/{rest}"


def _box(text: str) -> Box:
    """A box that is written x0-x1_y0-y1_z0-z1."""
    found = re.fullmatch(r"(\d+)-(\d+)_(\d+)-(\d+)_(\d+)-(\d+)", text)
    if found is None:
        raise InputError(f"a box is written x0-x1_y0-y1_z0-z1, not {text!r}")
    numbers = [int(number) for number in found.groups()]
    return Box.between(numbers[4::-2], numbers[5::-2])


class GraphHandler(Handler):
    """What all of these share.

    404 where nothing is corrected, and InputErrors as the message of a 400.
    """

    @property
    def token(self) -> str:
        """Of the viewer that is asked for."""
        return next((found for found in self.path_args[:2] if found), "")

    @property
    def keys(self) -> Keys:
        """Of the viewer that is asked for."""
        keys = self.served().keys
        if keys is None:
            raise tornado.web.HTTPError(404)
        return keys

    @property
    def graph(self) -> Graph:
        """Of the viewer that is asked for."""
        return self.keys.graph

    async def reply(self, work: Callable[..., Any], *arguments: Any, executor: Any = EDITING) -> None:
        """Answer with a document that a thread makes."""
        try:
            found = await asyncio.wrap_future(executor.submit(work, *arguments))
        except InputError as error:
            self.set_status(400)
            found = {"message": str(error)}
        except Exception as error:
            self.served().complain(error)
            raise tornado.web.HTTPError(500) from None
        self.finish_json(found)

    def finish_json(self, document: Any) -> None:
        """Answer with a document."""
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps(document))

    def point(self, listed: list[Any]) -> Point:
        """An id and a place in nm, as [id, x, y, z]."""
        node, *place = listed
        return int(node), (np.array(place, float) / self.graph.size[::-1]).tolist()


class InfoHandler(GraphHandler):
    """The document of the volume."""

    def get(self, token: str, named: str) -> None:
        self.finish_json(self.graph.info(f"{self.address}/supervoxels"))


class DataHandler(GraphHandler):
    """Ids of fragments as precomputed chunks, and surfaces.

    As ``s0/0-64_0-64_0-64`` and ``mesh/ID``.
    """

    @property
    def token(self) -> str:
        """Of the viewer that is asked for."""
        return self.path_args[0]

    async def get(self, token: str, path: str) -> None:
        graph = self.graph
        chunk, mesh = re.fullmatch(r"s(\d+)/([\d_-]+)", path), re.fullmatch(r"mesh/+(\d+)", path)
        if path == "info":
            self.finish_json(graph.info(f"{self.address}/supervoxels"))
        elif path == "mesh/info":
            self.finish_json({"@type": "neuroglancer_legacy_mesh"})
        elif mesh:
            await self.answer(self.server.executor, graph.mesh, int(mesh[1]))
        elif chunk and int(chunk[1]) < len(graph.layer.scales):
            self.set_header("Content-Encoding", "gzip")
            await self.answer(self.server.executor, graph.chunk, int(chunk[1]), _box(chunk[2]))
        else:
            raise tornado.web.HTTPError(404)


class RootHandler(GraphHandler):
    """The segment of a fragment."""

    async def get(self, token: str, named: str, node: str) -> None:
        await self.reply(lambda: {"root_id": str(self.graph.segments_of([int(node)])[0])})


class RootsHandler(GraphHandler):
    """The segments of many fragments, as bytes of uint64."""

    async def post(self, token: str, named: str) -> None:
        nodes = np.frombuffer(self.request.body, "<u8").tolist()
        await self.answer(EDITING, lambda: np.array(self.graph.segments_of(nodes), "<u8").tobytes())


class LeavesHandler(GraphHandler):
    """The fragments of a segment (GET) or of several (POST), in a box."""

    async def get(self, token: str, named: str, node: str) -> None:
        await self.reply(lambda: {"leaf_ids": self._leaves(node)}, executor=self.server.executor)

    async def post(self, token: str, named: str, node: str) -> None:
        nodes = json.loads(self.request.body)["node_ids"]
        await self.reply(lambda: {str(each): self._leaves(each) for each in nodes}, executor=self.server.executor)

    def _leaves(self, node: str) -> list[str]:
        bounds = self.get_query_argument("bounds", "")
        return self.graph.leaves(int(node), _box(bounds) if bounds else None)


class MergeHandler(GraphHandler):
    """Join the segments at two points."""

    async def post(self, token: str, named: str) -> None:
        one, other = (self.point(listed) for listed in json.loads(self.request.body))
        await self.reply(lambda: _made(self.graph.merge(one, other)))


class SplitHandler(GraphHandler):
    """Cut a segment between two groups of points."""

    async def post(self, token: str, named: str) -> None:
        document = json.loads(self.request.body)
        sources, sinks = ([self.point(listed) for listed in document[side]] for side in ("sources", "sinks"))
        await self.reply(lambda: _made(self.graph.split(sources, sinks)))


class LatestHandler(GraphHandler):
    """Which of some segments are segments now."""

    async def post(self, token: str, named: str) -> None:
        nodes = json.loads(self.request.body)["node_ids"]
        await self.reply(lambda: {"is_latest": [self.graph.is_latest(int(node)) for node in nodes]})


class ManifestHandler(GraphHandler):
    """The one piece of which the surface of a segment consists."""

    def get(self, token: str, named: str, node: str) -> None:
        self.finish_json({"fragments": [node] if self.graph.is_latest(int(node)) else [], "seg_ids": []})


class ActionHandler(GraphHandler):
    """What keys of the page do.

    The answer says which segments have taken the place of those that were selected.
    """

    @property
    def token(self) -> str:
        """Of the viewer that is asked for."""
        return self.path_args[0]

    async def post(self, token: str, action: str) -> None:
        document = json.loads(self.request.body)
        selected = [int(node) for node in document.get("selected", ())]
        keys = self.keys
        await self.reply(lambda: keys.press(action, document) | self._now(selected))

    def _now(self, selected: list[int]) -> dict[str, Any]:
        """What has become of selected segments, and by which address data are read."""
        gone = [node for node in selected if not self.graph.is_latest(node)]
        latest = {str(node): [str(new) for new in self.graph.latest(node)] for node in gone}
        return {"selected": latest, "version": self.graph.version, "changes": self.graph.changes}


def _made(segments: list[int]) -> dict[str, Any]:
    return {"operation_id": "0", "new_root_ids": [str(segment) for segment in segments]}


_API = "segmentation/api/v1"
ROUTES: list[tuple[str, type[Handler]]] = [
    (_table("segmentation", "info"), InfoHandler),
    (_table(_API, r"node/(\d+)/root"), RootHandler),
    (_table(_API, "roots_binary"), RootsHandler),
    (_table(_API, r"node/(\d+|leaves_many)(?:/leaves)?"), LeavesHandler),
    (_table(_API, "merge"), MergeHandler),
    (_table(_API, "split"), SplitHandler),
    (_table(_API, "is_latest_roots"), LatestHandler),
    (_table("meshing/api/v1", r"manifest/(\d+):\d+"), ManifestHandler),
    (r"/clew/([^/]+)/supervoxels\d*/(.+)", DataHandler),
    (r"/clew/([^/]+)/edits/(\w+)", ActionHandler),
]
"""Paths and who answers them."""
