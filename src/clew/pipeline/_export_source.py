"""What every export begins with: a segmentation that is opened and checked."""

from dataclasses import dataclass
from pathlib import Path

from clew.export.options import ExportOptions
from clew.labels import check_label_kind
from clew.pipeline._block_run import absolute, volumes_folder
from clew.pipeline._files import open_input, refuse_lossy
from clew.pipeline._options import GeometryOptions
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
    names, nuclei : str, optional
        Paths of a table of names and of a label volume.
    """

    path: str
    volume: Volume
    folder: Path
    place: str
    options: ExportOptions
    names: str | None = None
    nuclei: str | None = None

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


def open_source(
    path: str,
    folder: str,
    volumes: str | None,
    geometry: GeometryOptions,
    options: ExportOptions,
    names: str | None = None,
    nuclei: str | None = None,
) -> ExportSource:
    """Open a segmentation to export.

    Raises
    ------
    InputError
        For what is no label volume.
    """
    path, run = absolute(path), Path(folder).absolute()
    volume = open_input(path, geometry.voxel_size, geometry.offset)
    check_label_kind(volume, path)
    refuse_lossy(volume)
    return ExportSource(path, volume, run, volumes_folder(run, volumes), options, names, nuclei and absolute(nuclei))
