"""Pictures of surfaces in 3D, drawn by numpy without a screen or graphics card.

Surfaces are covered with points, more than one a pixel, and of those in a pixel the nearest is seen. It is lit from the eye.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

TURN, TILT = np.radians(-30), np.radians(25)
"""From where one looks: turned about y, then about x. Without both it is the section xy, seen from low z."""
FINER = 2
"""Points across a pixel: they are averaged in the end."""
ROUNDS = 4
"""How often corners are moved towards the middle of their neighbours: voxels are no longer seen."""
POINTS = 1 << 21
"""That are looked at at a time."""
DARKEST = 0.25
"""Of what is seen from the side."""
NOTHING = np.uint64(2**64 - 1)
MOST = 255
"""Steps of brightness, and surfaces of a scene but for the lines."""
LINES = MOST


class Scene:
    """A picture of a box in the making.

    Parameters
    ----------
    low, high : (z, y, x) floats
        Corners of the box in nm; all of it is seen.
    width, height : int
        Pixels; the box lies in the middle.
    """

    def __init__(self, low: Sequence[float], high: Sequence[float], width: int, height: int) -> None:
        ends = np.array([low, high], np.float64)
        self.corners = np.array([ends[bits, range(3)] for bits in np.ndindex(2, 2, 2)])
        seen = _turned(self.corners)
        across, down, self.depth = np.maximum(np.ptp(seen, axis=0), 1e-9)
        shape = np.array([width, height]) * FINER
        self.scale = float(((shape - 1) / (across, down)).min())
        self.low = seen.min(0) - [*((shape - 1) / self.scale - (across, down)) / 2, 0]
        self._nearest = np.full(shape[::-1], NOTHING)
        self._colours = np.zeros((MOST + 1, 3), np.float32)
        self._count = 0

    def add(self, vertices: NDArray[np.floating], faces: NDArray[np.integer], colour: NDArray[np.floating]) -> None:
        """Draw a surface.

        Parameters
        ----------
        vertices : (n, 3) floats
            Corners (z, y, x) in nm.
        faces : (m, 3) whole numbers
            Indices of corners.
        colour : (3,) floats
            Red, green and blue in [0, 1].
        """
        if not len(faces):
            return
        seen = _turned(_smoothed(np.asarray(vertices, np.float64), faces))
        light = DARKEST + (1 - DARKEST) * np.abs(_normals(seen, faces)[:, 2])
        self._colours[self._count] = colour
        corners = np.column_stack([(seen - self.low) * (self.scale, self.scale, 1), light])
        longest = np.abs(corners[faces] - corners[faces[:, [1, 2, 0]]])[..., :2].max((1, 2))
        counts = np.maximum(1, np.ceil(1.4 * longest)).astype(np.int64)
        for count in np.unique(counts):
            weights = _inner_points(int(count))
            chosen = faces[counts == count]
            for start in range(0, len(chosen), max(1, POINTS // len(weights))):
                triangles = corners[chosen[start : start + max(1, POINTS // len(weights))]]
                self._splat(np.einsum("pc,tcv->tpv", weights, triangles).reshape(-1, 4), self._count)
        self._count += 1

    def add_box(self) -> None:
        """Draw the edges of the box."""
        for one in range(8):
            for bit in (1, 2, 4):
                if not one & bit:
                    ends = (_turned(self.corners[[one, one | bit]]) - self.low) * (self.scale, self.scale, 1)
                    count = int(np.ceil(np.abs(ends[0] - ends[1])[:2].max())) + 1
                    line = np.linspace(ends[0], ends[1], count)
                    self._splat(np.column_stack([line, np.ones(count)]), LINES)

    def picture(self) -> NDArray[np.uint8]:
        """The picture, (height, width, 4) uint8: red, green, blue and opacity."""
        number, light = self._nearest & np.uint64(0xFF), (self._nearest >> np.uint64(8)) & np.uint64(0xFF)
        self._colours[LINES] = 0.6
        seen = self._nearest != NOTHING
        fine = np.zeros((*seen.shape, 4), np.float32)
        fine[..., :3] = self._colours[number] * (light[..., None].astype(np.float32) / MOST) * seen[..., None]
        fine[..., 3] = seen
        height, width = (length // FINER for length in seen.shape)
        mean = fine.reshape(height, FINER, width, FINER, 4).mean((1, 3))
        mean[..., :3] /= np.maximum(mean[..., 3:], 1e-6)
        return np.rint(255 * mean.clip(0, 1)).astype(np.uint8)

    def _splat(self, points: NDArray[np.float64], number: int) -> None:
        """Keep of each pixel the nearest point: depth, brightness, surface packed."""
        column, row = (np.rint(points[:, axis]).astype(np.int64) for axis in (0, 1))
        height, width = self._nearest.shape
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        depth = (np.clip(points[:, 2] / self.depth, 0, 1) * (2**32 - 1)).astype(np.uint64)
        light = np.rint(MOST * np.clip(points[:, 3], 0, 1)).astype(np.uint64)
        packed = depth << np.uint64(16) | light << np.uint64(8) | np.uint64(number)
        np.minimum.at(self._nearest.reshape(-1), (row * width + column)[inside], packed[inside])


def _turned(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Places (z, y, x) as one sees them: to the right, down, and away."""
    z, y, x = np.asarray(points, np.float64).T
    x, z = x * np.cos(TURN) + z * np.sin(TURN), z * np.cos(TURN) - x * np.sin(TURN)
    y, z = y * np.cos(TILT) - z * np.sin(TILT), z * np.cos(TILT) + y * np.sin(TILT)
    return np.stack([x, y, z], 1)


def _smoothed(vertices: NDArray[np.float64], faces: NDArray[np.integer]) -> NDArray[np.float64]:
    """Corners moved towards the middle of their neighbours."""
    ends = np.concatenate([faces[:, [0, 1]], faces[:, [1, 2]], faces[:, [2, 0]]])
    count = np.maximum(np.bincount(ends[:, 0], minlength=len(vertices)), 1)
    for _ in range(ROUNDS):
        sums = [np.bincount(ends[:, 0], vertices[ends[:, 1], axis], len(vertices)) for axis in range(3)]
        vertices = (vertices + np.stack(sums, 1) / count[:, None]) / 2
    return vertices


def _normals(vertices: NDArray[np.float64], faces: NDArray[np.integer]) -> NDArray[np.float64]:
    """Of each corner the direction in which its triangles look, of length 1."""
    one, two, three = (vertices[faces[:, corner]] for corner in range(3))
    across = np.cross(two - one, three - one)
    sums = np.stack(
        [np.bincount(faces.reshape(-1), np.repeat(across[:, axis], 3), len(vertices)) for axis in range(3)], 1
    )
    return sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-12)


def _inner_points(count: int) -> NDArray[np.float64]:
    """Weights of corners for points on a triangle, `count` steps along a side."""
    grid = np.array([(a, b, count - a - b) for a in range(count + 1) for b in range(count + 1 - a)], np.float64)
    return grid / count
