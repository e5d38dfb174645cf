"""clew: from 3D electron microscopy volumes of brain tissue to segmented neurons.

Arrays in, arrays out: `clew.extract_fragments`, `clew.build_region_graph`, `clew.agglomerate` and so on take numpy arrays.
Files in, files out: `clew.pipeline`, of which the command line is made. All names are loaded when asked for.
Examples in docstrings see numpy as `np` and this package as `clew`.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "clew.errors": ("InputError",),
    "clew.evaluation.border": ("away_from_borders", "mask_borders"),
    "clew.evaluation.calibre": ("calibre_classes", "calibres_at"),
    "clew.evaluation.errors": ("largest_errors", "locate_errors"),
    "clew.evaluation.overlap": ("OverlapTable", "overlap_table"),
    "clew.evaluation.scores": ("Scores", "evaluate", "score_thresholds"),
    "clew.evaluation.nodes": ("read_nodes",),
    "clew.evaluation.skeletons": ("SkeletonScores", "Skeletons", "score_skeletons", "skeleton_errors"),
    "clew.network.checkpoint": ("Checkpoint", "load_checkpoint", "save_checkpoint"),
    "clew.network.bundled": ("open_checkpoint",),
    "clew.network.options": ("PRESETS", "PredictionOptions", "UNetOptions"),
    "clew.network.prediction": ("predict_affinities",),
    "clew.network.unet": ("UNet",),
    "clew.pipeline._edited_run": ("open_edits",),
    "clew.pipeline._edits": ("Corrected", "Edits"),
    "clew.segmentation.agglomeration": ("MergeTree", "agglomerate"),
    "clew.segmentation.constraints": ("Constraints", "PointConstraints", "find_constraints"),
    "clew.segmentation.dust": ("join_dust", "remove_small"),
    "clew.segmentation.fragments": ("extract_fragments",),
    "clew.segmentation.options": ("AgglomerationOptions", "CutOptions", "FragmentOptions", "SegmentationOptions"),
    "clew.segmentation.region_graph": ("RegionGraph", "build_region_graph", "merge_region_graphs"),
    "clew.segmentation.relabel": ("relabel", "segment_lookup"),
    "clew.segmentation.segment": ("Segmentation", "segment"),
    "clew.synthetic.options": ("SyntheticOptions",),
    "clew.synthetic.volume": ("synthesize",),
    "clew.training.malis": ("constrained_malis_loss", "malis_weights"),
    "clew.training.options": ("SERIAL_SECTIONS", "AugmentationOptions", "TrainingOptions"),
    "clew.training.sampling": ("TrainingVolume",),
    "clew.training.targets": ("affinity_targets", "grow_boundaries", "split_components"),
    "clew.training.trainer": ("Trainer",),
    "clew.volumes": ("open_volume", "save_volume"),
}
_MODULE_OF = {name: module for module, names in _PUBLIC.items() for name in names}
__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'clew' has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
