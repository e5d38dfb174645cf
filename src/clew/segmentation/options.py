"""What can be chosen about a segmentation, in a record for each step.

Every default is written here and nowhere else.

Nothing is imported that is slow to load: the command line takes its options from here.
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Interval

from clew.ranges import Fraction


@dataclass(frozen=True)
class FragmentOptions:
    """How affinities become fragments.

    Parameters
    ----------
    method
        `seeded-forest`: maximum spanning forest from the seeds along the strongest affinities (exact at block borders);
        `affinity-watershed`: every voxel joins its strongest neighbour (exact; many small fragments);
        `seeded-flood`: flood of the boundary map from the seeds, as in the paper (approximate at block borders).
    per_section
        Seeds and fragments in the plane only, each section for itself: for anisotropic data.
    boundary_threshold
        A voxel whose mean affinity is at most this is boundary; seeds are the voxels farthest from it.
    low
        A pair of weaker affinity never joins two voxels; 0 leaves no voxel without a fragment, but for those more than 14 steps
        outside of all objects whose affinities are all 0 (`seeded-flood`: a voxel of smaller mean affinity stays 0).
    high
        `affinity-watershed` only: a pair of at least this affinity always joins its two voxels.
    seed_window
        Odd edge in voxels of the cube (per section: square) within which a seed is the farthest from the boundary.
    distance_cap
        Distance to the boundary in voxels beyond which all voxels count as equally far.

    Examples
    --------
    >>> clew.FragmentOptions(method="affinity-watershed").boundary_threshold
    0.5
    """

    method: Literal["seeded-forest", "affinity-watershed", "seeded-flood"] = "seeded-forest"
    per_section: bool = False
    boundary_threshold: Fraction = 0.5
    low: Fraction = 0.0
    high: Fraction = 0.9999
    seed_window: Annotated[int, Interval(ge=1)] = 11
    distance_cap: Annotated[int, Interval(ge=1, le=128)] = 16


@dataclass(frozen=True)
class AgglomerationOptions:
    """How touching regions are scored and merged.

    Parameters
    ----------
    score
        Statistic of the affinities between two regions: `mean`, `hist_quant_Q` (Q-th percentile, e.g.
        `hist_quant_75`), `hist_quant_Q_init_max` (the same of the maxima of the initial contacts), or `mean_top_K`
        (mean of the K largest; not in blocks, where it would not be exact). `aff75_his256` means `hist_quant_75`.
        Commands that know the network take, by default, the score whose threshold is stored with it.
    floor
        Regions whose score is below this are never merged: 0 records the whole tree, more saves time and memory.

    Examples
    --------
    >>> clew.AgglomerationOptions(score="hist_quant_75").floor
    0.0
    """

    score: str = "mean"
    floor: Fraction = 0.0


COMPARED_SCORES = (
    "mean", "hist_quant_25", "hist_quant_50", "hist_quant_75", "hist_quant_85", "hist_quant_50_init_max",
    "hist_quant_75_init_max",
)  # fmt: skip
"""Scores that are compared where none is named."""


@dataclass(frozen=True)
class CutOptions:
    """Where the merge tree is cut, and what becomes of small segments.

    Parameters
    ----------
    threshold
        Merge while 1 - score < threshold; a larger one merges more. Commands that know the network take, by default, the
        one that is stored with it.
    minimum_size
        Segments of fewer voxels join their best neighbour.
    remove_below
        Segments of still fewer voxels are removed (0 in the output).

    Examples
    --------
    >>> clew.CutOptions(threshold=0.4, minimum_size=200).remove_below
    0
    """

    threshold: Fraction = 0.5
    minimum_size: Annotated[int, Interval(ge=0)] = 0
    remove_below: Annotated[int, Interval(ge=0)] = 0


@dataclass(frozen=True)
class SegmentationOptions:
    """Everything that decides a segmentation, whole or in blocks.

    Parameters
    ----------
    fragments : FragmentOptions
    agglomeration : AgglomerationOptions
    cut : CutOptions

    Examples
    --------
    >>> options = clew.SegmentationOptions(agglomeration=clew.AgglomerationOptions(score="mean"))
    >>> affinities = np.full((3, 6, 6, 12), 255, np.uint8)
    >>> clew.segment(affinities, options=options).merge_tree.score
    'mean'
    """

    fragments: FragmentOptions = FragmentOptions()
    agglomeration: AgglomerationOptions = AgglomerationOptions()
    cut: CutOptions = CutOptions()


@dataclass(frozen=True)
class AgglomerationChoice:
    # The same options where a network is known: what is left open is taken from it.
    __doc__ = AgglomerationOptions.__doc__

    score: str | None = None
    floor: Fraction = AgglomerationOptions.floor

    def complete(self, suggested: str | None) -> AgglomerationOptions:
        """The options, with the suggested score, if there is one, where none was given."""
        return AgglomerationOptions(self.score or suggested or AgglomerationOptions.score, self.floor)


@dataclass(frozen=True)
class CutChoice:
    # As `AgglomerationChoice`.
    __doc__ = CutOptions.__doc__

    threshold: Fraction | None = None
    minimum_size: Annotated[int, Interval(ge=0)] = CutOptions.minimum_size
    remove_below: Annotated[int, Interval(ge=0)] = CutOptions.remove_below

    def complete(self, threshold: float) -> CutOptions:
        """The options, with the threshold that was found where none was given."""
        return CutOptions(threshold, self.minimum_size, self.remove_below)
