"""Files of PyChunkedGraph read by protobuf's own classes, and taken in as it does that."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

BYTES, MESSAGE, UINT64 = 12, 11, 4  # types of fields in descriptors
KINDS = ("in_chunk", "cross_chunk", "between_chunk")


class Ingested(NamedTuple):
    """What is found in all chunks: edges of each kind, and the object of each supervoxel."""

    edges: dict[str, np.ndarray]
    """Of each kind (n, 4): two supervoxels, affinity, area."""
    objects: dict[int, int]


def messages() -> dict:
    """Protobuf's own classes of the messages."""
    file = descriptor_pb2.FileDescriptorProto(name="chunked_graph.proto", syntax="proto3")
    fields = {
        "EdgesMsg": [(name, BYTES, "") for name in ("node_ids1", "node_ids2", "affinities", "areas")],
        "ChunkEdgesMsg": [(name, MESSAGE, ".EdgesMsg") for name in ("in_chunk", "cross_chunk", "between_chunk")],
        "ChunkComponentsMsg": [("components", UINT64, "")],
    }
    for name, columns in fields.items():
        message = file.message_type.add(name=name)
        for number, (column, kind, of) in enumerate(columns, 1):
            message.field.add(
                name=column, number=number, type=kind, label=3 if kind == UINT64 else 1, type_name=of or None
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(name)) for name in fields}


def ingest(folder: Path, messages: Any, decompress: Callable[[bytes], bytes]) -> Ingested:
    """Join what is active: edges whose ends are of one component, and all edges between pieces of a fragment."""
    found: dict[str, list] = {kind: [] for kind in KINDS}
    parents: dict[int, int] = {}

    def root(node: int) -> int:
        while parents.setdefault(node, node) != node:
            node = parents[node]
        return node

    assert set(json.loads((folder / "dataset.yml").read_text())["graph_config"]) >= {"CHUNK_SIZE", "SPATIAL_BITS"}
    for file in sorted((folder / "edges").iterdir()):
        component_file = folder / "components" / file.name.replace("edges", "components").removesuffix(".zst")
        parts = messages["ChunkComponentsMsg"].FromString(component_file.read_bytes()).components
        component, at = {}, 0
        while at < len(parts):
            component |= dict.fromkeys(parts[at + 1 : at + 1 + parts[at]], at)
            at += 1 + parts[at]
        message = messages["ChunkEdgesMsg"].FromString(decompress(file.read_bytes()))
        for kind in KINDS:
            part = getattr(message, kind)
            columns = [np.frombuffer(part.node_ids1, "<u8"), np.frombuffer(part.node_ids2, "<u8"),
                       np.frombuffer(part.affinities, "<f4"), np.frombuffer(part.areas, "<u8")]  # fmt: skip
            rows = [list(row) for row in zip(*(column.tolist() for column in columns), strict=True)]
            found[kind] += rows
            for one, other, *_ in rows:
                for node in (one, other) if kind == "in_chunk" else (one,):
                    parents.setdefault(node, node)
                if kind == "cross_chunk" or component.get(one, -1) == component.get(other, -2):
                    parents[root(one)] = root(other)
    return Ingested({kind: np.array(rows, object).reshape(-1, 4) for kind, rows in found.items()},
                    {node: root(node) for node in parents})  # fmt: skip
