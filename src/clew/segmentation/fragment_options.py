"""What can be chosen about fragments; every default is written here and nowhere else."""

from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Interval

Fraction = Annotated[float, Interval(ge=0, le=1)]


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
        A pair of weaker affinity never joins two voxels; 0 leaves no voxel that a seed can reach without a fragment
        (`seeded-flood`: a voxel of smaller mean affinity stays 0).
    high
        `affinity-watershed` only: a pair of at least this affinity always joins its two voxels.
    seed_window
        Odd edge in voxels of the cube (per section: square) within which a seed is the farthest from the boundary.
    distance_cap
        Distance to the boundary in voxels beyond which all voxels count as equally far.
    """

    method: Literal["seeded-forest", "affinity-watershed", "seeded-flood"] = "seeded-forest"
    per_section: bool = False
    boundary_threshold: Fraction = 0.5
    low: Fraction = 0.0
    high: Fraction = 0.9999
    seed_window: Annotated[int, Interval(ge=1)] = 11
    distance_cap: Annotated[int, Interval(ge=1, le=128)] = 16
