"""The way from one command to the next: what each wrote, and what to type then.

The command line says it at the end of a command. What follows can be typed as it stands: it names files that are there, and outputs
whose names are free. What is slow to import is imported where it is needed, for the sake of `clew info`.
"""

import inspect
import shlex
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

from clew import pipeline
from clew.errors import InputError
from clew.pipeline._files import FILE_NAMES, SUGGESTED
from clew.pipeline._identity import record_in
from clew.pipeline._progress import say
from clew.pipeline.run import WRITES, calls_of
from clew.volumes.formats.nml import is_nml
from clew.volumes.formats.swc import swc_files
from clew.volumes.location import find_location, is_remote, join
from clew.volumes.open import list_datasets, open_volume
from clew.volumes.tables import is_table

THRESHOLD = "0.5"
"""To begin with, where no threshold came with a network."""
Words = list[str]


class Ending(NamedTuple):
    """What a command wrote, and the words of the command that follows."""

    wrote: Words
    follow: Words


def say_ending(command: str, values: Mapping[str, Any], result: Any) -> None:
    """Say what a command wrote and what to type next, as far as that is known."""
    if values.get("dry_run"):
        return
    ending = ending_of(command, values, result)
    if ending.wrote:
        say(f"wrote  {', '.join(map(_from_here, ending.wrote))}")
    if ending.follow:
        say(f"next   clew {shlex.join(map(_from_here, ending.follow))}")


def _from_here(word: str) -> str:
    """A path below the working folder without that folder; other words as they are."""
    here = Path.cwd()
    return str(Path(word).relative_to(here)) if Path(word).is_relative_to(here) and word != str(here) else word


def ending_of(command: str, values: Mapping[str, Any], result: Any = None) -> Ending:
    """The end of a command that was called with some values and returned a result."""
    signature = inspect.signature(getattr(pipeline, command.replace("-", "_")))
    defaults = {name: parameter.default for name, parameter in signature.parameters.items()}
    given = SimpleNamespace(**defaults | dict(values), result=result)
    with suppress(InputError, OSError):
        return ENDINGS[command.replace("-", "_")](given)
    return Ending([], [])


def _synthesize(given: Any) -> Ending:
    return Ending([given.raw, given.labels], ["view", given.raw, "--truth", given.labels])


def _convert(given: Any) -> Ending:
    return Ending([given.target], _look(given.target))


def _convert_blocks(given: Any) -> Ending:
    made = join(given.volumes or given.folder, "volume.zarr")
    return Ending([made], _look(made))


def _info(given: Any) -> Ending:
    path = given.path
    if Path(path).is_file() and path.endswith(".h5"):
        if is_table(path):
            return Ending([], _after_table(path))
        return Ending([], next(["info", f"{path}:{row.name}"] for row in list_datasets(path) if not row.problem))
    return Ending([], [] if path.endswith(".pt") else _look(path, *_size(given)))


def _predict(given: Any) -> Ending:
    return Ending([given.affinities], _segment_words(given.affinities, "segment"))


def _predict_blocks(given: Any) -> Ending:
    made = join(given.volumes or given.folder, FILE_NAMES["affinities"])
    return Ending([made], _segment_words(made, "segment-blocks"))


def _extract_fragments(given: Any) -> Ending:
    graph = _free(_beside(given.fragments, FILE_NAMES["region_graph"]))
    words = ["build-region-graph", given.affinities, given.fragments, graph, *_size(given)]
    return Ending([given.fragments], words)


def _build_region_graph(given: Any) -> Ending:
    return Ending([given.region_graph], _after_table(given.region_graph))


def _agglomerate(given: Any) -> Ending:
    return Ending([given.merge_tree], _after_table(given.merge_tree, given.region_graph))


def _relabel(given: Any) -> Ending:
    from clew.pipeline._viewed import sources_of

    folder = Path(given.segmentation).parent
    in_run = Path(given.segmentation).name == FILE_NAMES["segmentation"]
    if in_run and folder == Path(given.fragments).parent:
        return Ending([given.segmentation], ["view", str(folder)])
    raw = dict(sources_of({"fragments": given.fragments}, {}, Path(given.fragments).parent)).get("raw")
    return Ending([given.segmentation], ["view", *([raw] if raw else []), "--segmentation", given.segmentation])


def _segment(given: Any) -> Ending:
    made = ("fragments", "region_graph", "merge_tree", "segmentation")
    return Ending([str(Path(given.directory) / FILE_NAMES[name]) for name in made], ["view", given.directory])


def _segment_blocks(given: Any) -> Ending:
    place = given.volumes or given.folder
    volumes = [join(place, FILE_NAMES[name]) for name in ("fragments", "segmentation")]
    return Ending([*volumes, join(given.folder, FILE_NAMES["merge_tree"])], ["view", given.folder])


def _relabel_blocks(given: Any) -> Ending:
    return Ending([join(given.volumes or given.folder, FILE_NAMES["segmentation"])], ["view", given.folder])


def _evaluate(given: Any) -> Ending:
    wrote = _given(given.json, given.plot, given.edge_plot, given.where, given.where_table)
    tree, graph = given.merge_tree, _graph_beside(given.merge_tree, given.region_graph)
    seen = [*_see_run(given.segmentation, tree), "--truth", given.truth]
    if given.where:
        return Ending(wrote, [*seen, "--errors", given.where])
    if given.where_table or (tree and not graph):
        return Ending(wrote, seen)
    words = ["evaluate", given.segmentation, given.truth, *_size(given)]
    words += ["--merge-tree", tree, "--region-graph", graph] if tree else []
    words += ["--box", given.box] if given.box else []
    return Ending(wrote, [*words, "--where", _free("errors.json")])


def _evaluate_blocks(given: Any) -> Ending:
    words = ["view", "--segmentation", given.segmentation, "--truth", given.truth, *_size(given)]
    return Ending([join(given.folder, "scores.json")], words)


def _evaluate_skeletons(given: Any) -> Ending:
    wrote, tree = _given(given.json, given.where, given.where_table), given.merge_tree
    graph = _graph_beside(tree, given.region_graph)
    seen = _see_run(given.segmentation, tree)
    if given.where:
        return Ending(wrote, [*seen, "--errors", given.where])
    if given.where_table or (tree and not graph):
        return Ending(wrote, seen)
    words = ["evaluate-skeletons", given.segmentation, given.skeletons, *_size(given)]
    words += ["--merge-tree", tree, "--region-graph", graph] if tree else []
    for name in ("unit", "box", "mask"):
        words += [f"--{name}", getattr(given, name)] if getattr(given, name) else []
    return Ending(wrote, [*words, "--where", _free("errors.json")])


def _choose_threshold(given: Any) -> Ending:
    wrote, (score, threshold) = _given(given.json, given.plot), given.result
    run = given.data[0].partition(",")[0]
    made = {name: str(Path(run) / file) for name, file in FILE_NAMES.items()}
    if record_in(made["merge_tree"]).get("score") != score:
        return Ending(wrote, ["agglomerate", made["region_graph"], _free(made["merge_tree"]), "--score", score])
    words = ["relabel", made["fragments"], made["merge_tree"], _free(made["segmentation"])]
    return Ending(wrote, [*words, "--threshold", f"{threshold:g}"])


def _export(given: Any) -> Ending:
    place = given.volumes or given.folder
    if given.format == "precomputed":
        made = join(place, given.format)
        return Ending([made], ["view", "--segmentation", made])
    return Ending([place], ["status", given.folder])


def _export_network(given: Any) -> Ending:
    return Ending([given.target], [])


def _status(given: Any) -> Ending:
    if given.result == "finished":
        return Ending([], _begun(given.folder).follow)
    return Ending([], ["status" if given.result == "at work" else "retry", given.folder])


def _retry(given: Any) -> Ending:
    return _begun(given.folder)


def _begun(folder: str) -> Ending:
    """The end of the command with which a run was begun."""
    from clew.pipeline._block_run import begun_with

    return ending_of(*begun_with(Path(folder)))


def _verify_blocks(given: Any) -> Ending:
    words = ["segment-blocks", given.affinities, _free("run"), "--threshold", f"{given.threshold:g}"]
    return Ending([], [*words, *_size(given)])


def _check(given: Any) -> Ending:
    paths = given.data[0].split(",")
    skeletons = [path for path in paths if is_nml(path) or swc_files(path)]
    if skeletons:
        return Ending([], _look(next(path for path in paths if path not in skeletons), *_size(given)))
    if len(paths) > 1 and open_volume(paths[0], voxel_size=(1, 1, 1)).ndim == 3:
        return Ending([], ["plan", given.data[0], "--output", _free("plan.toml"), *_size(given)])
    return Ending([], _look(paths[0], *_size(given)))


def _plan(given: Any) -> Ending:
    return Ending([given.output], ["run", given.output])


def _train(given: Any) -> Ending:
    from clew.pipeline._annotated import paths_of
    from clew.pipeline._run_folder import training_folder

    folder = training_folder(Path(given.checkpoint))
    made = [
        path for path in (folder / name for name in ("log.csv", "log.png", "validations", "snapshots")) if path.exists()
    ]
    raw = paths_of(given.data[0])[0]
    words = ["predict", raw, _free(FILE_NAMES["affinities"]), "--checkpoint", given.checkpoint, *_size(given)]
    return Ending([given.checkpoint, *map(str, made)], words)


def _augment(given: Any) -> Ending:
    return Ending([given.preview], ["plan", given.data, "--output", _free("plan.toml"), *_size(given)])


def _view(given: Any) -> Ending:
    return Ending(list(filter(_is_there, _given(given.state, given.screenshot))), [])


def _report(given: Any) -> Ending:
    return Ending([given.html or str(Path(given.run) / "report.html")], ["view", given.run])


def _proofread(given: Any) -> Ending:
    from clew.pipeline._edited_run import EDITS

    edits = given.edits or str(Path(given.run) / EDITS)
    go_on = ["proofread", given.run, *(["--edits", given.edits] if given.edits else [])]
    if given.export or not _is_there(edits):
        return Ending(_given(given.export), go_on)
    return Ending([edits], [*go_on, "--export", _free(str(Path(edits).with_name("edits.jsonl")))])


def _export_truth(given: Any) -> Ending:
    return Ending([given.truth], ["check", given.truth])


def _run(given: Any) -> Ending:
    calls = calls_of(Path(given.file))
    made = [arguments[WRITES[name]] for name, arguments in calls if name in WRITES]
    ends = [ending_of(name, arguments) for name, arguments in calls]
    wrote = [path for end in ends for path in end.wrote]
    return Ending(list(dict.fromkeys(filter(_is_there, made + wrote))), ends[-1].follow)


def _demo(given: Any) -> Ending:
    return Ending([str(Path(given.directory) / "report.html")], ["view", given.directory])


ENDINGS: dict[str, Callable[[Any], Ending]] = {
    "info": _info, "predict": _predict, "extract_fragments": _extract_fragments, "build_region_graph": _build_region_graph,
    "agglomerate": _agglomerate, "relabel": _relabel, "segment": _segment, "evaluate": _evaluate,
    "evaluate_skeletons": _evaluate_skeletons, "choose_threshold": _choose_threshold, "predict_blocks": _predict_blocks,
    "segment_blocks": _segment_blocks, "relabel_blocks": _relabel_blocks, "evaluate_blocks": _evaluate_blocks,
    "convert_blocks": _convert_blocks, "export": _export, "export_network": _export_network,
    "status": _status, "retry": _retry, "verify_blocks": _verify_blocks,
    "check": _check, "plan": _plan, "train": _train, "augment": _augment, "synthesize": _synthesize, "convert": _convert,
    "view": _view, "proofread": _proofread, "export_truth": _export_truth, "report": _report, "run": _run, "demo": _demo,
}  # fmt: skip
"""What is said at the end of each command."""


def _look(path: str, *size: str) -> Words:
    """The command that goes on from a volume: segment affinities, or look."""
    volume = open_volume(path, voxel_size=None if not size else (1, 1, 1))
    if volume.axes == "czyx":
        return [*_segment_words(path, "segment"), *size]
    is_labels = volume.dtype.kind in "ui" and volume.dtype.itemsize >= 4
    return ["view", *(["--segmentation"] if is_labels else []), path, *size]


def _segment_words(affinities: str, command: str) -> Words:
    stored = record_in(affinities)
    given = [] if all(stored.get(name) is not None for name in SUGGESTED) else ["--threshold", THRESHOLD]
    return [command, affinities, _free(_beside(affinities, "run")), *given]


def _after_table(path: str, graph: str | None = None) -> Words:
    """What follows a region graph, or a merge tree (of a region graph)."""
    from clew.pipeline._viewed import recorded_path

    record = record_in(path)
    if record.get("stage") == "build-region-graph":
        return ["agglomerate", path, _free(_beside(path, FILE_NAMES["merge_tree"]))]
    folder = Path(path).parent
    graph = graph or recorded_path(path, "region_graph", folder)
    fragments = recorded_path(graph, "fragments", folder)
    if fragments is None:
        return []
    stored = record.get("suggested_score") == record["score"] and record.get("suggested_threshold") is not None
    words = ["relabel", fragments, path, _free(_beside(path, FILE_NAMES["segmentation"]))]
    return words if stored else [*words, "--threshold", THRESHOLD]


def _graph_beside(tree: str | None, graph: str | None) -> str | None:
    """The region graph that was given, or that lies beside a merge tree."""
    if graph or not tree:
        return graph
    return next(filter(_is_there, [_beside(tree, FILE_NAMES["region_graph"])]), None)


def _see_run(segmentation: str, tree: str | None) -> Words:
    """Look at a segmentation, or at fragments with their merge tree."""
    from clew.pipeline._viewed import is_run

    folder = str(Path(tree or "").parent)
    if tree is None:
        return ["view", "--segmentation", segmentation]
    if is_run(folder) and Path(segmentation).parent == Path(folder):
        return ["view", folder]
    return ["view", "--fragments", segmentation, "--merge-tree", tree]


def _size(given: Any) -> Words:
    size = given.voxel_size
    text = size if isinstance(size, str) else ",".join(f"{value:g}" for value in size or ())
    return ["--voxel-size", text] if text else []


def _given(*paths: str | None) -> Words:
    return [path for path in paths if path]


def _is_there(path: str) -> bool:
    return is_remote(path) or Path(path).exists()


def _beside(path: str, name: str) -> str:
    """A file in the folder of another one, here if that is in object storage."""
    container = find_location(path).container
    return name if is_remote(container) else str(Path(container).parent / name)


def _free(path: str) -> str:
    """The path, with a number where there is a file of this name."""
    place = Path(path)
    numbered = (place.with_name(f"{place.stem}-{number}{place.suffix}") for number in count(2))
    return str(place) if not place.exists() else str(next(each for each in numbered if not each.exists()))
