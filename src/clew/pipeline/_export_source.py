"""What every export begins with: a segmentation that is opened and checked."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from clew.export.options import ExportOptions
from clew.labels import check_label_kind
from clew.pipeline._block_run import absolute, volumes_folder
from clew.pipeline._files import open_input, refuse_lossy
from clew.pipeline._options import ExportInputs, GeometryOptions
from clew.pipeline._protection import refuse_inside
from clew.space import Lengths, Triple, triple
from clew.volumes.location import join
from clew.volumes.volume import Volume


@dataclass(frozen=True)
class ExportSource:
    """A segmentation to export.

    Parameters
    ----------
    path : str
        Where it lies; absolute.
    volume : Volume
    folder : Path
        Of the state of the run; absolute.
    place : str
        The folder, local or in object storage, in which the export lies.
    options : ExportOptions
    beside : ExportInputs
        Paths are absolute.
    """

    path: str
    volume: Volume
    folder: Path
    place: str
    options: ExportOptions
    beside: ExportInputs

    @property
    def shape(self) -> Triple:
        """Voxels (z, y, x)."""
        return triple(self.volume.shape)

    @property
    def voxel_size(self) -> Lengths:
        """In nm."""
        return self.volume.voxel_size

    def target(self, name: str) -> str:
        """Where a part of the export lies."""
        return join(self.place, name)

    def lists(self, name: str) -> Path:
        """Where it is noted which files tasks wrote."""
        return self.folder / "tables" / f"{name}-files"


def open_source(
    path: str,
    folder: str,
    volumes: str | None,
    geometry: GeometryOptions,
    options: ExportOptions,
    beside: ExportInputs,
) -> ExportSource:
    """Open a segmentation to export.

    Raises
    ------
    InputError
        For what is no label volume, and a folder in it.
    """
    path, run = absolute(path), Path(folder).absolute()
    refuse_inside(folder, path)
    volume = open_input(path, geometry.voxel_size, geometry.offset)
    check_label_kind(volume, path)
    refuse_lossy(volume)
    return ExportSource(path, volume, run, volumes_folder(run, volumes), options, _absolute(beside))


def _absolute(beside: ExportInputs) -> ExportInputs:
    """The same for workers that have another working folder."""
    given = {name: getattr(beside, name) for name in ("segment_names", "nuclei", "merge_tree", "affinities")}
    paths: dict[str, Any] = {name: absolute(path) for name, path in given.items() if path}
    return replace(beside, **paths)
