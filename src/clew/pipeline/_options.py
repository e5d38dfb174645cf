"""Options that several commands share; each is written once, here.

They are records that `@stage` flattens into the signatures of commands.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from annotated_types import Gt

from clew.blockwise.worker_options import Workers
from clew.network.options import BUNDLED, Shape
from clew.ranges import NotNegative
from clew.space import Lengths
from clew.volumes.open import numbered

INPUT = "input"
Input = Annotated[str, INPUT]
"""A path (or the name of a bundled network) whose content decides the result: its identity is recorded with the output."""


@dataclass(frozen=True)
class Output:
    """What becomes of outputs that are there already.

    Parameters
    ----------
    overwrite
        Replace existing outputs.
    """

    overwrite: bool = False


@dataclass(frozen=True)
class VoxelSize:
    """The voxel size where a file lacks it.

    Parameters
    ----------
    voxel_size
        Voxel size z,y,x in nm, where a volume does not say it.
    """

    voxel_size: Lengths | None = None


@dataclass(frozen=True)
class GeometryOptions:
    """Where a volume lies, whatever its file says.

    Parameters
    ----------
    voxel_size
        Voxel size z,y,x in nm, instead of what the volume says.
    offset
        Offset z,y,x in nm, instead of what the volume says.
    """

    voxel_size: Lengths | None = None
    offset: Lengths | None = None


@dataclass(frozen=True)
class Values:
    """What becomes of the values of an image.

    Parameters
    ----------
    dtype
        `uint8` scales the grey values of an image to 0..255; `keep` copies.
    range
        Values low,high that become 0 and 255, for `uint8` (high,low inverts); by default the percentiles 0.1 and 99.9 of a
        sample of the whole volume.
    fill
        Value that takes the place of NaN and infinite values.
    """

    dtype: Literal["keep", "uint8"] = "keep"
    range: tuple[float, float] | None = None
    fill: float | None = None


@dataclass(frozen=True)
class Sections:
    """Where the sections of a folder lie.

    Parameters
    ----------
    by_number
        Put the sections of a folder where the numbers in their names say; absent ones are 0. In any command: FOLDER:by-number.
    """

    by_number: bool = False

    def address(self, path: str) -> str:
        """The address of a volume with its sections there."""
        return numbered(path) if self.by_number else path


@dataclass(frozen=True)
class Network(VoxelSize):
    """With which network to predict, and where.

    Parameters
    ----------
    checkpoint
        Checkpoint file, or the name of a bundled one.
    box
        Part of the volume in voxels, as z0:z1,y0:y1,x0:x1 (each end may be left out); the raw around it serves as context.
    """

    checkpoint: Input = BUNDLED
    box: str | None = None


@dataclass(frozen=True)
class Mask:
    """Where there is something to segment.

    Parameters
    ----------
    mask
        Volume (z, y, x), 0 where there is nothing to segment.
    """

    mask: Input | None = None


@dataclass(frozen=True)
class ConstraintFiles:
    """What agglomeration must keep together and what apart.

    Parameters
    ----------
    cannot_link
        Label volume (z, y, x) of nuclei, somata or glia, or skeletons (.nml, .swc or a folder of these): regions that hold
        different ones never merge.
        Ids of a label volume are seeds of `seeded-forest`, too, and its fragments are divided between nodes of two skeletons.
    must_link
        Skeletons (.nml, .swc): the fragments at the nodes of one are in one segment, at every threshold.
    swc_unit
        Unit of coordinates in SWC files, which do not say it.
    """

    cannot_link: Input | None = None
    must_link: Input | None = None
    swc_unit: Literal["nm", "um", "voxels"] | None = None

    @property
    def paths(self) -> tuple[str, ...]:
        """The files that were given."""
        return tuple(path for path in (self.cannot_link, self.must_link) if path is not None)


@dataclass(frozen=True)
class ExportInputs:
    """What is handed on beside a segmentation.

    Parameters
    ----------
    segment_names
        CSV file with the columns id and name, for `precomputed` and `table`.
    nuclei
        Label volume of nuclei or somata that covers the segmentation, for `table`.
    merge_tree
        Merge tree, if the segmentation is its fragments, for `webknossos` and `pychunkedgraph`: fragments and what makes up
        a segment are handed on.
    threshold
        At which the merge tree is cut, by default that which is stored with it.
    affinities
        Affinities that cover the segmentation, for `pychunkedgraph`: how strongly fragments are joined.
    """

    segment_names: Input | None = None
    nuclei: Input | None = None
    merge_tree: Input | None = None
    threshold: float | None = None
    affinities: Input | None = None


@dataclass(frozen=True)
class Comparison:
    """What of a segmentation is compared with the truth.

    Parameters
    ----------
    merge_tree
        Merge tree, if the segmentation is its fragments: scores are then given for many thresholds.
    thresholds
        Number of thresholds from 0 to 1.
    box
        Part of the segmentation in voxels to compare, as z0:z1,y0:y1,x0:x1.
    """

    merge_tree: Input | None = None
    thresholds: Annotated[int, Gt(1)] = 51
    box: str | None = None


@dataclass(frozen=True)
class LabelComparison(Comparison):
    """The same, where the truth is a label volume.

    Parameters
    ----------
    border
        Distance in nm from borders between neurons, within which topology does not count: 20 for topology, 25 as CREMI.
    border_rule
        `topology` scores all truth, and beside it what is farther from borders, in 3D where sections that follow each other are
        annotated, else in the section; 0 is a border where it lies between two neurons. `cremi` scores only what is farther, in the
        section; 0 is one everywhere.
    """

    border: NotNegative = 0.0
    border_rule: Literal["topology", "cremi"] = "topology"


@dataclass(frozen=True)
class BlockRun(Workers):
    """How a run in blocks is begun.

    Parameters
    ----------
    dry_run
        Only show the job script of the cluster.
    restart
        Discard what an earlier run left.
    """

    dry_run: bool = False
    restart: bool = False


@dataclass(frozen=True)
class Blocks:
    """How a volume is divided.

    Parameters
    ----------
    block_shape
        Voxels z,y,x of a block; by default even parts of at most 256. The result does not depend on it (`seeded-flood`: nearly).
        Multiples of 64 are stored best.
    """

    block_shape: Shape | None = None


@dataclass(frozen=True)
class Volumes:
    """Where the volumes of a run in blocks are kept.

    Parameters
    ----------
    volumes
        Where the volumes are written, if not in the folder: another one, or an address (s3://bucket/place).
    """

    volumes: str | None = None


def is_input(annotation: Any) -> bool:
    """Whether an option of this type names inputs."""
    marked = INPUT in getattr(annotation, "__metadata__", ())
    return marked or any(is_input(part) for part in get_args(annotation))
