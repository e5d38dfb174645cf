"""A file shows nothing that lies outside of its folder, unless the user asks for it."""

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import tifffile
from PIL import Image

from clew.errors import InputError
from clew.volumes.formats.hdf5 import check_dataset_free
from clew.volumes.open import open_volume
from clew.volumes.outside import FOLLOW
from clew.volumes.save import save_volume
from clew.volumes.tables import load_table, save_table

SECRET = np.random.default_rng(0).integers(1, 255, (4, 5, 6), np.uint8)
SIZE = (8.0, 8.0, 8.0)


@pytest.fixture
def received(tmp_path: Path) -> Path:
    """A folder that somebody sent; beside it lies one with what only the user may read."""
    for name in ("received", "private"):
        (tmp_path / name).mkdir()
        with h5py.File(tmp_path / name / "secret.h5", "w") as file:
            file["data"] = SECRET
        SECRET.tofile(tmp_path / name / "secret.raw")
    return tmp_path / "received"


def external_link(file: h5py.File, source: str) -> None:
    file["raw"] = h5py.ExternalLink(f"{source}.h5", "data")


def link_to_a_link(file: h5py.File, source: str) -> None:
    file["inner/far"] = h5py.ExternalLink(f"{source}.h5", "/")
    file["inner/near"] = h5py.SoftLink("far")
    file["raw"] = h5py.SoftLink("/inner/near/data")


def external_storage(file: h5py.File, source: str) -> None:
    place = str(Path(file.filename).parent / f"{source}.raw")
    file.create_dataset("raw", SECRET.shape, SECRET.dtype, external=[(place, 0, SECRET.nbytes)])


def virtual_dataset(file: h5py.File, source: str) -> None:
    layout = h5py.VirtualLayout(SECRET.shape, SECRET.dtype)
    layout[:] = h5py.VirtualSource(f"{source}.h5", "data", SECRET.shape)
    file.create_virtual_dataset("raw", layout)


def virtual_in_a_file_beside(file: h5py.File, source: str) -> None:
    beside = Path(file.filename).with_suffix(".beside.h5")
    with h5py.File(beside, "w") as other:
        virtual_dataset(other, source)
    layout = h5py.VirtualLayout(SECRET.shape, SECRET.dtype)
    layout[:] = h5py.VirtualSource(beside.name, "raw", SECRET.shape)
    file.create_virtual_dataset("raw", layout)


WAYS = [external_link, link_to_a_link, external_storage, virtual_dataset, virtual_in_a_file_beside]


@pytest.mark.parametrize("way", WAYS)
def test_hdf5_stays_in_its_folder(received: Path, way: Callable, monkeypatch: pytest.MonkeyPatch):
    for name, source in (("good", "secret"), ("bad", "../private/secret")):
        with h5py.File(received / f"{name}.h5", "w") as file:
            way(file, source)
    np.testing.assert_array_equal(open_volume(f"{received}/good.h5:raw", voxel_size=SIZE).read(), SECRET)
    with pytest.raises(
        InputError, match=r"takes data from .*private/secret\.\w+, which is outside .* CLEW_FOLLOW_LINKS=1"
    ):
        open_volume(f"{received}/bad.h5:raw", voxel_size=SIZE)
    monkeypatch.setenv(FOLLOW, "1")
    np.testing.assert_array_equal(open_volume(f"{received}/bad.h5:raw", voxel_size=SIZE).read(), SECRET)


def test_absolute_names_and_links_in_the_folder(received: Path):
    secret = received.parent / "private" / "secret"
    (received / "innocent.h5").symlink_to(f"{secret}.h5")
    for source in (str(secret), "innocent"):
        with h5py.File(received / "bad.h5", "w") as file:
            external_link(file, source)
        with pytest.raises(InputError, match=r"outside of its folder"):
            open_volume(f"{received}/bad.h5:raw", voxel_size=SIZE)
    own = received.parent / "own.h5"
    own.symlink_to(f"{secret}.h5")
    np.testing.assert_array_equal(open_volume(f"{own}:data", voxel_size=SIZE).read(), SECRET)


def test_a_single_virtual_dataset_is_found_and_refused(received: Path):
    with h5py.File(received / "bad.h5", "w") as file:
        virtual_dataset(file, "../private/secret")
    with pytest.raises(InputError, match=r"outside of its folder"):
        open_volume(received / "bad.h5", voxel_size=SIZE)


def test_a_missing_file_of_a_virtual_dataset_is_not_read_as_zeros(received: Path):
    with h5py.File(received / "bad.h5", "w") as file:
        virtual_dataset(file, "lost")
    with pytest.raises(InputError, match=r"takes data from lost\.h5, which is not there"):
        open_volume(received / "bad.h5", voxel_size=SIZE)


def test_circular_links_are_refused(received: Path):
    with h5py.File(received / "circle.h5", "w") as file:
        file["raw"] = h5py.ExternalLink("circle.h5", "raw")
        file["other"] = h5py.SoftLink("/other")
        layout = h5py.VirtualLayout(SECRET.shape, SECRET.dtype)
        layout[:] = h5py.VirtualSource("circle.h5", "itself", SECRET.shape)
        file.create_virtual_dataset("itself", layout)
    for name in ("raw", "other", "itself"):
        with pytest.raises(InputError, match="more than 16 links"):
            open_volume(f"{received}/circle.h5:{name}", voxel_size=SIZE)


def test_tables_bodies_and_outputs_stay_in_the_folder(received: Path):
    with h5py.File(received / "bodies.h5", "w") as file:
        file["stack"] = SECRET
        file["transforms"] = h5py.ExternalLink("../private/secret.h5", "data")
    with pytest.raises(InputError, match="outside of its folder"):
        open_volume(f"{received}/bodies.h5:stack", voxel_size=SIZE)
    with pytest.raises(InputError, match="outside of its folder"):
        check_dataset_free(received / "bodies.h5", "transforms/more", overwrite=True)
    save_table(received / "table.h5", {"ids": np.arange(3)}, kind="merge tree")
    with h5py.File(received / "table.h5", "r+") as file:
        file["scores"] = h5py.ExternalLink("../private/secret.h5", "data")
    with pytest.raises(InputError, match="outside of its folder|damaged"):
        load_table(received / "table.h5")


def test_companions_of_ome_tiff(received: Path, monkeypatch: pytest.MonkeyPatch):
    for folder in (received, received.parent / "private"):
        tifffile.imwrite(folder / "secret.tif", SECRET, photometric="minisblack", metadata=None)
    planes = '<TiffData IFD="0" PlaneCount="4"><UUID FileName="{}">urn:uuid:1</UUID></TiffData>'
    pixels = (
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:0"><Image ID="Image:0">'
        '<Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="6" SizeY="5" SizeZ="4" SizeC="1" SizeT="1"'
        f' PhysicalSizeX="1" PhysicalSizeY="1" PhysicalSizeZ="1">{planes}</Pixels></Image></OME>'
    )
    for name, companion in (("good", "secret.tif"), ("bad", "../private/secret.tif")):
        description = pixels.format(companion)
        tifffile.imwrite(received / f"{name}.ome.tif", SECRET[0] * 0, description=description, metadata=None)
    np.testing.assert_array_equal(open_volume(received / "good.ome.tif").read(), SECRET)
    with pytest.raises(InputError, match=r"takes data from .*private/secret\.tif"):
        open_volume(received / "bad.ome.tif")
    (received / "sections").mkdir()
    for number in range(2):
        text = pixels.format("../../private/secret.tif")
        tifffile.imwrite(received / "sections" / f"{number}.tif", SECRET[0] * 0, description=text, metadata=None)
    with pytest.raises(InputError, match=r"takes data from .*private/secret\.tif"):
        open_volume(received / "sections", voxel_size=SIZE)
    monkeypatch.setenv(FOLLOW, "1")
    np.testing.assert_array_equal(open_volume(received / "bad.ome.tif").read(), SECRET)


def test_scales_of_ome_zarr_and_precomputed(received: Path):
    save_volume(received / "a.zarr", SECRET, voxel_size=SIZE)
    save_volume(received.parent / "private" / "b.zarr", SECRET, voxel_size=SIZE)
    metadata = json.loads((received / "a.zarr" / "zarr.json").read_text())
    metadata["attributes"]["ome"]["multiscales"][0]["datasets"][0]["path"] = "s0/../../../private/b.zarr/s0"
    (received / "a.zarr" / "zarr.json").write_text(json.dumps(metadata))
    with pytest.raises(InputError, match="outside of its folder"):
        open_volume(received / "a.zarr")
    scale = {
        "key": "../private",
        "size": [6, 5, 4],
        "resolution": [8, 8, 8],
        "encoding": "raw",
        "chunk_sizes": [[6, 5, 4]],
    }
    info = {"type": "image", "data_type": "uint8", "num_channels": 1, "scales": [scale]}
    (received / "info").write_text(json.dumps(info))
    SECRET.tofile(received.parent / "private" / "0-6_0-5_0-4")
    with pytest.raises(InputError, match="outside of its folder"):
        open_volume(f"precomputed://{received}")


def test_pictures_are_not_handed_to_other_programs(received: Path, monkeypatch: pytest.MonkeyPatch):
    from PIL import EpsImagePlugin

    called = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *given, **_: called.append(given))
    Image.fromarray(SECRET[0]).save(received / "picture.eps")
    (received / "picture.eps").rename(received / "picture.png")
    with pytest.raises(InputError, match=r"picture\.png cannot be read"):
        open_volume(received / "picture.png", voxel_size=SIZE)
    assert not called
