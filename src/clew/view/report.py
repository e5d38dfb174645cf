"""One self-contained HTML page about a run: what was done, how well, how fast."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Literal

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from clew import __version__
from clew.errors import InputError
from clew.replace import written_beside
from clew.space import Triple

GENERATOR = '<meta name="generator" content="clew'
"""By this a report is known."""
HEAD = 2000
"""Bytes in which it stands."""
JPEG = {"quality": 88, "subsampling": 0}


@dataclass(frozen=True)
class StageTime:
    """How long one stage took.

    Parameters
    ----------
    stage : str
        Name of the stage.
    seconds : float
        Wall time.
    voxels : int
        Voxels that went through it; 0 where that is not known.
    memory : int
        Largest resident memory in bytes; 0 where that is not known.
    """

    stage: str
    seconds: float
    voxels: int = 0
    memory: int = 0

    @property
    def seconds_per_megavoxel(self) -> float:
        """Wall time per million voxels; 0 where there were none."""
        return self.seconds / (self.voxels / 1e6) if self.voxels else 0.0


@dataclass(frozen=True)
class Picture:
    """A picture on the page.

    Parameters
    ----------
    caption : str
    image : bytes
        PNG or JPEG.
    colour : str
        Of a dot before the caption, as "#d55e00"; none for "".
    """

    caption: str
    image: bytes
    colour: str = ""

    @property
    def address(self) -> str:
        """The image itself, as an address."""
        kind = "png" if self.image.startswith(b"\x89PNG") else "jpeg"
        return f"data:image/{kind};base64,{base64.b64encode(self.image).decode('ascii')}"


@dataclass(frozen=True)
class ErrorPlace:
    """One wrong split or merge and where to look at it.

    Parameters
    ----------
    kind : "split" or "merge"
        What went wrong.
    truth, segments : sequence of int
        Neurons and segments that take part.
    position : (z, y, x) of int
        A voxel to look at.
    voxels : int
        Voxels that are wrong by it.
    bits : float
        What mending it would gain, of VOI.
    notes : sequence of str
        What else is known about it.
    picture : Picture, optional
        Of its place.
    command : str
        Line that opens the viewer there.
    """

    kind: Literal["split", "merge"]
    truth: Sequence[int]
    segments: Sequence[int]
    position: Triple
    voxels: int
    bits: float
    notes: Sequence[str] = ()
    picture: Picture | None = None
    command: str = ""


@dataclass(frozen=True)
class Step:
    """What one command was told.

    Parameters
    ----------
    name : str
        Of the command.
    settings : mapping of str to str
        Its options.
    """

    name: str
    settings: Mapping[str, str]


@dataclass(frozen=True)
class Input:
    """What a run was made from.

    Parameters
    ----------
    name : str
        What it is.
    path : str
        Where it was.
    identity : str
        Hash of its content, or the id that clew gave it.
    """

    name: str
    path: str
    identity: str


@dataclass(frozen=True)
class Report:
    """What goes into a report; parts that are empty are left out of the page.

    Parameters
    ----------
    title : str
        Heading.
    facts : mapping of str to str
        What the volume and its segmentation are: source, shape, voxel size, licence.
    warning : str
        What a reader must know first, such as that the volume was made by a program.
    notes : sequence of str
        Paragraphs below the heading.
    sections : sequence of Picture
        Image, and what lies over it.
    bodies : sequence of Picture
        Segments in 3D; the first is the widest.
    scores : sequence of mapping
        Rows of the table of scores; the keys of the first row are the columns.
    curves : sequence of Picture
        Over the threshold.
    errors : sequence of ErrorPlace
        The largest first.
    viewer_command : str
        Command line that opens the viewer on these results.
    stages : sequence of StageTime
        In the order in which they ran.
    steps : sequence of Step
        What they were told.
    inputs : sequence of Input
        What the run began with.
    provenance : mapping of str to str
        Version, weights, date.
    missing : sequence of (str, str)
        What the page could say, too, and the command that finds it out.
    """

    title: str
    facts: Mapping[str, str]
    warning: str = ""
    notes: Sequence[str] = ()
    sections: Sequence[Picture] = ()
    bodies: Sequence[Picture] = ()
    scores: Sequence[Mapping[str, str | float]] = ()
    curves: Sequence[Picture] = ()
    errors: Sequence[ErrorPlace] = ()
    viewer_command: str = ""
    stages: Sequence[StageTime] = ()
    steps: Sequence[Step] = ()
    inputs: Sequence[Input] = ()
    provenance: Mapping[str, str] = field(default_factory=dict)
    missing: Sequence[tuple[str, str]] = ()


def drawing(figure: Figure) -> bytes:
    """A figure of lines as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, facecolor="white")
    return buffer.getvalue()


def photograph(figure: Figure) -> bytes:
    """A figure of sections as JPEG, a fifth as large as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="jpeg", dpi=130, facecolor="white", pil_kwargs=JPEG)
    return buffer.getvalue()


def png_of(pixels: np.ndarray) -> bytes:
    """Pixels (height, width, channels) uint8 as PNG."""
    return _packed(pixels, "PNG")


def jpeg_of(pixels: np.ndarray) -> bytes:
    """Pixels (height, width, 3) uint8 as JPEG."""
    return _packed(pixels, "JPEG", **JPEG)


def _packed(pixels: np.ndarray, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


def refuse_other(path: Path) -> None:
    """Refuse to write a report over a file that is none."""
    if path.is_dir() or (path.exists() and GENERATOR.encode() not in path.read_bytes()[:HEAD]):
        raise InputError(f"{path} exists and is no report of clew: give another name")


def write_report(path: Path | str, report: Report) -> None:
    """Write a report as one HTML file that loads nothing from elsewhere.

    Parameters
    ----------
    path : Path
        The file, replaced where it exists; written beside and renamed when whole.
    report : Report
        What to say.

    Raises
    ------
    InputError
        If the folder cannot be written, or the disk is full.
    """
    page = render_report(report)
    with written_beside(Path(path), overwrite=True) as partial:
        partial.write_text(page, encoding="utf-8")


def render_report(report: Report) -> str:
    """Return the HTML page of a report."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(number=_number, count=_count, memory=_memory)
    template = environment.from_string((files("clew.view") / "report.html.j2").read_text(encoding="utf-8"))
    columns = list(report.scores[0]) if report.scores else []
    total = sum(stage.seconds for stage in report.stages)
    return template.render(report=report, columns=columns, total=total, version=__version__)


def _number(value: object) -> str:
    """Floats with three digits behind the point, everything else as it is."""
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _count(value: int) -> str:
    """Whole numbers in groups of three digits, with thin spaces."""
    return f"{value:,}".replace(",", "\u202f")


def _memory(value: int) -> str:
    """Bytes as gigabytes."""
    return f"{value / 1e9:.2f} GB" if value else ""
