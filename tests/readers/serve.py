"""A small run that is being proofread, for clients of graphene://: PORT, and the address on standard output."""

import sys
import tempfile
from pathlib import Path

import numpy as np

import clew
from clew.pipeline._edits import Edits
from clew.view.layers import Layer
from clew.view.neuroglancer import view, wait


def main(port: int) -> None:
    """Six columns of fragments; those in the middle are apart."""
    fragments = np.repeat(np.arange(1, 7, dtype=np.uint64), 16)[None, None].repeat(16, 0).repeat(96, 1)
    affinities = np.full((3, *fragments.shape), 230, np.uint8)
    affinities[2, ..., 48] = 150
    graph = clew.build_region_graph(affinities, fragments)
    with (
        tempfile.TemporaryDirectory() as folder,
        Edits(Path(folder) / "edits.sqlite", graph, clew.agglomerate(graph), fragments, threshold=0.3) as edits,
    ):
        viewer = view([Layer("corrected", fragments, "segmentation", (40.0, 8.0, 4.0), editor=edits)], port=port)
        print(f"graphene://http://127.0.0.1:{port}/segmentation/table/clew-{viewer.token}", flush=True)
        wait(viewer)


main(int(sys.argv[1]))
