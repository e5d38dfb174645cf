"""The bundled network: clew's prediction beside the same weights run without thought, in each arithmetic and by each runtime."""

import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from benchmarks.measure import Row, Table
from benchmarks.workload import Workload
from clew.network.options import Precision, PredictionOptions
from clew.space import Box

Job = Callable[[], object]

EDGE = 128
THREADS = (1, 2)
PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
TARGET = 2.0
"""Seconds per megavoxel on two threads, in the arithmetic that is chosen by itself."""


def measure(work: Workload, repeats: int) -> list[Table]:
    """Seconds per megavoxel of output of one tile, on the CPU and on a GPU if there is one.

    CPU seconds, judged for two threads as CPU / 2: what two free cores would need if they shared the work evenly. The
    naive way may keep the few voxels by which a valid output is longer than a tile on the common grid.
    """
    import torch

    from clew.network.bundled import bundled_names, open_checkpoint
    from clew.network.openvino_runtime import has_openvino
    from clew.network.precision import autocast, has_bfloat16_units
    from clew.network.prediction import predict_affinities
    from clew.network.predictor import predict_part, prepare_predictor
    from clew.network.unet import valid_input_shape
    from clew.synthetic.volume import synthesize

    name = bundled_names()[0]
    network, plain = open_checkpoint(name).network, open_checkpoint(name).network
    factor = max(network.options.factor)
    edge = max(factor, min(EDGE, work.labels.shape[0]) // factor * factor)
    (wanted, _, _), _ = valid_input_shape(network.options, (edge,) * 3)
    raw = synthesize((edge,) * 3).raw
    surrounded = np.pad(raw, [((wanted - edge) // 2, (wanted - edge + 1) // 2)] * 3, mode="reflect")
    patch = torch.from_numpy(surrounded)[None, None].float() / 127.5 - 1
    with torch.inference_mode():
        covered = plain(patch).shape[-1] ** 3

    def naive(device: str, precision: Precision) -> np.ndarray:
        """All channels, channels-first, as most training code predicts."""
        with torch.inference_mode(), autocast(device, precision):
            return torch.sigmoid(plain.to(device)(patch.to(device)))[0].cpu().numpy()

    def converted(options: PredictionOptions) -> Job:
        """By OpenVINO; the network is converted and compiled once, as for a large volume."""
        predictor = prepare_predictor(network, "cpu", replace(options, runtime="openvino"))
        return lambda: predict_part(predictor, raw.__getitem__, (edge, edge, edge), Box.whole(raw.shape))

    def jobs(device: str, precision: Precision) -> dict[str, tuple[Job, int]]:
        options = PredictionOptions(precision=precision, runtime="torch").on(device)
        found: dict[str, tuple[Job, int]] = {
            "clew": (lambda: predict_affinities(network, raw, options=options), edge**3),
            "naive": (lambda: naive(device, precision), covered),
        }
        return found | ({"OpenVINO": (converted(options), edge**3)} if device == "cpu" and has_openvino() else {})

    before, rows = torch.get_num_threads(), []
    for threads in THREADS:
        torch.set_num_threads(threads)
        for precision in PRECISIONS:
            label = f"{name}, {precision}, {threads} thread{'s' * (threads > 1)}"
            usual = (precision == "bfloat16") == has_bfloat16_units("cpu")
            target = TARGET if usual and threads == 2 else None
            rows += _rows(label, _in_turns(jobs("cpu", precision), repeats), threads, target)
    torch.set_num_threads(before)
    if torch.cuda.is_available():
        for precision in PRECISIONS:
            rows += _rows(f"{name}, {precision}, CUDA", _in_turns(jobs("cuda", precision), repeats), None, None)
    else:
        rows.append(Row(f"{name}, CUDA", None, "s/megavoxel", note="no CUDA device on this machine"))
    if not has_openvino():
        rows.append(Row(f"{name}, OpenVINO", None, "s/megavoxel", note="OpenVINO is not installed"))
    units = "with" if has_bfloat16_units("cpu") else "without"
    return [Table(f"Prediction, one tile of {edge}³, {units} AMX (CPU seconds / threads; on CUDA wall seconds)", rows)]


def _in_turns(jobs: dict[str, tuple[Job, int]], repeats: int) -> dict[str, tuple[float, float]]:
    """Smallest CPU and wall seconds per megavoxel of each job."""
    spent = {job: (float("inf"), float("inf")) for job in jobs}
    for _ in range(repeats):
        for job, (run, voxels) in jobs.items():
            cpu, wall = time.process_time(), time.perf_counter()
            run()
            taken = (time.process_time() - cpu, time.perf_counter() - wall)
            spent[job] = (min(spent[job][0], 1e6 * taken[0] / voxels), min(spent[job][1], 1e6 * taken[1] / voxels))
    return spent


def _rows(label: str, spent: dict[str, tuple[float, float]], threads: int | None, target: float | None) -> list[Row]:
    rows, figures = [], []
    for job, (cpu, wall) in spent.items():
        figure = wall if threads is None else cpu / threads
        note = f"{1e6 / figure:,.0f} voxels/s; CPU {cpu:.2f}, wall {wall:.2f}"
        rows.append(Row(f"{label}, {job}", figure, "s/megavoxel", target if job == "clew" else None, note))
        figures.append(figure)
    ratios = [
        Row(f"**{label}, {job} / clew**", figure / figures[0], "×") for job, figure in zip(spent, figures, strict=True)
    ]
    return [*rows, *ratios[1:]]
