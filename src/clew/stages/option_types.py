"""Types of options that several commands share."""

from typing import Annotated

from annotated_types import Gt, Interval

Triple = tuple[float, float, float]
Shape = tuple[Annotated[int, Gt(0)], Annotated[int, Gt(0)], Annotated[int, Gt(0)]]
Threshold = Annotated[float, Interval(ge=0, le=1)]
