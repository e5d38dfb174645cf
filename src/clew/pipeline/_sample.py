"""The real FIB-SEM sample of the demo.

It is a given file, a cached one, or a download with checksums.

FlyEM Project Team, Janelia Research Campus (HHMI), FIB-25, Takemura et al., PNAS 2015; CC BY.
"""

import gzip
import io
from importlib.resources import files
from pathlib import Path

import numpy as np

from clew.errors import InputError
from clew.pipeline._progress import say, track

NAME = "fib25_sample2.h5"
ADDRESS = (
    "https://raw.githubusercontent.com/janelia-flyem/neuroproof_examples/ce839e17deaf4c01153827c6d028dfecfbb4b958/"
)
TRUTH = "training_sample2/groundtruth.h5.gz"
ANNOTATED_SECTIONS = 150
VOXEL_SIZE = (10.0, 10.0, 10.0)


def find_sample(given: str | None) -> Path | None:
    """The sample as an HDF5 file of CREMI layout.

    None where it is neither given nor cached, and cannot be downloaded.
    """
    if given is not None:
        if not Path(given).is_file():
            raise InputError(f"there is no file {given}; omit --data to download the sample")
        return Path(given)
    import pooch

    cached = Path(pooch.os_cache("clew")) / NAME
    return cached if cached.exists() else _download(cached)


def _download(target: Path) -> Path | None:
    """Fetch the public files, check their checksums and put them together.

    None where the network does not answer.
    """
    import logging

    import pooch

    pooch.get_logger().setLevel(logging.CRITICAL)
    registry = dict(line.split()[::-1] for line in (files("clew.pipeline") / "sample.txt").read_text().splitlines())
    store = pooch.create(path=target.parent / "parts", base_url=ADDRESS, registry=registry, retry_if_failed=0)
    fetch = pooch.HTTPDownloader(timeout=10)
    try:
        paths = {name: store.fetch(name, downloader=fetch) for name in track(registry, len(registry), "download")}
        _assemble(paths, target)
    except Exception as error:
        say(f"the FIB-SEM sample could not be downloaded ({type(error).__name__})")
        return None
    return target


def _assemble(paths: dict[str, str], target: Path) -> None:
    """Stack the sections and map the labels through their transforms.

    The annotation that clew trains on is kept.
    """
    import h5py
    from PIL import Image

    from clew.replace import written_beside
    from clew.signals import signals_held
    from clew.volumes.formats.hdf5 import created_file
    from clew.volumes.formats.neuroproof import STACK, TRANSFORMS, Bodies

    sections = sorted(name for name in paths if name.endswith(".png"))
    raw = np.stack([np.asarray(Image.open(paths[name]).convert("L")) for name in sections])
    with gzip.open(paths[TRUTH]) as packed, h5py.File(io.BytesIO(packed.read())) as truth:
        labels = Bodies(truth[STACK], truth[TRANSFORMS][()], TRUTH)[:, :, :]
    mask = np.zeros(raw.shape, np.uint8)
    mask[:ANNOTATED_SECTIONS] = 1
    with written_beside(target, True) as partial, created_file(partial) as (file, _), signals_held():
        arrays = {"volumes/raw": raw, "volumes/labels/neuron_ids": labels * mask, "volumes/labels/mask": mask}
        for name, array in arrays.items():
            dataset = file.create_dataset(name, data=array, compression="gzip")
            dataset.attrs["resolution"], dataset.attrs["offset"] = VOXEL_SIZE, (0.0, 0.0, 0.0)
