"""Small valid inputs of every format that clew reads, and the commands that read each."""

import gzip
import json
import shutil
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import mrcfile
import nrrd
import numpy as np
import tensorstore
import tifffile
import zarr
from PIL import Image

from clew.cli import main
from clew.network.checkpoint import Checkpoint, save_checkpoint
from clew.network.options import UNetOptions
from clew.network.unet import UNet
from clew.volumes.save import save_volume

SIZE = 24
SLOW = ("train", "plan", "segment-blocks", "run")
"""Commands that take seconds."""
RESOLUTION = (20.0, 10.0, 10.0)
OFFSET = (100.0, 0.0, 50.0)
SMALL = UNetOptions(features=(2, 4), pooling=((2, 2, 2),), encoder_convolutions=(1, 1), decoder_convolutions=(1,))


@dataclass(frozen=True)
class Input:
    """A valid input.

    Parameters
    ----------
    name : file or folder that is mutated
    commands : each with the words that follow `clew`; `{input}` is the path of the input, `{good}` of the folder of valid
        inputs, `{out}` of a new folder for outputs
    checksum : whether flipped bytes can be told where they are stored
    reader : reads the voxels of the (mutated) input without clew
    """

    name: str
    commands: tuple[str, ...]
    checksum: bool = False
    reader: Callable[[Path], Any] | None = None

    def left(self, without: Sequence[str]) -> list[str]:
        """The commands but for some."""
        return [command for command in self.commands if command.split()[0] not in without]


VOLUME = ("info {input}", "convert {input} {out}/result.zarr", "predict {input} {out}/result.zarr --checkpoint {good}/net.pt",
          "view {input}")  # fmt: skip
SIZED = tuple(f"{command} --voxel-size 20,10,10" for command in VOLUME)
TRAINING = "--preset tiny --steps 1 --crop 12,12,12 --device cpu --snapshot-every 0"
BLOCKS = "--block-shape 16,16,16 --threshold 0.5 --workers 1"


def _zarr_array(name: str) -> Callable[[Path], Any]:
    return lambda path: zarr.open_array(str(path / name), mode="r")[...]


def _hdf5_array(name: str) -> Callable[[Path], Any]:
    def read(path: Path) -> Any:
        with h5py.File(path) as file:
            return file[name][()]

    return read


def _sections(path: Path) -> Any:
    return np.stack([np.asarray(Image.open(file)) for file in sorted(path.iterdir())])


INPUTS = (
    Input("ours.zarr", VOLUME, checksum=True, reader=_zarr_array("s0")),
    Input("ome04.zarr", VOLUME, reader=_zarr_array("0")),
    Input("ome05.zarr", VOLUME, reader=_zarr_array("0")),
    Input("plain2.zarr", VOLUME, reader=_zarr_array("")),
    Input("plain3.zarr", VOLUME, reader=_zarr_array("")),
    Input("volume.n5", VOLUME),
    Input("precomputed", VOLUME),
    Input("plain.h5", VOLUME, reader=_hdf5_array("raw")),
    Input(
        "cremi.h5",
        (
            "info {input}",
            "info {input}:volumes/raw",
            "convert {input}:volumes/raw {out}/result.zarr",
            "evaluate {good}/segmentation.zarr {input}:volumes/labels/neuron_ids",
            "plan --data {input} --output {out}/plan.toml --no-timing --device cpu",
            "train {out}/net.pt --data {input} " + TRAINING,
        ),
        reader=_hdf5_array("volumes/raw"),
    ),
    Input("stack.tif", VOLUME, reader=tifffile.imread),
    Input("ome.ome.tif", VOLUME, reader=tifffile.imread),
    Input("packed.tif", SIZED, reader=tifffile.imread),
    Input("sections", SIZED, checksum=True, reader=_sections),
    Input("a.npy", SIZED, reader=np.load),
    Input("a.npz", SIZED),
    Input("a.mrc", VOLUME),
    Input("a.mrc.gz", VOLUME),
    Input("a.nrrd", VOLUME),
    Input("a.ims", VOLUME),
    Input("a.xml", VOLUME),
    Input("one.png", SIZED[:2], checksum=True),
    Input("knossos", (VOLUME[0], "convert {input} {out}/result.zarr --box 0:24,0:24,0:24")),
    Input("trees.nml", ("evaluate-skeletons {good}/segmentation.zarr {input}",)),
    Input("trees.zip", ("evaluate-skeletons {good}/segmentation.zarr {input}",)),
    Input("tree.swc", ("evaluate-skeletons {good}/segmentation.zarr {input} --unit nm",)),
    Input("net.pt", ("info {input}", "predict {good}/ours.zarr {out}/result.zarr --checkpoint {input}"), checksum=True),
    Input(
        "affinities.zarr",
        (
            "info {input}",
            "segment {input} {out} --threshold 0.5",
            "extract-fragments {input} {out}/result.zarr",
            "build-region-graph {input} {good}/fragments.zarr {out}/graph.h5",
        ),
        checksum=True,
        reader=_zarr_array("s0"),
    ),
    Input(
        "fragments.zarr",
        (
            "relabel {input} {good}/merge_tree.h5 {out}/result.zarr --threshold 0.5",
            "build-region-graph {good}/affinities.zarr {input} {out}/graph.h5",
            "evaluate {input} {good}/cremi.h5:volumes/labels/neuron_ids --merge-tree {good}/merge_tree.h5",
        ),
        checksum=True,
        reader=_zarr_array("s0"),
    ),
    Input(
        "region_graph.h5",
        (
            "info {input}",
            "agglomerate {input} {out}/tree.h5",
            "relabel {good}/fragments.zarr {good}/merge_tree.h5 {out}/result.zarr --threshold 0.5 --minimum-size 9 "
            "--region-graph {input}",
        ),
        checksum=True,
    ),
    Input(
        "merge_tree.h5",
        (
            "info {input}",
            "relabel {good}/fragments.zarr {input} {out}/result.zarr --threshold 0.5",
            "evaluate {good}/fragments.zarr {good}/cremi.h5:volumes/labels/neuron_ids --merge-tree {input}",
        ),
        checksum=True,
    ),
    Input(
        "run.toml",
        (
            "run {input}",
            "segment {good}/affinities.zarr {out} --config {input}",
            "convert {good}/ours.zarr {out}/result.zarr --config {input}",
        ),
    ),
    Input("cluster.toml", ("segment-blocks {good}/affinities.zarr {out} --dry-run --cluster {input} " + BLOCKS,)),
    Input("blocks", ("status {input}", "status {input}", "info {input}/segmentation.zarr",
                     "segment-blocks {good}/affinities.zarr {input} " + BLOCKS)),
    Input("training", ("train {input}/net.pt --data {good}/cremi.h5 " + TRAINING,)),
)  # fmt: skip


def make_inputs(folder: Path) -> None:
    """Write all inputs into a new folder."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    labels = np.repeat(np.repeat(np.arange(1, 10).reshape(3, 3, 1), 8, 0), 8, 1).repeat(SIZE, 2).astype(np.uint64)
    raw = rng.integers(0, 256, labels.shape).astype(np.uint8)
    _write_chunked(folder, raw)
    _write_hdf5(folder, raw, labels)
    _write_images(folder, raw)
    _write_knossos(folder / "knossos", raw)
    _write_arrays(folder, raw)
    _write_nml(folder / "trees.nml")
    with zipfile.ZipFile(folder / "trees.zip", "w") as archive:
        archive.write(folder / "trees.nml", "trees.nml")
    (folder / "tree.swc").write_text("# a neuron\n1 0 20 30 80 1 -1\n2 0 40 30 80 1 1\n3 0 60 30 80 1 2\n")
    save_checkpoint(folder / "net.pt", Checkpoint(UNet(SMALL).eval(), RESOLUTION, 0.5, "mean", {"step": 3}))
    _write_segmentation(folder, labels, rng)
    shutil.copytree(folder / "ours.zarr", folder / "raw.zarr")
    (folder / "run.toml").write_text(RUN)
    (folder / "cluster.toml").write_text(CLUSTER)
    _run(f"train {folder}/training/net.pt --data {folder}/cremi.h5 {TRAINING}")
    _run(f"segment-blocks {folder}/affinities.zarr {folder}/blocks {BLOCKS}")


def _write_chunked(folder: Path, raw: np.ndarray) -> None:
    save_volume(folder / "ours.zarr", raw, voxel_size=RESOLUTION, offset=OFFSET)
    attributes = {"resolution": RESOLUTION, "offset": OFFSET, "axis_names": ["z", "y", "x"]}
    axes = [{"name": name, "type": "space", "unit": "nanometer"} for name in "zyx"]
    steps = [{"type": "scale", "scale": RESOLUTION}, {"type": "translation", "translation": OFFSET}]
    image = {"axes": axes, "datasets": [{"path": "0", "coordinateTransformations": steps}]}
    for version, name in ((2, "ome04.zarr"), (3, "ome05.zarr")):
        group = zarr.create_group(str(folder / name), zarr_format=version)
        array = group.create_array("0", shape=raw.shape, chunks=(16, 16, 16), dtype=raw.dtype)
        array[...] = raw
        group.attrs.update(
            {"multiscales": [image]} if version == 2 else {"ome": {"version": "0.5", "multiscales": [image]}}
        )
        array = zarr.create_array(
            str(folder / f"plain{version}.zarr"),
            shape=raw.shape,
            chunks=(16, 16, 16),
            dtype=raw.dtype,
            zarr_format=version,
        )
        array[...] = raw
        array.attrs.update(attributes)
    kvstore = {"driver": "file", "path": f"{folder}/volume.n5/"}
    metadata = {
        "dimensions": raw.shape,
        "blockSize": [16, 16, 16],
        "dataType": "uint8",
        "compression": {"type": "gzip"},
    }
    tensorstore.open({"driver": "n5", "kvstore": kvstore, "metadata": metadata}, create=True).result()[...] = raw
    file = folder / "volume.n5" / "attributes.json"
    file.write_text(
        json.dumps(json.loads(file.read_text()) | {"resolution": [10.0, 10.0, 20.0], "axes": ["x", "y", "z"]})
    )
    spec = {
        "driver": "neuroglancer_precomputed",
        "kvstore": {"driver": "file", "path": f"{folder}/precomputed/"},
        "multiscale_metadata": {"type": "image", "data_type": "uint8", "num_channels": 1},
        "scale_metadata": {
            "size": raw.shape, "encoding": "raw", "chunk_size": [16, 16, 16], "resolution": RESOLUTION[::-1],
            "voxel_offset": [5, 0, 5],
        },
    }  # fmt: skip
    tensorstore.open(spec, create=True).result()[...] = raw.T[..., None]


def _write_hdf5(folder: Path, raw: np.ndarray, labels: np.ndarray) -> None:
    with h5py.File(folder / "plain.h5", "w") as file:
        array = file.create_dataset("raw", data=raw, chunks=(16, 16, 16), compression="gzip", fletcher32=True)
        array.attrs.update(
            {"resolution": RESOLUTION, "offset": OFFSET, "axes": "zyx", "clew": json.dumps({"created": "x"})}
        )
    with h5py.File(folder / "cremi.h5", "w") as file:
        for name, values in (
            ("raw", raw),
            ("labels/neuron_ids", labels),
            ("labels/mask", np.ones(raw.shape, np.uint8)),
        ):
            file.create_dataset(f"volumes/{name}", data=values, chunks=(16, 16, 16), compression="gzip")
            file[f"volumes/{name}"].attrs["resolution"] = RESOLUTION


def _write_images(folder: Path, raw: np.ndarray) -> None:
    pixels = (100.0, 100.0)
    tifffile.imwrite(folder / "stack.tif", raw, imagej=True, resolution=pixels,
                     metadata={"spacing": 0.02, "unit": "um", "axes": "ZYX"})  # fmt: skip
    sizes = {"PhysicalSizeZ": 20, "PhysicalSizeY": 10, "PhysicalSizeX": 10}
    units = {f"{name}Unit": "nm" for name in sizes}
    tifffile.imwrite(folder / "ome.ome.tif", raw, metadata={"axes": "ZYX", **sizes, **units})
    tifffile.imwrite(folder / "packed.tif", raw, compression="zlib", tile=(16, 16), photometric="minisblack")
    (folder / "sections").mkdir()
    for number, section in enumerate(raw):
        Image.fromarray(section).save(folder / "sections" / f"section_{number:03}.png")
    Image.fromarray(raw[0]).save(folder / "one.png")


def _write_knossos(folder: Path, raw: np.ndarray) -> None:
    cube = np.zeros((128, 128, 128), np.uint8)
    cube[:SIZE, :SIZE, :SIZE] = raw
    (folder / "x0000" / "y0000" / "z0000").mkdir(parents=True)
    (folder / "x0000" / "y0000" / "z0000" / "cube.raw").write_bytes(cube.tobytes())
    lines = [f"scale {axis} {size};\nboundary {axis} 128;" for axis, size in zip("zyx", RESOLUTION, strict=True)]
    (folder / "knossos.conf").write_text("\n".join(lines) + "\n")


def _write_arrays(folder: Path, raw: np.ndarray) -> None:
    """Arrays of numpy, MRC, NRRD, Imaris and BigDataViewer."""
    np.save(folder / "a.npy", raw)
    np.savez_compressed(folder / "a.npz", raw)
    with mrcfile.new(folder / "a.mrc") as file:
        file.set_data(raw.astype(np.uint16))
        file.voxel_size = tuple(10 * size for size in RESOLUTION[::-1])
    (folder / "a.mrc.gz").write_bytes(gzip.compress((folder / "a.mrc").read_bytes()))
    header = {"space dimension": 3, "space directions": np.diag(RESOLUTION[::-1]), "space units": ["nm"] * 3}
    nrrd.write(str(folder / "a.nrrd"), raw.T, header)
    with h5py.File(folder / "a.ims", "w") as file:
        image = file.create_group("DataSetInfo/Image").attrs
        for axis, name in enumerate("XYZ"):
            image[name], image[f"ExtMin{axis}"] = (np.frombuffer(text, "S1") for text in (b"24", b"0"))
            image[f"ExtMax{axis}"] = np.frombuffer(str(SIZE * RESOLUTION[2 - axis] / 1e3).encode(), "S1")
        file.create_dataset("DataSet/ResolutionLevel 0/TimePoint 0/Channel 0/Data", data=raw, chunks=(16, 16, 16))
    with h5py.File(folder / "bdv.h5", "w") as file:
        file["s00/resolutions"] = np.ones((1, 3))
        file.create_dataset("t00000/s00/0/cells", data=raw.astype(np.int16), chunks=(16, 16, 16))
    (folder / "a.xml").write_text(
        '<SpimData><SequenceDescription><ImageLoader format="bdv.hdf5"><hdf5 type="relative">bdv.h5</hdf5></ImageLoader>'
        "<ViewSetups><ViewSetup><id>0</id><voxelSize><unit>nm</unit><size>10 10 20</size></voxelSize></ViewSetup>"
        "</ViewSetups></SequenceDescription></SpimData>"
    )
    (folder / "bdv.xml").write_text((folder / "a.xml").read_text())


def _write_nml(file: Path) -> None:
    nodes = "".join(f'<node id="{number}" x="{2 * number}" y="3" z="4" radius="1"/>' for number in range(1, 6))
    edges = "".join(f'<edge source="{number}" target="{number + 1}"/>' for number in range(1, 5))
    file.write_text(
        '<?xml version="1.0"?>\n<things>\n<parameters>\n<scale x="10" y="10" z="20" unit="nm"/>\n</parameters>\n'
        f'<thing id="1">\n<nodes>{nodes}</nodes>\n<edges>{edges}</edges>\n</thing>\n</things>\n'
    )


def _write_segmentation(folder: Path, labels: np.ndarray, rng: np.random.Generator) -> None:
    affinities = rng.integers(140, 256, (3, *labels.shape)).astype(np.uint8)
    for axis in range(3):
        other = np.roll(labels, 1, axis) != labels
        affinities[axis][other] = rng.integers(0, 100, int(other.sum()))
    attributes = {
        "suggested_threshold": 0.5,
        "suggested_score": "mean",
        "offsets": [[-1, 0, 0], [0, -1, 0], [0, 0, -1]],
    }
    save_volume(folder / "affinities.zarr", affinities, voxel_size=RESOLUTION, attributes=attributes)
    _run(f"segment {folder}/affinities.zarr {folder} --threshold 0.5")


def _run(words: str) -> None:
    main(words.split())


RUN = """directory = "made"
[convert]
source = "raw.zarr"
target = "copy.zarr"
box = ":,:,:"
voxel_size = [20, 10, 10]
dtype = "keep"
[segment]
affinities = "affinities.zarr"
threshold = 0.5
minimum_size = 3
[evaluate]
truth = "cremi.h5:volumes/labels/neuron_ids"
thresholds = 5
border = 0.0
"""
CLUSTER = """[cluster]
system = "slurm"
jobs = 2
processes = 1
cores = 1
memory = "4GB"
walltime = "01:00:00"
queue = "long"
directives = ["--gres=gpu:1"]
"""
