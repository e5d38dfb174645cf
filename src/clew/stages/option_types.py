"""Types of options that several commands share."""

from typing import Annotated

from annotated_types import Interval

from clew.network.options import Shape as Shape

Triple = tuple[float, float, float]
Threshold = Annotated[float, Interval(ge=0, le=1)]
