"""THE WAY: one file a command, paths in, paths out. Read this first.

raw ─predict→ affinities ─extract_fragments→ fragments ─build_region_graph→ region graph ─agglomerate→ merge tree
─relabel→ segmentation ─evaluate→ scores.  `segment` does all between affinities and segmentation, `run` follows a file.

Every row of `COMMANDS` is a function (`clew.pipeline.extract_fragments`), a command (`clew extract-fragments`) and a table of a
run file (`[extract_fragments]`), with the same options and defaults. It stands in the file of its name, or of the command that it
does in blocks. Files whose names begin with `_` are tools of these. A function is loaded when it is asked for.
"""

import sys
from collections.abc import Callable
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple


class Command(NamedTuple):
    """Where the function of a command stands, and what it does, in one line."""

    module: str
    line: str


COMMANDS = {
    "info": Command("info", "Show what clew understands of a volume, a table or a checkpoint."),
    "predict": Command("predict", "Predict the affinities of a raw volume, tile by tile."),
    "extract_fragments": Command(
        "extract_fragments", "Divide a volume into fragments that lie inside one neuron each."
    ),
    "build_region_graph": Command("build_region_graph", "Collect the affinities between every two touching fragments."),
    "agglomerate": Command("agglomerate", "Merge regions from the best contact to the worst, into a merge tree."),
    "relabel": Command("relabel", "Cut the merge tree at a threshold and give every voxel the id of its segment."),
    "segment": Command("segment", "Go from affinities to a segmentation: the four commands above in one."),
    "evaluate": Command("evaluate", "Compare a segmentation with true labels: VOI, adapted Rand error, CREMI score."),
    "evaluate_skeletons": Command(
        "evaluate_skeletons", "Compare a segmentation with skeletons: run length, splits, merges."
    ),
    "choose_threshold": Command(
        "choose_threshold", "Choose the score and threshold that are best over several segmentations."
    ),
    "predict_blocks": Command("predict", "Predict affinities in blocks, on many workers, for volumes of any size."),
    "segment_blocks": Command("segment", "Go from affinities to a segmentation in blocks: the same result as segment."),
    "relabel_blocks": Command("relabel", "Cut the merge tree of segment-blocks at another threshold, in blocks."),
    "evaluate_blocks": Command(
        "evaluate", "Compare a segmentation with true labels in blocks: the scores of evaluate."
    ),
    "convert_blocks": Command("convert", "Copy a volume to OME-Zarr in blocks, with coarser scales for viewers."),
    "export": Command("export", "Write a segmentation as other tools read it: precomputed, meshes, skeletons."),
    "export_network": Command(
        "export_network", "Write a network as other tools run it: ONNX, or for the BioImage Model Zoo."
    ),
    "status": Command("blocks", "Show how far a run in blocks is: tasks done and failed, errors, time left."),
    "retry": Command("blocks", "Go on with a run in blocks; what was lost or damaged since is made again."),
    "verify_blocks": Command(
        "verify_blocks", "Segment a volume whole and in random blocks, and compare: nothing may differ."
    ),
    "check": Command("check", "Look for what is wrong with volumes and skeletons, before hours are spent."),
    "plan": Command("plan", "Check annotated volumes, and write a run file for training on this machine."),
    "train": Command("train", "Train a network on annotated volumes, or continue an interrupted training."),
    "augment": Command("augment", "Draw what each augmentation of training does to an annotated volume."),
    "synthesize": Command("synthesize", "Make a synthetic volume of neuropil with its truth."),
    "convert": Command("convert", "Copy a volume to OME-Zarr (.zarr) or HDF5 (file.h5:dataset)."),
    "view": Command("view", "Look at volumes in the browser (neuroglancer); runs until Ctrl-C."),
    "proofread": Command("proofread", "Merge and split segments in the browser (neuroglancer); runs until Ctrl-C."),
    "export_truth": Command("export_truth", "Write the corrected segments of a run as a volume to train on."),
    "report": Command("report", "Write one page about a run, to look at and to send: pictures, scores, settings."),
    "run": Command("run", "Follow a run file: the commands of its tables in order, each with its options."),
    "demo": Command("demo", "Go the whole way on a volume with truth, and write figures and a report."),
}
"""All commands, in the order of `clew --help`."""


class _Way(ModuleType):
    """Keeps `clew.pipeline.segment` the function when its file is loaded.

    Otherwise the module of that name would take its place.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in COMMANDS and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Way


def __getattr__(name: str) -> Callable[..., Any]:
    if name not in COMMANDS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    function: Callable[..., Any] = getattr(import_module(f"{__name__}.{COMMANDS[name].module}"), name)
    setattr(sys.modules[__name__], name, function)
    return function


def __dir__() -> list[str]:
    return sorted({*globals(), *COMMANDS})
