"""Do cloud-volume and protobuf read what `clew export` wrote for neuroglancer and PyChunkedGraph? EXPORTS"""

import sys
import tempfile
from pathlib import Path

import numpy as np
import zstandard
from chunked_graph import ingest
from cloudvolume import CloudVolume
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_tools import protoc

HERE = Path(__file__).parent


def main(exports: Path) -> None:
    read_precomputed(f"file://{exports}/precomputed/precomputed", np.load(exports / "expected.npz"))
    read_chunked_graph(exports / "pychunkedgraph/pychunkedgraph", np.load(exports / "expected-segmented.npz"))


def read_precomputed(address: str, expected: dict) -> None:
    labels, size, offset = expected["labels"], expected["voxel_size"], expected["offset"]
    volume = CloudVolume(address, mip=0)
    assert (labels == np.asarray(volume[:])[..., 0].T).all(), "voxels differ"
    for mip in volume.available_mips:
        scale = CloudVolume(address, mip=mip)
        assert set(np.unique(scale[:])) <= set(np.unique(labels)), f"other ids at scale {mip}"
    ids, counts = np.unique(labels[labels > 0], return_counts=True)
    for segment in ids[np.argsort(-counts)][:5].tolist():
        where = np.argwhere(labels == segment)
        low, high = ((where.min(0)) * size + offset)[::-1], ((where.max(0) + 1) * size + offset)[::-1]
        for lod in range(4):
            try:
                mesh = volume.mesh.get(segment, lod=lod)[segment]
            except Exception as error:
                assert lod, f"segment {segment} has no mesh: {error!r}"
                break
            slack = 2 * size.max() * 2 ** (lod + 1)
            assert (np.abs(mesh.vertices.min(0) - low) <= slack).all(), (
                f"segment {segment}, level {lod}: {mesh.vertices.min(0)} {low}"
            )
            assert (np.abs(mesh.vertices.max(0) - high) <= slack).all(), (
                f"segment {segment}, level {lod}: {mesh.vertices.max(0)} {high}"
            )
            print(f"segment {segment}, level {lod}: {len(mesh.faces)} triangles")
        skeleton = volume.skeleton.get(segment)
        at = np.floor((skeleton.vertices[:, ::-1] - offset) / size).astype(int)
        inside = labels[tuple(np.clip(at, 0, np.array(labels.shape) - 1).T)] == segment
        assert inside.mean() > 0.9, f"segment {segment}: {inside.mean():.2f} of the skeleton inside"
        print(
            f"segment {segment}: skeleton of {skeleton.cable_length() / 1000:.1f} µm, {inside.mean():.2f} of its nodes inside"
        )
    print(f"cloud-volume reads {len(ids)} segments, meshes and skeletons")


def compiled(proto: Path) -> dict:
    """Protobuf's classes of the messages in a file."""
    with tempfile.NamedTemporaryFile() as file:
        assert protoc.main(["", f"--proto_path={proto.parent}", f"--descriptor_set_out={file.name}", str(proto)]) == 0
        (found,) = descriptor_pb2.FileDescriptorSet.FromString(Path(file.name).read_bytes()).file
    pool = descriptor_pool.DescriptorPool()
    pool.Add(found)
    return {
        message.name: message_factory.GetMessageClass(pool.FindMessageTypeByName(message.name))
        for message in found.message_type
    }


def read_chunked_graph(folder: Path, expected: dict) -> None:
    supervoxels = np.asarray(CloudVolume(f"file://{folder}/watershed")[:])[..., 0].T
    fragments, lookup = expected["fragments"], expected["lookup"]
    inside = fragments > 0
    assert ((supervoxels > 0) == inside).all(), "other voxels are empty"
    found = ingest(folder, compiled(HERE / "chunked_graph.proto"), zstandard.ZstdDecompressor().decompress)
    assert found.objects.keys() == set(np.unique(supervoxels[inside]).tolist()), "other supervoxels"
    objects = np.array([found.objects[id] for id in supervoxels[inside].tolist()])
    segments = lookup[fragments[inside] - 1]
    pairs = len(np.unique(np.stack([segments, objects]), axis=1).T)
    assert pairs == len(np.unique(segments)) == len(np.unique(objects)), "objects are not the segments"
    counts = ", ".join(f"{len(rows)} {kind}" for kind, rows in found.edges.items())
    print(f"protobuf reads {len(found.objects)} supervoxels with {counts} edges, of {pairs} segments")


main(Path(sys.argv[1]))
