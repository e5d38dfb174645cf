"""What can be chosen about agglomeration; every default is written here and nowhere else."""

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Interval

Fraction = Annotated[float, Interval(ge=0, le=1)]


@dataclass(frozen=True)
class AgglomerationOptions:
    """How touching regions are scored and merged.

    Parameters
    ----------
    score
        Statistic of the affinities between two regions: `mean`, `hist_quant_Q` (Q-th percentile, e.g.
        `hist_quant_75`), `hist_quant_Q_init_max` (the same of the maxima of the initial contacts), or `mean_top_K`
        (mean of the K largest; in core only, not exact at block borders). `aff75_his256` means `hist_quant_75`.
    floor
        Regions whose score is below this are never merged: 0 records the whole tree, more saves time and memory.
    """

    score: str = "hist_quant_75_init_max"
    floor: Fraction = 0.0


@dataclass(frozen=True)
class AgglomerationChoice:
    """Options of the stages that know a network: what is left open is taken from it, together with its threshold.

    Parameters
    ----------
    score
        Statistic of the affinities between two regions: `mean`, `hist_quant_Q` (Q-th percentile), `hist_quant_Q_init_max` (the
        same of the maxima of the initial contacts), or `mean_top_K` (mean of the K largest; in core only, not exact at
        block borders). By default the one whose threshold is stored with the network, else `hist_quant_75_init_max`.
    floor
        Regions whose score is below this are never merged: 0 records the whole tree, more saves time and memory.
    """

    score: str | None = None
    floor: Fraction = AgglomerationOptions.floor

    def complete(self, suggested: str | None) -> AgglomerationOptions:
        """The options, with the suggested score, if there is one, where none was given."""
        return AgglomerationOptions(self.score or suggested or AgglomerationOptions.score, self.floor)
