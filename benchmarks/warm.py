"""Loads every kernel where it is imported: preloaded by the process from which `benchmarks.task_memory` forks others."""

from benchmarks.noted import warm_up
from clew.segmentation.options import CutOptions, SegmentationOptions

warm_up(SegmentationOptions(cut=CutOptions(minimum_size=2)))
