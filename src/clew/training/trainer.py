"""The recipe: crops, augmentation, a balanced loss, then constrained MALIS.

Source: arXiv 1709.02974, section 3.1.
"""

import math
import os
import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future
from copy import deepcopy
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clew.errors import InputError
from clew.network.device import resolve_device
from clew.network.options import Precision, PredictionOptions
from clew.network.precision import autocast
from clew.network.unet import UNet, crop_center, valid_input_shape
from clew.space import Lengths, Triple
from clew.training.batches import Batch, collate, describe, prepared_ahead
from clew.training.descriptors import window_reach
from clew.training.losses import loss_terms
from clew.training.malis import check_window
from clew.training.malis_threads import NEAREST, MalisThreads, Weights
from clew.training.options import AugmentationOptions, TrainingOptions
from clew.training.processes import Processes
from clew.training.sampling import Sampler, TrainingVolume, find_thin, prepare_volume

AHEAD = 3
"""Batches that are prepared before they are needed."""
MOST_THREADS = 8
"""Threads that prepare crops beside a GPU at most; beside a network on the CPU it is one."""


class StepReport(NamedTuple):
    """What one step did.

    Parameters
    ----------
    step : int
        Steps that are done.
    loss, voxel_loss, malis_loss, descriptor_loss : float
        Loss over all processes, and the terms that it is the sum of.
    learning_rate : float
    seconds : float
        Seconds that the step took.
    waited_for_crops, waited_for_malis : float
        Of these, seconds in which the device had nothing to do, for want of crops and of weights of MALIS.
    """

    step: int
    loss: float
    voxel_loss: float
    malis_loss: float
    descriptor_loss: float
    learning_rate: float
    seconds: float
    waited_for_crops: float
    waited_for_malis: float


class Example(NamedTuple):
    """One crop as the network sees it.

    Parameters
    ----------
    step, number : int
        The step, and the index of the crop in its batch.
    loss : float
        The sum of its terms.
    raw : (z, y, x) float32
    labels : (z, y, x) uint64
        Of the network's output, split into components.
    targets, valid : (3, z, y, x) bool
        Target affinities, and the pairs that count.
    affinities : (3, z, y, x) float32
        As predicted.
    positive, negative : (3, z, y, x) float32
        Weights of both passes of MALIS.
    """

    step: int
    number: int
    loss: float
    raw: NDArray[np.float32]
    labels: NDArray[np.uint64]
    targets: NDArray[np.bool_]
    valid: NDArray[np.bool_]
    affinities: NDArray[np.float32]
    positive: NDArray[np.float32]
    negative: NDArray[np.float32]


class Forward(NamedTuple):
    """A forward pass that waits for its backward pass.

    Batch and logits are on the device; the weights are those of MALIS, one for each crop.
    """

    batch: Batch
    logits: Tensor
    weights: list[Future[Weights]]


class NotFiniteError(InputError):
    """A loss or gradient is not a finite number.

    The weights of the network are still those from before the step.
    """

    def __init__(self, example: Example) -> None:
        super().__init__(
            f"the loss or gradient of step {example.step + 1} is not finite (its crop {example.number} has a loss of "
            f"{example.loss}); lower the learning rate, or look at the crop"
        )
        self.example = example


class Trainer:
    """Trains a network on annotated volumes; iterate over it to take the steps.

    Iterating yields a `StepReport` after each step until `options.steps` are done, or somebody called `stop`. `state` and
    `load_state` stop and continue a run on the same curve; `averaged_network` is the network to validate and keep.

    Parameters
    ----------
    network : UNet
        Network to train, in place.
    volumes : list of TrainingVolume
        Annotated volumes; voxels outside their masks bring no loss.
    options : TrainingOptions
        The recipe.
    augmentation : AugmentationOptions
        Random changes of its crops.
    voxel_size : (z, y, x) floats, optional
        In nm; local shape descriptors and weights of thin neurites need it.
    device : str
        `cpu`, `cuda`, `cuda:1` or what is there (`auto`).
    precision : str
        The arithmetic of the network; weights, their updates and the losses are float32.
    processes : Processes
        Which of the processes this one is that train the same network together.

    Raises
    ------
    InputError
        While iterating, if no crop is found that is annotated well enough.
    NotFiniteError
        While iterating, if training diverged.

    Examples
    --------
    >>> truth = np.repeat([[[1, 2]]], 12, axis=2).repeat(24, axis=1).repeat(24, axis=0)
    >>> volume = clew.TrainingVolume(np.uint8(100 * truth), truth, mask=truth > 0)
    >>> options = clew.TrainingOptions(steps=2, crop=(16, 16, 16), malis_after=1)
    >>> trainer = clew.Trainer(clew.UNet(clew.PRESETS["tiny"]), [volume], options, clew.AugmentationOptions(), device="cpu")
    >>> [report.step for report in trainer]
    [1, 2]
    >>> network = trainer.averaged_network
    """

    def __init__(
        self,
        network: UNet,
        volumes: list[TrainingVolume],
        options: TrainingOptions,
        augmentation: AugmentationOptions,
        *,
        voxel_size: Lengths | None = None,
        device: str = PredictionOptions.device,
        precision: Precision = PredictionOptions.precision,
        processes: Processes = Processes(),
    ) -> None:
        if options.descriptor_weight and not (network.options.descriptors and voxel_size):
            raise InputError("local shape descriptors need a network with a head for them, and the voxel size")
        if options.thin_weight != 1 and not voxel_size:
            raise InputError("weights of thin neurites need the voxel size")
        if options.malis_window is not None:
            check_window(options.malis_window, options.crop)
        self.options = options
        self.voxel_size = voxel_size if options.descriptor_weight else None
        self.device = resolve_device(device)
        self.precision = precision
        self.processes = processes
        self.network = network.to(self.device, memory_format=torch.channels_last_3d).train()
        self.network.set_padding(options.padding)
        self.average = deepcopy(self.network)
        self.optimizer = torch.optim.AdamW(network.parameters(), options.learning_rate, (0.95, 0.999), 1e-8, 1e-2)
        self.step = 0
        self.stopped = False
        self._asked_to_stop = False
        input_shape, self.output_shape = crop_shapes(network, options)
        prepared = tuple(
            prepare_volume(volume, options.boundary_steps, per_section=options.per_section) for volume in volumes
        )
        context = window_reach(options.descriptor_sigma, self.voxel_size) if self.voxel_size else (0, 0, 0)
        thin = find_thin(volumes, voxel_size, options.thin_below) if voxel_size and options.thin_weight != 1 else ()
        self.sampler = Sampler(
            prepared, input_shape, self.output_shape, options, augmentation, self.device, context, thin
        )
        self.malis = MalisThreads(min(2 * options.batch, os.cpu_count() or 1), options)

    def __iter__(self) -> Iterator[StepReport]:
        places = product(range(self.step, self.options.steps), range(self.options.accumulate))
        threads = 1 if self.device == "cpu" else min(MOST_THREADS, os.cpu_count() or 1)
        batches = prepared_ahead(self._prepare, places, threads, max(AHEAD, threads))
        try:
            while self.step < self.options.steps and not self.stopped:
                yield self._take_step(batches)
        finally:
            batches.close()

    def stop(self) -> None:
        """End the iteration, in all processes after the same step."""
        self._asked_to_stop = True

    @property
    def averaged_network(self) -> UNet:
        """A copy of the network with the running average of the weights, for prediction."""
        network = deepcopy(self.average).cpu().eval()
        network.set_padding("valid")
        return network

    def state(self) -> dict[str, Any]:
        """Everything needed to continue: weights, average, optimiser, step."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue from a `state`."""
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]

    @torch.no_grad()
    def example(self, step: int = 0, number: int = 0) -> Example:
        """A crop of any step, as the network sees it now.

        By default it is the very first one.
        """
        batch = self._draw(step, range(number, number + 1))
        logits = self._logits(batch.raw.to(self.device))
        weights = self.malis.finish(self.malis.start(logits, batch), self.device)
        terms = loss_terms(logits, batch.to(self.device), weights if self._malis_is_on else None, self.options)
        affinities = torch.sigmoid(logits[0, NEAREST])
        positive, negative = (weight[0] for weight in weights)
        return Example(
            step, number, float(terms.sum()), batch.raw[0, 0].numpy(), batch.labels[0], batch.targets[0, NEAREST].numpy(),
            batch.valid[0, NEAREST].numpy(), *(array.cpu().numpy() for array in (affinities, positive, negative)),
        )  # fmt: skip

    def _take_step(self, batches: Iterator[Batch]) -> StepReport:
        start, waited_before, waited_for_crops = time.perf_counter(), self.malis.waited, 0.0
        rate = learning_rate(self.step, self.options)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.zero_grad(set_to_none=True)
        terms = torch.zeros(3, device=self.device)
        under_way: deque[Forward] = deque()
        for _ in range(self.options.accumulate):
            asked = time.perf_counter()
            batch = next(batches)
            waited_for_crops += time.perf_counter() - asked
            under_way.append(self._forward(batch))
            if len(under_way) > self._passes_at_once:
                terms += self._backward(under_way.popleft())
        while under_way:
            terms += self._backward(under_way.popleft())
        self._average_over_processes(terms)
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        if not torch.isfinite(terms.sum() + norm):
            raise NotFiniteError(self._culprit())
        self.optimizer.step()
        self._update_average()
        self.step += 1
        voxel_loss, malis_loss, descriptor_loss = terms.tolist()
        seconds, waited_for_malis = time.perf_counter() - start, self.malis.waited - waited_before
        return StepReport(
            self.step, voxel_loss + malis_loss + descriptor_loss, voxel_loss, malis_loss, descriptor_loss, rate,
            seconds, waited_for_crops, waited_for_malis,
        )  # fmt: skip

    @property
    def _malis_is_on(self) -> bool:
        share = self.options.malis_weight if self.options.malis_gradient is None else self.options.malis_gradient
        return self.step >= self.options.malis_after and share > 0

    @property
    def _passes_at_once(self) -> int:
        """How many forward passes wait for their backward pass.

        A GPU does the next pass while the CPU weighs the last one.
        """
        return 0 if self.device == "cpu" else 1

    def _forward(self, batch: Batch) -> Forward:
        on_device = batch.to(self.device)
        logits = self._logits(on_device.raw)
        return Forward(on_device, logits, self.malis.start(logits, batch) if self._malis_is_on else [])

    def _backward(self, forward: Forward) -> Tensor:
        weights = self.malis.finish(forward.weights, self.device) if forward.weights else None
        terms = loss_terms(forward.logits, forward.batch, weights, self.options, self.network.head.weight)
        terms = terms / self.options.accumulate
        terms.sum().backward()
        return terms.detach()

    def _logits(self, raw: Tensor) -> Tensor:
        with autocast(self.device, self.precision):
            return crop_center(self.network(raw), self.output_shape)

    def _average_over_processes(self, terms: Tensor) -> None:
        """Gradients and losses of the whole batch, and whether anybody asked to stop."""
        asked = terms.new_tensor(float(self._asked_to_stop))
        gradients = [weight.grad for weight in self.network.parameters() if weight.grad is not None]
        self.processes.average([*gradients, terms, asked])
        self.stopped = bool(asked > 0)

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(self.options.average_decay, (1 + self.step) / (10 + self.step))
        for average, current in zip(self.average.parameters(), self.network.parameters(), strict=True):
            average.lerp_(current, 1 - decay)

    def _prepare(self, place: tuple[int, int]) -> Batch:
        """The crops of a forward pass of a step.

        Their indices count through the passes of all processes.
        """
        step, part = place
        first = (part * self.processes.number + self.processes.rank) * self.options.batch
        batch = self._draw(step, range(first, first + self.options.batch))
        return batch if self.device == "cpu" else batch.pinned()

    def _draw(self, step: int, indices: range) -> Batch:
        crops = [self.sampler.draw(step, index) for index in indices]
        batch = collate(crops, self.network.options.offsets, self.options.margin)
        if self.voxel_size is None:
            return batch
        return batch._replace(descriptors=describe(crops, self.options, self.voxel_size))

    def _culprit(self) -> Example:
        """The first crop of this step whose loss is not finite.

        Where only the gradient was not finite, the first crop.
        """
        crops = self.options.batch * self.options.accumulate * self.processes.number
        examples = (self.example(self.step, number) for number in range(crops))
        bad = next((example for example in examples if not math.isfinite(example.loss)), None)
        return bad or self.example(self.step)


def crop_shapes(network: UNet, options: TrainingOptions) -> tuple[Triple, Triple]:
    """Shapes of a crop's raw and of the labels that it trains."""
    factor = network.options.factor
    if options.padding == "valid":
        return valid_input_shape(network.options, options.crop)[0], options.crop
    if any(size % step for size, step in zip(options.crop, factor, strict=True)):
        raise InputError(f"the crop {options.crop} must be a multiple of the pooling factor {factor}")
    return options.crop, options.crop


def learning_rate(step: int, options: TrainingOptions) -> float:
    """Linear warm-up, then half a cosine down to zero."""
    warm = min(1.0, (step + 1) / max(options.warmup, 1))
    return options.learning_rate * warm * 0.5 * (1 + math.cos(math.pi * step / options.steps))
