"""The bundled network: clew's prediction beside the same weights run without thought."""

import time

import numpy as np

from benchmarks.measure import Row, Table
from benchmarks.workload import Workload

EDGE = 128
THREADS = (1, 2)


def measure(work: Workload, repeats: int) -> list[Table]:
    """Seconds per megavoxel of output of one tile.

    CPU seconds, judged for two threads as CPU / 2: what two free cores would need if they shared the work evenly. The
    naive way may keep the few voxels by which a valid output is longer than a tile on the common grid.
    """
    import torch

    from clew.network.bundled import bundled_names, open_checkpoint
    from clew.network.prediction import predict_affinities
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
    jobs = {
        f"{name}, clew": (lambda: predict_affinities(network, raw), edge**3),
        f"{name}, naive": (lambda: _naive(plain, patch), covered),
    }
    before, rows = torch.get_num_threads(), []
    for threads in THREADS:
        torch.set_num_threads(threads)
        spent = {job: (float("inf"), float("inf")) for job in jobs}
        for _ in range(repeats):
            for job, (run, voxels) in jobs.items():
                cpu, wall = _seconds(run)
                spent[job] = min(spent[job], (1e6 * cpu / voxels, 1e6 * wall / voxels))
        for job, (cpu, wall) in spent.items():
            target = 2.0 if job.endswith("clew") and threads == 2 else None
            label = f"{job}, {threads} thread{'s' * (threads > 1)}"
            rows.append(Row(label, cpu / threads, "s/megavoxel", target, f"CPU {cpu:.2f}, wall {wall:.2f}"))
        fast, slow = (spent[job][0] for job in jobs)
        rows.append(Row(f"**naive / clew, {threads} threads**", slow / fast, "×"))
    torch.set_num_threads(before)
    return [Table(f"Prediction, one tile of {edge}³ (CPU seconds / threads)", rows)]


def _naive(network: object, patch: object) -> np.ndarray:
    """All channels, channels-first, as most training code predicts."""
    import torch

    with torch.inference_mode():
        return torch.sigmoid(network(patch))[0].numpy()  # type: ignore[operator]


def _seconds(run: object) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    run()  # type: ignore[operator]
    return time.process_time() - cpu, time.perf_counter() - wall
