"""The recipe: crops, augmentation, a balanced loss, then constrained MALIS (arXiv 1709.02974, section 3.1)."""

import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from clew.errors import InputError
from clew.network.options import Triple
from clew.network.precision import Precision, autocast
from clew.network.unet import UNet, crop_center, valid_input_shape
from clew.training.descriptors import descriptor_loss, descriptor_targets
from clew.training.losses import balanced_loss
from clew.training.malis import constrained_malis_loss
from clew.training.options import AugmentationOptions, TrainingOptions
from clew.training.sampling import Crop, Sampler, TrainingVolume, prepare_volume
from clew.training.targets import affinity_targets, split_components

AHEAD = 3


class StepReport(NamedTuple):
    """What one step did: losses, learning rate, seconds since the last report."""

    step: int
    loss: float
    voxel_loss: float
    malis_loss: float
    descriptor_loss: float
    learning_rate: float
    seconds: float


class Batch(NamedTuple):
    """Tensors of a step: raw (batch, 1, z, y, x); labels (batch, z, y, x) split into components; targets and valid pairs;
    descriptors (batch, 10, z, y, x), or empty where they are not trained."""

    raw: Tensor
    labels: Tensor
    targets: Tensor
    valid: Tensor
    descriptors: Tensor = torch.empty(0)


class Trainer:
    """Trains a network on annotated volumes; iterate over it to take the steps.

    Parameters
    ----------
    network
        U-Net to train, in place.
    volumes
        Annotated volumes; voxels outside their masks bring no loss.
    options, augmentation
        The recipe.
    voxel_size
        Voxel size (z, y, x) in nm; local shape descriptors need it.
    device, precision
        `cpu` or `cuda`, and the arithmetic of the network; weights, their updates and the losses are float32.

    Iterating yields a `StepReport` after each step until `options.steps` are done. `state` and `load_state` stop and
    continue a run on the same curve; `averaged_network` is the network to validate and keep.
    """

    def __init__(
        self,
        network: UNet,
        volumes: list[TrainingVolume],
        options: TrainingOptions,
        augmentation: AugmentationOptions,
        *,
        voxel_size: tuple[float, float, float] | None = None,
        device: str = "cpu",
        precision: Precision = "auto",
    ) -> None:
        if options.descriptor_weight and not (network.options.descriptors and voxel_size):
            raise InputError("local shape descriptors need a network with a head for them, and the voxel size")
        self.options = options
        self.voxel_size = voxel_size
        self.device = device
        self.precision = precision
        self.network = network.to(device, memory_format=torch.channels_last_3d).train()
        self.network.set_padding(options.padding)
        self.average = deepcopy(self.network)
        self.optimizer = torch.optim.AdamW(network.parameters(), options.learning_rate, (0.95, 0.999), 1e-8, 1e-2)
        self.step = 0
        input_shape, self.output_shape = crop_shapes(network, options)
        prepared = tuple(
            prepare_volume(volume, options.boundary_steps, per_section=options.per_section) for volume in volumes
        )
        self.sampler = Sampler(prepared, input_shape, self.output_shape, options, augmentation)

    def __iter__(self) -> Iterator[StepReport]:
        with ThreadPoolExecutor(1) as pool:
            ahead = [pool.submit(self._prepare, step) for step in range(self.step, self.step + AHEAD)]
            try:
                while self.step < self.options.steps:
                    batch = ahead.pop(0).result()
                    ahead.append(pool.submit(self._prepare, self.step + AHEAD))
                    yield self._take_step(batch)
            finally:
                for waiting in ahead:
                    waiting.cancel()

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

    def _prepare(self, step: int) -> Batch:
        crops = [self.sampler.draw(step, index) for index in range(self.options.batch)]
        batch = collate(crops, self.network.options.offsets, self.options.margin)
        return batch._replace(descriptors=self._describe(crops)) if self.options.descriptor_weight else batch

    def _describe(self, crops: list[Crop]) -> Tensor:
        sigma, margin = self.options.descriptor_sigma, self.options.margin
        size = self.voxel_size or (1, 1, 1)
        described = [descriptor_targets(c.labels, c.mask, _trim(c.mask, margin), sigma, size) for c in crops]
        return torch.from_numpy(np.stack(described))

    def _take_step(self, batch: Batch) -> StepReport:
        start = time.perf_counter()
        rate = learning_rate(self.step, self.options)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        batch = Batch(*(tensor.to(self.device) for tensor in batch))
        with autocast(self.device, self.precision):
            output = crop_center(self.network(batch.raw), self.output_shape)
        affinities = len(self.network.options.offsets)
        voxel_loss, malis_loss = self._losses(output[:, :affinities], batch)
        described = self._descriptor_loss(output[:, affinities:], batch)
        loss = voxel_loss + malis_loss + described
        if not torch.isfinite(loss):
            raise InputError(f"the loss of step {self.step} is not finite; lower the learning rate")
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self._update_average()
        self.step += 1
        seconds = time.perf_counter() - start
        return StepReport(self.step, loss.item(), voxel_loss.item(), malis_loss.item(), described.item(), rate, seconds)

    def _losses(self, logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        voxel_loss = balanced_loss(logits, batch.targets, batch.valid, self.options.loss)
        if self.step < self.options.malis_after or not self.options.malis_weight:
            return voxel_loss, torch.zeros(())
        weight = self.options.malis_weight
        affinities = torch.sigmoid(logits[:, :3].float())
        mask = batch.valid[:, :3]
        malis = constrained_malis_loss(affinities, batch.labels, mask=mask)
        return (1 - weight) * voxel_loss, weight * malis

    def _descriptor_loss(self, logits: Tensor, batch: Batch) -> Tensor:
        weight = self.options.descriptor_weight
        return weight * descriptor_loss(logits, batch.descriptors) if weight else torch.zeros(())

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(self.options.average_decay, (1 + self.step) / (10 + self.step))
        for average, current in zip(self.average.parameters(), self.network.parameters(), strict=True):
            average.lerp_(current, 1 - decay)


def collate(crops: list[Crop], offsets: tuple[Triple, ...], margin: int) -> Batch:
    """Tensors of a list of crops; pairs nearer than `margin` to the crop's faces bring no loss."""
    labels = np.stack([split_components(crop.labels).astype(np.int64) for crop in crops])
    pairs = [affinity_targets(crop.labels, offsets, _trim(crop.mask, margin)) for crop in crops]
    return Batch(
        torch.from_numpy(np.stack([crop.raw for crop in crops])[:, None]).contiguous(
            memory_format=torch.channels_last_3d
        ),
        torch.from_numpy(labels),
        torch.from_numpy(np.stack([targets for targets, _ in pairs])),
        torch.from_numpy(np.stack([valid for _, valid in pairs])),
    )


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


def _trim(mask: np.ndarray, margin: int) -> np.ndarray:
    trimmed = np.zeros_like(mask)
    inner = tuple(slice(margin, size - margin) for size in mask.shape)
    trimmed[inner] = mask[inner]
    return trimmed
