"""One self-contained HTML page about a run: what was done, how well, how fast."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Literal

from matplotlib.figure import Figure

from clew.replace import written_beside
from clew.space import Triple


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
        Voxels that went through it.
    """

    stage: str
    seconds: float
    voxels: int

    @property
    def seconds_per_megavoxel(self) -> float:
        """Wall time per million voxels; 0 where there were none."""
        return self.seconds / (self.voxels / 1e6) if self.voxels else 0.0


@dataclass(frozen=True)
class ErrorPlace:
    """One wrong split or merge and where to look at it.

    Parameters
    ----------
    kind : "split" or "merge"
        What went wrong.
    truth, segments : sequence of int
        Neurons and segments that take part.
    voxels : int
        Voxels that are wrong by it.
    position : (z, y, x) of int
        A voxel to look at.
    """

    kind: Literal["split", "merge"]
    truth: Sequence[int]
    segments: Sequence[int]
    voxels: int
    position: Triple


@dataclass(frozen=True)
class ReportFigure:
    """A matplotlib figure and what it shows."""

    caption: str
    figure: Figure


@dataclass(frozen=True)
class Report:
    """What goes into a report; parts that are empty are left out of the page.

    Parameters
    ----------
    title : str
        Heading.
    synthetic : bool
        Whether the volume was made by a program; the page says so in its first line.
    volume : mapping of str to str
        What the volume is: source, shape, voxel size, licence.
    scores : sequence of mapping
        Rows of the table of scores; the keys of the first row are the columns.
    stages : sequence of StageTime
        In the order in which they ran.
    figures : sequence of ReportFigure
        In the order in which they are shown.
    errors : sequence of ErrorPlace
        The largest first.
    viewer_command : str
        Command line that opens the viewer on these results.
    provenance : mapping of str to str
        Version, parameters, weights, date.
    notes : sequence of str
        Paragraphs below the first line.
    """

    title: str
    synthetic: bool
    volume: Mapping[str, str]
    scores: Sequence[Mapping[str, str | float]] = ()
    stages: Sequence[StageTime] = ()
    figures: Sequence[ReportFigure] = ()
    errors: Sequence[ErrorPlace] = ()
    viewer_command: str = ""
    provenance: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()


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
    environment.filters.update(number=_number, count=_count)
    template = environment.from_string((files("clew.view") / "report.html.j2").read_text(encoding="utf-8"))
    images = [(shown.caption, _embed(shown.figure)) for shown in report.figures]
    columns = list(report.scores[0]) if report.scores else []
    total = sum(stage.seconds for stage in report.stages)
    return template.render(report=report, images=images, columns=columns, total=total)


def _embed(figure: Figure) -> str:
    """Return a figure as a data URL of a PNG image."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, facecolor="white")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _number(value: object) -> str:
    """Floats with three digits behind the point, everything else as it is."""
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _count(value: int) -> str:
    """Whole numbers in groups of three digits, with thin spaces."""
    return f"{value:,}".replace(",", "\u202f")
