"""THE WAY: one function a stage, paths in, paths out. Read this first.

raw ─predict→ affinities ─extract_fragments→ fragments ─build_region_graph→ region graph ─agglomerate→ merge tree
─relabel→ segmentation ─evaluate→ scores.  `segment` does all between affinities and segmentation, `run` follows a file.

Every function is a command (`clew extract-fragments`) and a table of a run file (`[extract_fragments]`).
"""

from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt

from clew.errors import InputError
from clew.network.options import BUNDLED, PRESETS, Device, Precision, PredictionOptions
from clew.pipeline.blocks import (
    convert_blocks,
    evaluate_blocks,
    predict_blocks,
    relabel_blocks,
    retry,
    segment_blocks,
    status,
    verify_blocks,
)
from clew.segmentation.options import AgglomerationChoice, AgglomerationOptions, CutOptions, FragmentOptions
from clew.space import Lengths, Triple
from clew.stages.declaration import Record, stage
from clew.stages.option_types import Input, Shape, Threshold
from clew.stages.progress import say, timed
from clew.synthetic.options import SyntheticOptions
from clew.training.options import AugmentationOptions, TrainingOptions


@stage
def info(path: str, *, voxel_size: Lengths | None = None) -> None:
    """Show what clew understands of a volume, a table or a checkpoint.

    Parameters
    ----------
    path
        Volume (OME-Zarr, zarr, N5, HDF5 as file.h5:dataset, TIFF, precomputed), region graph, merge tree or checkpoint.
    voxel_size
        Voxel size z,y,x in nm, where the volume does not say it.
    """
    from clew.stages.description import describe

    for line in describe(path, voxel_size):
        say(line)


@stage
def predict(
    raw: Input,
    affinities: str,
    *,
    checkpoint: Input = BUNDLED,
    box: str | None = None,
    prediction_options: PredictionOptions,
    voxel_size: Lengths | None = None,
    overwrite: bool = False,
    record: Record,
) -> None:
    """Predict the affinities of a raw volume, tile by tile.

    Parameters
    ----------
    raw
        Raw volume (z, y, x) uint8.
    affinities
        Output, (3, z, y, x) uint8, for example affinities.zarr.
    checkpoint
        Checkpoint file, or the name of a bundled one.
    box
        Part of the volume in voxels, as z0:z1,y0:y1,x0:x1 (each end may be left out); the raw around it serves as context.
    voxel_size
        Voxel size z,y,x in nm, where the volume does not say it.
    overwrite
        Replace an existing output.
    """
    from clew.stages.prediction import predict_volume

    predict_volume(
        raw, affinities, checkpoint=checkpoint, box=box, options=prediction_options, voxel_size=voxel_size,
        overwrite=overwrite, record=record,
    )  # fmt: skip


@stage
def extract_fragments(
    affinities: Input,
    fragments: str,
    *,
    mask: Input | None = None,
    options: FragmentOptions,
    overwrite: bool = False,
    record: Record,
) -> None:
    """Divide a volume into fragments that lie inside one neuron each.

    Parameters
    ----------
    affinities
        Affinities (offset, z, y, x), uint8 or float32 in [0, 1].
    fragments
        Output, (z, y, x) uint64; a fragment's id is 1 + the linear index of its first voxel.
    mask
        Volume (z, y, x), 0 where there is nothing to segment.
    overwrite
        Replace an existing output.
    """
    from clew.segmentation.fragments import extract_fragments as extract
    from clew.stages.files import open_affinities, read_like, refuse_outputs, save_like
    from clew.stages.memory import refuse_too_large
    from clew.stages.protection import refuse_overlap

    refuse_overlap([affinities, mask], [fragments])
    source = open_affinities(affinities)
    refuse_outputs(overwrite, fragments)
    refuse_too_large("extract-fragments", affinities, prod(source.shape[1:]), 3 * source.dtype.itemsize)
    inside = None if mask is None else read_like(mask, source.shape[1:], source)
    values = source.read(slice(0, 3))
    with timed("extract-fragments", values[0].size):
        ids = extract(values, mask=inside, options=options)
    save_like(source, fragments, ids, record, overwrite)


@stage
def build_region_graph(
    affinities: Input, fragments: Input, region_graph: str, *, overwrite: bool = False, record: Record
) -> None:
    """Collect the affinities between every two touching fragments.

    Parameters
    ----------
    affinities
        Affinities (offset, z, y, x), uint8 or float32 in [0, 1].
    fragments
        Fragments (z, y, x) of these affinities.
    region_graph
        Output, a table in an .h5 file.
    overwrite
        Replace an existing output.
    """
    from clew.segmentation.region_graph import build_region_graph as build
    from clew.stages.files import as_ids, open_affinities, read_like, suggestion
    from clew.stages.memory import refuse_too_large
    from clew.stages.protection import refuse_overlap
    from clew.stages.tables import save_region_graph
    from clew.volumes.tables import check_table_path

    refuse_overlap([affinities, fragments], [region_graph])
    check_table_path(region_graph, overwrite=overwrite)
    source = open_affinities(affinities)
    refuse_too_large("build-region-graph", affinities, prod(source.shape[1:]), 3 * source.dtype.itemsize + 8)
    ids = as_ids(read_like(fragments, source.shape[1:], source), fragments)
    values = source.read(slice(0, 3))
    with timed("build-region-graph", ids.size):
        graph = build(values, ids)
    save_region_graph(region_graph, graph, record | suggestion(source.attributes), overwrite)


@stage
def agglomerate(
    region_graph: Input,
    merge_tree: str,
    *,
    options: AgglomerationChoice,
    overwrite: bool = False,
    record: Record,
) -> None:
    """Merge regions from the best contact to the worst; the merge tree holds the segmentations of all thresholds.

    Parameters
    ----------
    region_graph
        Region graph, as written by build-region-graph.
    merge_tree
        Output, a table in an .h5 file.
    overwrite
        Replace an existing output.
    """
    from clew.segmentation.agglomeration import agglomerate as merge
    from clew.stages.files import suggestion
    from clew.stages.protection import refuse_overlap
    from clew.stages.tables import load_region_graph, save_merge_tree
    from clew.volumes.tables import check_table_path

    refuse_overlap([region_graph], [merge_tree])
    check_table_path(merge_tree, overwrite=overwrite)
    graph, attributes = load_region_graph(region_graph)
    with timed("agglomerate", int(graph.sizes.sum())):
        tree = merge(graph, options=options.complete(attributes.get("suggested_score")))
    save_merge_tree(merge_tree, tree, record | suggestion(attributes), overwrite)


@stage
def relabel(
    fragments: Input,
    merge_tree: Input,
    segmentation: str,
    *,
    threshold: Threshold | None = None,
    region_graph: Input | None = None,
    minimum_size: Annotated[int, Ge(0)] = 0,
    remove_below: Annotated[int, Ge(0)] = 0,
    overwrite: bool = False,
    record: Record,
) -> None:
    """Cut the merge tree at a threshold and name every voxel by its segment.

    Parameters
    ----------
    fragments
        Fragments (z, y, x).
    merge_tree
        Merge tree of these fragments.
    segmentation
        Output, (z, y, x) uint64.
    threshold
        Merge while 1 - score < threshold; a larger one merges more. By default the one stored with the network.
    region_graph
        Region graph of the fragments; needed to join dust.
    minimum_size
        Segments of fewer voxels join their best neighbour.
    remove_below
        Segments of still fewer voxels are removed (0 in the output).
    overwrite
        Replace an existing output.
    """
    from clew.segmentation.relabel import relabel as rename
    from clew.segmentation.segment import cut_lookup
    from clew.stages.files import as_ids, chosen_threshold, refuse_outputs, save_like
    from clew.stages.memory import refuse_too_large
    from clew.stages.protection import refuse_overlap
    from clew.stages.tables import load_merge_tree, load_region_graph
    from clew.volumes.open import open_volume

    refuse_overlap([fragments, merge_tree, region_graph], [segmentation])
    tree, attributes = load_merge_tree(merge_tree)
    threshold = chosen_threshold(threshold, attributes, tree.score, merge_tree)
    source = open_volume(fragments)
    refuse_outputs(overwrite, segmentation)
    refuse_too_large("relabel", fragments, prod(source.shape), 8)
    ids = as_ids(source.read(), fragments)
    with timed("relabel", ids.size):
        if minimum_size and region_graph is None:
            raise InputError("relabel: minimum-size needs the region graph: give --region-graph")
        graph = load_region_graph(region_graph)[0] if minimum_size and region_graph else None
        lookup = cut_lookup(tree, CutOptions(threshold, minimum_size, remove_below), graph)
        segments = rename(ids, tree.fragments, lookup)
    save_like(source, segmentation, segments, Record(record | {"threshold": threshold}), overwrite)


@stage
def segment(
    affinities: Input,
    directory: str,
    *,
    mask: Input | None = None,
    fragment_options: FragmentOptions,
    agglomeration_options: AgglomerationChoice,
    threshold: Threshold | None = None,
    minimum_size: Annotated[int, Ge(0)] = 0,
    remove_below: Annotated[int, Ge(0)] = 0,
    overwrite: bool = False,
) -> None:
    """Affinities to segmentation: extract-fragments, build-region-graph, agglomerate and relabel in one.

    Parameters
    ----------
    affinities
        Affinities (offset, z, y, x), uint8 or float32 in [0, 1].
    directory
        Where fragments.zarr, region_graph.h5, merge_tree.h5 and segmentation.zarr are written.
    mask
        Volume (z, y, x), 0 where there is nothing to segment.
    threshold
        Merge while 1 - score < threshold; a larger one merges more. By default the one stored with the network.
    minimum_size
        Segments of fewer voxels join their best neighbour.
    remove_below
        Segments of still fewer voxels are removed (0 in the output).
    overwrite
        Replace existing outputs.
    """
    from dataclasses import asdict

    from clew.stages.files import chosen_threshold, open_affinities, refuse_outputs
    from clew.stages.protection import refuse_overlap

    names = ("fragments.zarr", "region_graph.h5", "merge_tree.h5", "segmentation.zarr")
    fragments, graph, tree, segmentation = (str(Path(directory) / name) for name in names)
    refuse_overlap([affinities, mask], [fragments, graph, tree, segmentation])
    refuse_outputs(overwrite, fragments, segmentation)
    attributes = open_affinities(affinities).attributes
    agglomeration = agglomeration_options.complete(attributes.get("suggested_score"))
    threshold = chosen_threshold(threshold, attributes, agglomeration.score, affinities)
    extract_fragments(affinities, fragments, mask=mask, overwrite=overwrite, **asdict(fragment_options))
    build_region_graph(affinities, fragments, graph, overwrite=overwrite)
    agglomerate(graph, tree, overwrite=overwrite, **asdict(agglomeration))
    relabel(
        fragments, tree, segmentation, threshold=threshold, region_graph=graph, minimum_size=minimum_size,
        remove_below=remove_below, overwrite=overwrite,
    )  # fmt: skip


@stage
def evaluate(
    segmentation: Input,
    truth: Input,
    *,
    merge_tree: Input | None = None,
    thresholds: Annotated[int, Gt(1)] = 51,
    border: Annotated[float, Ge(0)] = 0.0,
    minimum_nodes: Annotated[int, Gt(0)] = 1,
    box: str | None = None,
    components: bool = False,
    json: str | None = None,
    plot: str | None = None,
    overwrite: bool = False,
    record: Record,
) -> Any:
    """Compare a segmentation with the truth: variation of information, adapted Rand error, CREMI score; or with skeletons.

    Parameters
    ----------
    segmentation
        Segmentation (z, y, x), or the fragments of the merge tree.
    truth
        True neuron ids (z, y, x), of which voxels with 0 are ignored; or skeletons as an .nml file, for the expected run
        length, splits and merges. Truth and segmentation may be parts of each other, by their offsets.
    merge_tree
        Merge tree of the fragments: scores are then given for many thresholds.
    thresholds
        Number of thresholds from 0 to 1.
    border
        Ignore truth within this distance (nm, per section) of a border between neurons; CREMI uses 25.
    minimum_nodes
        Nodes of a skeleton that a segment must hold to count as its part, in splits and merges.
    box
        Part of the segmentation in voxels to compare, as z0:z1,y0:y1,x0:x1.
    components
        Split both volumes into connected components inside the box first.
    json
        Write the scores to this file.
    plot
        Write a plot of the scores over the thresholds to this PNG file.
    overwrite
        Replace existing outputs.
    """
    from clew.stages.scoring import score_paths

    return score_paths(
        segmentation, truth, merge_tree=merge_tree, thresholds=thresholds, border=border,
        minimum_nodes=minimum_nodes, box=box, components=components, json=json, plot=plot, overwrite=overwrite,
        record=record,
    )  # fmt: skip


@stage
def plan(
    data: list[str],
    *,
    output: str = "plan.toml",
    hours: Annotated[float, Gt(0)] = 8.0,
    voxel_size: Lengths | None = None,
    device: Device = "auto",
    timing: bool = True,
    data_set: Literal["cremi", "fib-25", "segem", "snemi3d"] | None = None,
    strict: bool = False,
    overwrite: bool = False,
) -> None:
    """Look at annotated volumes and this machine, name errors of the annotation, and write a run file for training.

    Parameters
    ----------
    data
        Annotated volumes, as for train: FILE.h5 in the layout of CREMI, or RAW,LABELS or RAW,LABELS,MASK.
    output
        The run file to write, with a comment for each choice; for clew run, and clew train --config.
    hours
        Hours that training may take.
    voxel_size
        Voxel size z,y,x in nm, where the volumes do not say it.
    device
        Where training will run: cpu, cuda, or what is there.
    timing
        Take a few steps to know how long they last here.
    data_set
        A data set of the paper: its network, loss, augmentation, fragments and scores are taken as the paper has them
        (SNEMI3D has none there). Such a plan is for a GPU, and is not timed.
    strict
        Stop with exit code 2, and write nothing, where the annotation has serious errors.
    overwrite
        Replace an existing run file.
    """
    from clew.stages.planning import write_plan

    write_plan(data, Path(output), hours=hours, voxel_size=voxel_size, device=device, timing=timing,
               data_set=data_set, strict=strict, overwrite=overwrite)  # fmt: skip


@stage
def train(
    checkpoint: str,
    *,
    data: list[Input],
    held_out: str | None = None,
    preset: Literal[tuple(PRESETS)] = "small",  # type: ignore[valid-type]
    offsets: list[Triple] | None = None,
    initial: Input | None = None,
    score: str = AgglomerationOptions.score,
    device: Device = "auto",
    precision: Precision = "auto",
    processes: Annotated[int, Gt(0)] = 1,
    training_options: TrainingOptions,
    augmentation_options: AugmentationOptions,
    tensorboard: bool = False,
    half: bool = False,
    overwrite: bool = False,
    record: Record,
) -> None:
    """Train a network on annotated volumes; an interrupted run continues where it was.

    Parameters
    ----------
    checkpoint
        Output; log, state and snapshots go to a folder beside it.
    data
        Annotated volumes: a CREMI-style HDF5 file (volumes/raw, volumes/labels/neuron_ids, volumes/labels/mask), or
        RAW,LABELS or RAW,LABELS,MASK; give several by repeating the option.
    held_out
        Part of the first volume (z0:z1,y0:y1,x0:x1) that is not trained on; the checkpoint is chosen by the
        segmentation of this part.
    preset
        Architecture.
    offsets
        Voxel offsets z,y,x of the affinities, as "-1,0,0;0,-1,0;0,0,-1;-4,0,0", instead of those of the preset; the three
        nearest neighbours come first.
    initial
        Checkpoint whose weights to start from; architecture and offsets are then those of the checkpoint.
    score
        Agglomeration score of the validation, as for agglomerate; the threshold in the checkpoint belongs to it.
    device
        cpu, cuda, or what is there.
    precision
        Arithmetic of the network; auto is bfloat16 on GPUs and CPUs with matrix units for it, else float32.
    processes
        Processes on this machine, each with a GPU of its own or a part of the cores: the batch is so many times larger.
        torchrun starts them on several machines.
    tensorboard
        Log for TensorBoard, too (pip install clew[tensorboard]).
    half
        Store the weights in 16 bits.
    overwrite
        Start anew, replacing an existing run and its checkpoint.
    """
    from functools import partial

    from clew.stages.launching import run_in_processes
    from clew.stages.training_run import run_training

    work = partial(
        run_training, Path(checkpoint), data, held_out=held_out, preset=preset, offsets=offsets, initial=initial,
        score=score, device=device, precision=precision, options=training_options, augmentation=augmentation_options,
        tensorboard=tensorboard, half=half, overwrite=overwrite, record=record,
    )  # fmt: skip
    run_in_processes(processes, work)


@stage
def augment(
    data: str,
    *,
    preview: str,
    crop: Shape = (64, 64, 64),
    seed: int = 0,
    augmentation_options: AugmentationOptions,
    overwrite: bool = False,
) -> None:
    """Draw what each augmentation of training does to an annotated volume.

    Parameters
    ----------
    data
        Annotated volume, named as for train.
    preview
        Output, a PNG file with a row for each augmentation that is on: raw above labels.
    crop
        Voxels z,y,x of the crop that is drawn.
    seed
        Another seed shows other draws.
    overwrite
        Replace an existing output.
    """
    from clew.stages.augmentation_preview import preview_augmentation

    preview_augmentation(
        data, Path(preview), crop=crop, seed=seed, options=augmentation_options, overwrite=overwrite
    )  # fmt: skip


@stage
def synthesize(
    raw: str,
    labels: str,
    *,
    shape: Shape = (128, 128, 128),
    voxel_size: Lengths = (10.0, 10.0, 10.0),
    seed: int = 0,
    options: SyntheticOptions,
    overwrite: bool = False,
    record: Record,
) -> None:
    """Make a synthetic volume of neuropil with its truth.

    Parameters
    ----------
    raw
        Output, (z, y, x) uint8.
    labels
        Output, (z, y, x) uint64.
    shape
        Voxels z,y,x.
    voxel_size
        Voxel size z,y,x in nm.
    seed
        The same seed gives the same volume.
    overwrite
        Replace existing outputs.
    """
    from clew.stages.files import refuse_outputs
    from clew.stages.memory import refuse_too_large
    from clew.stages.protection import refuse_overlap
    from clew.synthetic.volume import synthesize as make
    from clew.volumes.save import save_volume

    refuse_overlap([], [raw, labels])
    refuse_outputs(overwrite, raw, labels)
    refuse_too_large("synthesize", f"{prod(shape):.3g} voxels", prod(shape), 0)
    with timed("synthesize", prod(shape)):
        volume = make(shape, voxel_size=voxel_size, seed=seed, options=options)
    save_volume(raw, volume.raw, voxel_size=voxel_size, attributes=record, overwrite=overwrite)
    save_volume(labels, volume.labels, voxel_size=voxel_size, attributes=record, overwrite=overwrite)


@stage
def convert(
    source: Input,
    target: str,
    *,
    voxel_size: Lengths | None = None,
    offset: Lengths | None = None,
    box: str | None = None,
    dtype: Literal["keep", "uint8"] = "keep",
    overwrite: bool = False,
    record: Record,
) -> None:
    """Copy a volume to OME-Zarr (.zarr) or HDF5 (file.h5:dataset).

    Parameters
    ----------
    source
        Volume of any format that clew reads.
    target
        Output.
    voxel_size
        Voxel size z,y,x in nm, instead of what the volume says.
    offset
        Offset z,y,x in nm, instead of what the volume says.
    box
        Part in voxels, as z0:z1,y0:y1,x0:x1.
    dtype
        `uint8` scales the range of values of an image to 0..255; `keep` copies.
    overwrite
        Replace an existing output.
    """
    from clew.stages.conversion import convert_volume

    convert_volume(source, target, voxel_size=voxel_size, offset=offset, box=box, dtype=dtype, overwrite=overwrite,
                   record=record)  # fmt: skip


@stage
def view(
    raw: str,
    *,
    segmentation: str | None = None,
    truth: str | None = None,
    affinities: str | None = None,
    voxel_size: Lengths | None = None,
    port: Annotated[int, Ge(0)] = 0,
) -> None:
    """Look at volumes in the browser (neuroglancer); runs until Ctrl-C.

    Parameters
    ----------
    raw
        Raw volume (z, y, x).
    segmentation, truth
        Label volumes (z, y, x).
    affinities
        Affinities (offset, z, y, x).
    voxel_size
        Voxel size z,y,x in nm, where the volumes do not say it.
    port
        Port on this machine; 0 takes a free one.
    """
    from clew.stages.viewing import show

    show(raw, segmentation=segmentation, truth=truth, affinities=affinities, voxel_size=voxel_size, port=port)


@stage
def run(file: Path, *, overwrite: bool = False) -> None:
    """Follow a run file: the stages of its tables in order, each with its options.

    Parameters
    ----------
    file
        TOML file; see `docs/reference/run-file.md`.
    overwrite
        Replace existing outputs; without it, stages whose outputs are there with the same parameters are skipped.
    """
    from clew.stages.run_file import follow

    follow(file, STAGES, overwrite)


@stage
def demo(directory: str = "demo", *, data: str | None = None, overwrite: bool = True) -> None:
    """The whole way on a volume with truth: network, segmentation, scores, figures and a report to open in the browser.

    Parameters
    ----------
    directory
        Where everything is written.
    data
        The FIB-SEM sample as an HDF5 file; by default it is taken from the cache or downloaded, and where that cannot be, a
        synthetic volume is made.
    overwrite
        Replace the outputs of an earlier demo.
    """
    from clew.stages.demo import run_demo

    run_demo(Path(directory), data, overwrite)


STAGES = (
    info, predict, extract_fragments, build_region_graph, agglomerate, relabel, segment, evaluate, predict_blocks,
    segment_blocks, relabel_blocks, evaluate_blocks, convert_blocks, status, retry, verify_blocks, plan, train, augment, synthesize,
    convert, view, run, demo,
)  # fmt: skip
"""All commands, in the order of `clew --help`."""
