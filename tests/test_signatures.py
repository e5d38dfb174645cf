"""Command line, run file and functions are one: the same names, the same defaults, the same checks."""

import ast
import dataclasses
import inspect
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from clew import cli, pipeline
from clew.blockwise.worker_options import Workers
from clew.errors import InputError
from clew.export.options import ExportOptions
from clew.network.options import PredictionOptions
from clew.pipeline._declare import command_name
from clew.pipeline._options import (
    BlockRun,
    Blocks,
    Comparison,
    ConstraintFiles,
    ExportInputs,
    GeometryOptions,
    LabelComparison,
    Mask,
    Network,
    Output,
    Sections,
    Volumes,
    VoxelSize,
)
from clew.segmentation.options import AgglomerationChoice, AgglomerationOptions, CutChoice, CutOptions, FragmentOptions
from clew.synthetic.options import SyntheticOptions
from clew.training.options import AugmentationOptions, TrainingOptions

FUNCTIONS = [getattr(pipeline, name) for name in pipeline.COMMANDS]
NETWORK, OUTPUT = (Network, PredictionOptions), (Output,)
SEGMENT = (Mask, FragmentOptions, AgglomerationChoice, ConstraintFiles, CutChoice)
RECORDS = {
    "info": (VoxelSize, Sections),
    "extract_fragments": (Mask, FragmentOptions, Output),
    "build_region_graph": OUTPUT,
    "agglomerate": (AgglomerationChoice, ConstraintFiles, Output),
    "relabel": (CutChoice, Output),
    "segment": (*SEGMENT, Output),
    "predict": (*NETWORK, Output),
    "evaluate": (LabelComparison, Output),
    "evaluate_skeletons": (Comparison, Mask, Output),
    "predict_blocks": (*NETWORK, Blocks, Volumes, BlockRun),
    "segment_blocks": (*SEGMENT, Blocks, Volumes, BlockRun),
    "relabel_blocks": (CutChoice, Volumes, BlockRun),
    "evaluate_blocks": (LabelComparison, Blocks, BlockRun),
    "convert_blocks": (GeometryOptions, Sections, Blocks, Volumes, BlockRun),
    "export": (ExportInputs, ExportOptions, GeometryOptions, Volumes, BlockRun),
    "export_network": OUTPUT,
    "retry": (Workers,),
    "verify_blocks": (Mask, FragmentOptions, AgglomerationOptions, CutOptions),
    "plan": (VoxelSize, Output),
    "train": (TrainingOptions, AugmentationOptions),
    "augment": (AugmentationOptions, Output),
    "synthesize": (SyntheticOptions, Output),
    "convert": (GeometryOptions, Sections, Output),
    "view": (VoxelSize,),
}


def parameters(function: Any) -> dict[str, inspect.Parameter]:
    return dict(inspect.signature(function).parameters)


@pytest.mark.parametrize("name", RECORDS)
def test_defaults_are_those_of_the_records(name: str):
    signature = parameters(getattr(pipeline, name))
    for record in RECORDS[name]:
        for field in dataclasses.fields(record):
            assert signature[field.name].default == field.default


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_the_table_says_what_the_function_says(function: Any):
    row = pipeline.COMMANDS[function.__name__]
    assert function.__doc__.splitlines()[0] == row.line
    assert function.__module__ == f"clew.pipeline.{row.module}"
    assert row.module in (function.__name__, function.__name__.removesuffix("_blocks"), "blocks")


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__name__)
def test_every_option_is_documented(function: Any):
    documented = {word.strip() for line in function.__doc__.splitlines() if not line.startswith("    ")
                  for word in line.split(" : ")[0].split(",")}  # fmt: skip
    assert not parameters(function).keys() - documented


def test_command_line_has_all_functions_with_their_options():
    for function in FUNCTIONS:
        app = cli.build_app(command_name(function))
        command = app[command_name(function)].default_command
        ours, theirs = parameters(function), parameters(command)
        assert ours.keys() == theirs.keys()
        for name, parameter in ours.items():
            default = theirs[name].default
            if isinstance(parameter.default, tuple):
                default = tuple(
                    type(value)(text) for value, text in zip(parameter.default, default.split(","), strict=True)
                )
            assert default == parameter.default


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: pipeline.extract_fragments("a", "b", treshold=1), "unknown option 'treshold'"),
        (lambda: pipeline.extract_fragments("a", "b", seed_windw=9), "did you mean 'seed_window'"),
        (
            lambda: pipeline.extract_fragments("a", "b", low=1.5),
            "low: input should be less than or equal to 1, not 1.5",
        ),
        (lambda: pipeline.extract_fragments("a", "b", method="magic"), "method: input should be 'seeded-forest'"),
        (lambda: pipeline.info("a", voxel_size="8,8"), "voxel-size"),
        (lambda: pipeline.info(), "missing a required argument: 'path'"),
    ],
)
def test_bad_options_are_refused_in_one_line(call: Any, message: str):
    with pytest.raises(InputError, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_tuples_can_be_written_as_text(tmp_path: Path):
    with pytest.raises(InputError, match="nothing.h5"):
        pipeline.info(str(tmp_path / "nothing.h5:raw"), voxel_size="8, 4.24,4.24")


def test_functions_stay_functions_when_their_files_are_loaded():
    import_module("clew.pipeline.segment")
    assert callable(pipeline.segment)
    with pytest.raises(AttributeError, match="no attribute 'segmnt'"):
        pipeline.segmnt  # noqa: B018


NEUTRAL = (None, False, True, 0, "", (), (0, 0, 0))
"""Defaults that mean: nothing was given."""


def test_no_function_writes_a_default_of_a_record_again():
    root = Path(pipeline.__file__).parent.parent
    decided = {field.name for record in set(chain(*RECORDS.values())) for field in dataclasses.fields(record)}
    again = []
    for path in root.rglob("*.py"):
        for function in ast.walk(ast.parse(path.read_text())):
            if not isinstance(function, ast.FunctionDef):
                continue
            of = function.args
            positional = [*of.posonlyargs, *of.args][-len(of.defaults) :] if of.defaults else []
            given = zip([*positional, *of.kwonlyargs], [*of.defaults, *of.kw_defaults], strict=True)
            written = {argument.arg: literal(default) for argument, default in given if default is not None}
            again += [(name, function.name, path.name) for name, value in written.items()
                      if name in decided and value not in NEUTRAL]  # fmt: skip
    assert not again, "name the field of the record instead, as in `crop: Shape = TrainingOptions.crop`"


def literal(node: ast.expr) -> Any:
    """The value of a default that is written out; None where it is a name."""
    try:
        return ast.literal_eval(node)
    except ValueError:
        return None
