"""Every public function of arrays: whatever it is given, the right result or an InputError; never a crash."""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from functools import cache
from typing import Any

import numpy as np
import pytest

import clew
from clew.errors import InputError
from clew.evaluation.nodes import relabel_nodes
from clew.evaluation.overlap import relabel_table
from clew.evaluation.scores import score_table
from clew.training.descriptors import local_shape_descriptors

pytestmark = pytest.mark.compiled
NEAREST = ((-1, 0, 0), (0, -1, 0), (0, 0, -1))


@cache
def good() -> dict[str, Any]:
    """A small volume and all that is made of it."""
    rng = np.random.default_rng(0)
    labels = np.kron(rng.integers(1, 5, (2, 3, 3)), np.ones((4, 4, 4), int)).astype(np.uint64)
    targets, _ = clew.affinity_targets(labels, NEAREST)
    affinities = np.where(targets, 0.9, 0.2).astype(np.float32) * rng.uniform(0.5, 1, targets.shape).astype(np.float32)
    fragments = clew.extract_fragments(affinities, options=clew.FragmentOptions(seed_window=3, low=0.3))
    graph = clew.build_region_graph(affinities, fragments)
    tree = clew.agglomerate(graph)
    lookup = clew.segment_lookup(tree, 0.5)
    return {
        "labels": labels, "affinities": affinities, "fragments": fragments, "graph": graph, "tree": tree,
        "lookup": lookup, "ids": tree.fragments, "sizes": tree.sizes, "mask": labels > 1,
        "raw": (affinities[0] * 255).astype(np.uint8),
        "table": clew.overlap_table(fragments, labels), "edge_mask": targets,
        "skeletons": clew.Skeletons(np.array([[1.0, 2, 3], [4, 2, 3]]), np.array([[0, 1]]), np.array([7, 7])),
        "must_link": tree.fragments[:2][None], "links": np.array([[0, 0, 0, 1], [1, 1, 1, 1]]),
        "cannot_link": np.array([[tree.fragments[2], 0, 1], [tree.fragments[3], 0, 2]], np.uint64),
        "splits": np.array([[0, 0, 0, 1, 1], [1, 5, 5, 1, 2]]), "segments": np.array([3, 3], np.uint64),
        "voxel_size": np.array([8.0, 4, 4]), "offsets": np.array(NEAREST),
        "sections": np.array([1, 1, 0, 1, 1, 1, 0, 1], bool),
        "network": clew.UNet(clew.UNetOptions(features=(2, 2), pooling=((2, 2, 2),), encoder_convolutions=(1, 1),
                                              decoder_convolutions=(1,))).eval(),
    }  # fmt: skip


def train(raw: Any, labels: Any, mask: Any) -> Any:
    options = clew.TrainingOptions(steps=1, crop=(8, 8, 8), margin=1, boundary_steps=0)
    network = clew.UNet(good()["network"].options)
    trainer = clew.Trainer(network, [clew.TrainingVolume(raw, labels, mask)], options, clew.AugmentationOptions())
    return trainer.sampler.volumes[0]


def graph_of(**changed: Any) -> clew.RegionGraph:
    return replace(good()["graph"], **changed)


def tree_of(**changed: Any) -> clew.MergeTree:
    return replace(good()["tree"], **changed)


def table_of(**changed: Any) -> clew.OverlapTable:
    return replace(good()["table"], **changed)


FLOAT32 = clew.PredictionOptions(precision="float32")
GRAPH, TABLE = ("fragments", "sizes", "edges", "starts", "bins", "counts"), ("segments", "truths", "counts")
TREE = ("fragments", "merges", "scores")
CALLS: dict[str, tuple[Callable[..., Any], dict[str, str]]] = {
    "extract_fragments": (clew.extract_fragments, {"affinities": "affinities", "mask": "mask"}),
    "build_region_graph": (clew.build_region_graph, {"affinities": "affinities", "fragments": "fragments"}),
    "agglomerate": (lambda **c: clew.agglomerate(graph_of(**c)), {n: f"graph.{n}" for n in GRAPH}),
    "agglomerate, mean_top": (
        lambda **c: clew.agglomerate(graph_of(**c), options=clew.AgglomerationOptions("mean_top_3")),
        {n: f"graph.{n}" for n in GRAPH},
    ),
    "agglomerate, maximum": (
        lambda **c: clew.agglomerate(graph_of(**c), options=clew.AgglomerationOptions("hist_quant_75_init_max")),
        {n: f"graph.{n}" for n in GRAPH},
    ),
    "agglomerate, constraints": (
        lambda **c: clew.agglomerate(good()["graph"], constraints=clew.Constraints(**c)),
        {"must_link": "must_link", "cannot_link": "cannot_link"},
    ),
    "find_constraints": (
        lambda links, splits, **c: clew.find_constraints(**c, points=clew.PointConstraints(links, splits)),
        {"fragments": "fragments", "cannot_link": "labels", "links": "links", "splits": "splits"},
    ),
    "merge_region_graphs": (
        lambda **c: clew.merge_region_graphs([graph_of(**c), good()["graph"]]),
        {n: f"graph.{n}" for n in GRAPH},
    ),
    "join_dust": (
        lambda lookup, **c: clew.join_dust(graph_of(**c), lookup, minimum_size=30),
        {"lookup": "lookup", **{n: f"graph.{n}" for n in GRAPH}},
    ),
    "remove_small": (lambda **c: clew.remove_small(**c, minimum_size=30), {"sizes": "sizes", "lookup": "lookup"}),
    "segment_lookup": (lambda **c: clew.segment_lookup(tree_of(**c), 0.5), {n: f"tree.{n}" for n in TREE}),
    "relabel": (clew.relabel, {"fragments": "fragments", "ids": "ids", "lookup": "lookup"}),
    "overlap_table": (clew.overlap_table, {"segmentation": "fragments", "truth": "labels"}),
    "evaluate": (clew.evaluate, {"segmentation": "fragments", "truth": "labels"}),
    "score_table": (lambda **c: score_table(table_of(**c)), {n: f"table.{n}" for n in TABLE}),
    "relabel_table": (
        lambda ids, lookup, **c: relabel_table(table_of(**c), ids, lookup),
        {"ids": "ids", "lookup": "lookup", **{n: f"table.{n}" for n in TABLE}},
    ),
    "score_thresholds": (
        lambda ids, lookup: clew.score_thresholds(good()["table"], ids, [lookup]),
        {"ids": "ids", "lookup": "lookup"},
    ),
    "largest_errors": (lambda **c: clew.largest_errors(table_of(**c)), {n: f"table.{n}" for n in TABLE}),
    "locate_errors": (
        lambda **c: clew.locate_errors(**c, errors=clew.largest_errors(good()["table"])[0]),
        {"segmentation": "fragments", "truth": "labels"},
    ),
    "calibre_classes": (
        lambda mask, **c: clew.calibre_classes(**c, annotated=mask),
        {"labels": "labels", "voxel_size": "voxel_size", "mask": "mask"},
    ),
    "calibres_at": (
        lambda **c: clew.calibres_at(places=[(0, 0, 0)], **c),
        {"labels": "labels", "voxel_size": "voxel_size"},
    ),
    "mask_borders": (clew.mask_borders, {"truth": "labels", "voxel_size": "voxel_size"}),
    "away_from_borders": (
        lambda **c: clew.away_from_borders(**c, distance=8),
        {"truth": "labels", "voxel_size": "voxel_size", "annotated": "sections"},
    ),
    "Skeletons": (clew.Skeletons, {n: f"skeletons.{n}" for n in ("positions", "edges", "skeletons")}),
    "read_nodes": (
        lambda **c: clew.read_nodes(skeletons=good()["skeletons"], **c),
        {"segmentation": "fragments", "voxel_size": "voxel_size"},
    ),
    "score_skeletons": (lambda segments: clew.score_skeletons(segments, good()["skeletons"]), {"segments": "segments"}),
    "skeleton_errors": (lambda segments: clew.skeleton_errors(segments, good()["skeletons"]), {"segments": "segments"}),
    "relabel_nodes": (
        lambda segments, ids, lookup: relabel_nodes(segments, ids, lookup),
        {"segments": "ids", "ids": "ids", "lookup": "lookup"},
    ),
    "affinity_targets": (
        clew.affinity_targets,
        {"labels": "labels", "offsets": "offsets", "mask": "mask"},
    ),
    "grow_boundaries": (lambda **c: clew.grow_boundaries(steps=1, **c), {"labels": "labels", "mask": "mask"}),
    "split_components": (clew.split_components, {"labels": "labels"}),
    "malis_weights": (clew.malis_weights, {"affinities": "affinities", "labels": "labels", "mask": "edge_mask"}),
    "malis_weights, one pass": (
        lambda **c: clew.malis_weights(**c, passes=1),
        {"affinities": "affinities", "labels": "labels", "mask": "mask"},
    ),
    "local_shape_descriptors": (
        lambda labels, voxel_size: local_shape_descriptors(labels, sigma=12, voxel_size=voxel_size),
        {"labels": "labels", "voxel_size": "voxel_size"},
    ),
    "predict_affinities": (
        lambda **c: clew.predict_affinities(good()["network"], options=FLOAT32, **c),
        {"raw": "raw", "voxel_size": "voxel_size"},
    ),
    "Trainer": (train, {"raw": "raw", "labels": "labels", "mask": "mask"}),
}  # fmt: skip


def fetch(path: str) -> np.ndarray:
    name, _, column = path.partition(".")
    return getattr(good()[name], column) if column else good()[name]


def strided(values: np.ndarray) -> np.ndarray:
    wide = np.zeros((*values.shape[:-1], 2 * values.shape[-1]), values.dtype)
    wide[..., ::2] = values
    return wide[..., ::2]


def read_only(values: np.ndarray) -> np.ndarray:
    copy = values.copy()
    copy.flags.writeable = False
    return copy


SAME: dict[str, Callable[[np.ndarray], Any]] = {
    "strided": strided,
    "Fortran order": np.asfortranarray,
    "mirrored": lambda a: a[::-1].copy()[::-1],
    "read only": read_only,
    "byte-swapped": lambda a: a.astype(a.dtype.newbyteorder()),
    "list": lambda a: a.tolist(),
}
"""Other forms of the same values: the same result."""


def spoilt(values: np.ndarray, value: Any) -> np.ndarray:
    copy = values.astype(np.result_type(values.dtype, type(value)) if isinstance(value, float) else np.int64)
    copy.flat[copy.size // 2] = value
    return copy


BAD: dict[str, Callable[[np.ndarray], Any]] = {
    "float": lambda a: a.astype(np.float64) + 0.5,
    "half precision": lambda a: a.astype(np.float16),
    "complex": lambda a: a.astype(complex),
    "object": lambda a: a.astype(object),
    "text": lambda a: a.astype(str),
    "ragged": lambda a: [[1, 2], [3]],
    "nothing": lambda a: None,
    "word": lambda a: "word",
    "dictionary": lambda a: {"a": 1},
    "empty": lambda a: a[:0],
    "empty list": lambda a: [],
    "scalar": lambda a: a.flat[0],
    "axis more": lambda a: a[None],
    "axis less": lambda a: a[0],
    "shorter": lambda a: a[:-1],
    "longer": lambda a: np.concatenate([a, a]),
    "empty last axis": lambda a: a[..., :0],
    "mirrored values": lambda a: a[::-1],
    "zeros": np.zeros_like,
    "negative": lambda a: spoilt(a, -1),
    "very negative": lambda a: spoilt(a, -(2**62)),
    "too large": lambda a: spoilt(a, 2**62),
    "largest id": lambda a: np.full(a.shape, 2**64 - 1, np.uint64),
    "NaN": lambda a: spoilt(a, float("nan")),
    "infinite": lambda a: spoilt(a, float("inf")),
    "signed": lambda a: a.astype(np.int64),
    "one byte": lambda a: a.astype(np.uint8),
    "flags": lambda a: a.astype(bool),
    "dates": lambda a: np.zeros(a.shape, "datetime64[s]"),
}


def each(kinds: dict[str, Any]) -> Iterator[Any]:
    for name, (_, arguments) in CALLS.items():
        for argument in arguments:
            for kind in kinds:
                yield pytest.param(name, argument, kind, id=f"{name}-{argument}-{kind}")


def call(name: str, argument: str, change: Callable[[np.ndarray], Any]) -> Any:
    function, arguments = CALLS[name]
    given = {key: fetch(path) for key, path in arguments.items()}
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return function(**{**given, argument: change(given[argument])})


def leaves(result: Any) -> list[Any]:
    if hasattr(result, "__dataclass_fields__"):
        return [leaf for field in fields(result) for leaf in leaves(getattr(result, field.name))]
    if isinstance(result, list | tuple):
        return [leaf for part in result for leaf in leaves(part)]
    return [result]


@pytest.mark.parametrize(("name", "argument", "kind"), list(each(SAME)))
def test_other_forms_of_the_same_values_give_the_same(name: str, argument: str, kind: str):
    expected = leaves(call(name, argument, lambda values: values))
    try:
        found = leaves(call(name, argument, SAME[kind]))
    except InputError:
        assert kind == "list"  # a list has no type: whole numbers are int64, which not everything takes
        return
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(("name", "argument", "kind"), list(each(BAD)))
def test_bad_arrays_are_refused_or_work(name: str, argument: str, kind: str):
    try:
        call(name, argument, BAD[kind])
    except InputError as error:
        assert len(str(error)) <= 600


def part(z: slice) -> tuple[slice, slice, slice]:
    return z, slice(0, 4), slice(0, 4)


NAN = float("nan")
REFUSED: dict[str, Callable[[], Any]] = {
    "box that leaves": lambda: predict(box=part(slice(0, 9))),
    "box before": lambda: predict(box=part(slice(-4, 4))),
    "box of nothing": lambda: predict(box=part(slice(3, 3))),
    "box in steps": lambda: predict(box=part(slice(0, 4, 2))),
    "box of two": lambda: predict(box=part(slice(0, 4))[:2]),
    "box of numbers": lambda: predict(box=(1, 2, 3)),
    "tile of 0": lambda: predict(tile=(0, 8, 8)),
    "tile of NaN": lambda: predict(tile=(NAN, 8, 8)),
    "tile of two": lambda: predict(tile=(8, 8)),
    "raw of 16 bits": lambda: clew.predict_affinities(good()["network"], good()["raw"].astype(np.uint16)),
    "raw of floats": lambda: clew.predict_affinities(good()["network"], good()["raw"] / 255),
    "other offsets": lambda: clew.predict_affinities(
        clew.UNet(replace(clew.PRESETS["tiny"], offsets=((-2, 0, 0),))), good()["raw"]
    ),
    "owned that leaves": lambda: clew.build_region_graph(good()["affinities"], good()["fragments"], owned=part(slice(0, 9))),
    "affinities above 1": lambda: clew.build_region_graph(good()["affinities"] * 255, good()["fragments"]),
    "float lookup": lambda: clew.relabel(good()["fragments"], good()["ids"], good()["lookup"] + 0.5),
    "negative lookup": lambda: clew.relabel(good()["fragments"], good()["ids"], -good()["lookup"].astype(np.int64)),
    "ids twice": lambda: clew.relabel(good()["fragments"], np.repeat(good()["ids"], 2), np.repeat(good()["lookup"], 2)),
    "threshold": lambda: clew.segment_lookup(good()["tree"], NAN),
    "floor": lambda: clew.agglomerate(good()["graph"], options=clew.AgglomerationOptions(floor=NAN)),
    "low": lambda: clew.extract_fragments(good()["affinities"], options=clew.FragmentOptions(low=NAN)),
    "dust": lambda: clew.join_dust(good()["graph"], good()["lookup"], minimum_size=NAN),
    "small": lambda: clew.remove_small(good()["sizes"], good()["lookup"], minimum_size=-1),
    "steps": lambda: clew.grow_boundaries(good()["labels"], 1.5),
    "distance": lambda: clew.mask_borders(good()["labels"], (8, 4, 4), NAN),
    "number of errors": lambda: clew.largest_errors(good()["table"], -1),
    "nodes": lambda: clew.score_skeletons(good()["segments"], good()["skeletons"], 0),
    "offset": lambda: clew.read_nodes(good()["fragments"], good()["skeletons"], (8, 4, 4), (NAN, 0, 0)),
    "shape": lambda: clew.synthesize((NAN, 32, 32)),
    "starts that fall": lambda: clew.agglomerate(graph_of(starts=good()["graph"].starts[::-1])),
    "starts too far": lambda: clew.agglomerate(graph_of(starts=good()["graph"].starts * 2)),
    "counts of 0": lambda: clew.agglomerate(graph_of(counts=good()["graph"].counts * 0)),
    "counts that overflow": lambda: clew.agglomerate(graph_of(counts=good()["graph"].counts * 2**50)),
    "bins too short": lambda: clew.agglomerate(graph_of(bins=good()["graph"].bins[:-1])),
    "bins above 255": lambda: clew.agglomerate(graph_of(bins=good()["graph"].bins.astype(int) + 200)),
    "edges of others": lambda: clew.merge_region_graphs([graph_of(edges=good()["graph"].edges + np.uint64(1000))]),
    "edges turned": lambda: clew.merge_region_graphs([graph_of(edges=good()["graph"].edges[:, ::-1])]),
    "fragments turned": lambda: clew.join_dust(
        graph_of(fragments=good()["graph"].fragments[::-1]), good()["lookup"], minimum_size=9
    ),
}  # fmt: skip
"""What must be refused, whatever else is right."""


def predict(box: Any = None, tile: Any = None) -> Any:
    options = replace(FLOAT32, tile=tile)
    return clew.predict_affinities(good()["network"], good()["raw"], box=box, options=options)


@pytest.mark.parametrize("name", REFUSED)
def test_impossible_values_are_refused(name: str):
    with pytest.raises(InputError) as caught:
        REFUSED[name]()
    assert len(str(caught.value)) <= 600


def test_a_network_of_damaged_weights_is_refused():
    network = clew.UNet(good()["network"].options)
    network.head.bias.data[0] = NAN
    with pytest.raises(InputError, match="no numbers"):
        clew.predict_affinities(network, good()["raw"])
