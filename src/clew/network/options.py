"""Network architectures as plain records, and the named presets."""

from dataclasses import dataclass, replace
from math import prod
from typing import Annotated, Literal, cast

from annotated_types import Gt

from clew.space import NEAREST_OFFSETS, Triple, triple

Shape = tuple[Annotated[int, Gt(0)], Annotated[int, Gt(0)], Annotated[int, Gt(0)]]
Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "float32", "bfloat16"]
Runtime = Literal["auto", "torch", "openvino"]
Upsampling = Literal["transposed", "nearest"]
TestTimeAugmentation = Literal["none", "flips", "all"]


DESCRIPTORS = ("offset_z", "offset_y", "offset_x", "variance_z", "variance_y", "variance_x",
               "correlation_zy", "correlation_zx", "correlation_yx", "size")  # fmt: skip
"""Channels of the local shape descriptors (Sheridan et al., Nature Methods 2023)."""


def axis_offsets(*distances: int) -> tuple[Triple, ...]:
    """Offsets (z, y, x) of `-distance` voxels along each axis, for every distance."""
    return tuple(triple(-distance * (a == axis) for a in range(3)) for distance in distances for axis in range(3))


@dataclass(frozen=True)
class UNetOptions:
    """Architecture of a 3D U-Net of valid convolutions.

    Source: arXiv 1709.02974, section 2.1.

    Parameters
    ----------
    features
        Feature maps of each level, finest first.
    pooling
        Pooling factors (z, y, x) between consecutive levels; anisotropic data are pooled in the plane first.
    encoder_convolutions
        3×3×3 convolutions of each level on the way down.
    decoder_convolutions
        3×3×3 convolutions of each level but the last on the way up.
    upsampling
        `transposed` convolution, or `nearest` neighbour followed by a 1×1×1 convolution.
    residual
        Add an identity shortcut around each convolution of a level but its first.
    slope
        Negative slope of the (leaky) ReLU.
    offsets
        Voxel offsets (z, y, x) of the affinity channels; the three nearest neighbours come first.
    descriptors
        Add a second head for the local shape descriptors, an auxiliary target: its output is made in training only.

    Examples
    --------
    >>> options = clew.UNetOptions(features=(8, 16), pooling=((2, 2, 2),), encoder_convolutions=(1, 1),
    ...                            decoder_convolutions=(1,))
    >>> options.factor, options.context
    ((2, 2, 2), (4, 4, 4))
    """

    features: tuple[int, ...] = (12, 60, 300, 1500)
    pooling: tuple[Triple, ...] = ((2, 2, 2), (2, 2, 2), (3, 3, 3))
    encoder_convolutions: tuple[int, ...] = (2, 2, 2, 2)
    decoder_convolutions: tuple[int, ...] = (2, 2, 2)
    upsampling: Upsampling = "transposed"
    residual: bool = False
    slope: float = 0.0
    offsets: tuple[Triple, ...] = NEAREST_OFFSETS
    descriptors: bool = False

    @property
    def factor(self) -> Triple:
        """Product of all pooling factors (z, y, x): tile starts are multiples of it."""
        return triple(prod(steps[axis] for steps in self.pooling) for axis in range(3))

    @property
    def context(self) -> Triple:
        """Voxels (z, y, x) of raw that are read on each side of a tile."""
        depth = len(self.pooling)
        reach = [0, 0, 0]
        scale = [1, 1, 1]
        for level in range(depth + 1):
            convolutions = self.encoder_convolutions[level]
            convolutions += self.decoder_convolutions[level] if level < depth else 0
            for axis in range(3):
                reach[axis] += convolutions * scale[axis]
                scale[axis] *= self.pooling[level][axis] if level < depth else 1
        return triple(reach)


@dataclass(frozen=True)
class PredictionOptions:
    """How a network predicts.

    Parameters
    ----------
    tile
        Output voxels z,y,x predicted at a time; the result does not depend on it (to within 1/255; in bfloat16
        a few affinities in a million differ by 2 or 3 of 255).
    device
        cpu, cuda, or what is there.
    precision
        Arithmetic of the network; auto is bfloat16 on GPUs and CPUs with matrix units for it, else float32.
    runtime
        What runs the network; auto is the fastest that is installed and within 1/255 of torch, by a trial where the volume is
        large. openvino (pip install clew[openvino]) works on CPUs only.
    test_time_augmentation
        Average over the mirror images of the volume (flips: 8 times the work), or over those of its transposes too (all: 48
        times for isotropic voxels, 16 times where only y and x are equal).

    Examples
    --------
    >>> clew.PredictionOptions(tile=(64, 64, 64), test_time_augmentation="flips").device
    'auto'
    """

    tile: Shape | None = None
    device: Device = "auto"
    precision: Precision = "auto"
    runtime: Runtime = "auto"
    test_time_augmentation: TestTimeAugmentation = "none"

    def on(self, device: str) -> "PredictionOptions":
        """The same options for a known device: cpu, or a GPU by its index (cuda:1)."""
        return replace(self, device=cast(Device, device))


DECIDED = ("runtime", "precision")
"""Options of a prediction that a run decides where they are `auto`; what it decided is recorded."""
BUNDLED = "fib-10nm"
"""The bundled network that is used where the user names none."""

PRESETS: dict[str, UNetOptions] = {
    "cremi": UNetOptions(pooling=((1, 3, 3),) * 3),
    "fib25": UNetOptions(upsampling="nearest"),
    "segem": UNetOptions(pooling=((1, 2, 2), (2, 2, 2), (2, 2, 2))),
    "small": UNetOptions(
        features=(16, 64, 128, 256),
        pooling=((2, 2, 2),) * 3,
        encoder_convolutions=(1, 2, 2, 2),
        decoder_convolutions=(2, 2, 1),
        residual=True,
        offsets=axis_offsets(1, 4, 12),
    ),
    "small-anisotropic": UNetOptions(
        features=(16, 64, 128, 256),
        pooling=((1, 2, 2), (1, 2, 2), (2, 2, 2)),
        encoder_convolutions=(1, 2, 2, 2),
        decoder_convolutions=(2, 2, 1),
        residual=True,
        offsets=axis_offsets(1),
    ),
    "tiny": UNetOptions(
        features=(8, 16, 32),
        pooling=((2, 2, 2),) * 2,
        encoder_convolutions=(1, 1, 1),
        decoder_convolutions=(1, 1),
        residual=True,
    ),
}
"""Named architectures: the paper's three nets, and small residual ones that train and predict on a CPU.

Examples
--------
>>> sorted(clew.PRESETS)
['cremi', 'fib25', 'segem', 'small', 'small-anisotropic', 'tiny']
>>> clew.PRESETS["small"].factor
(8, 8, 8)
"""
