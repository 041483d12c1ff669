"""A trained model that is applied to one person: loaded once, sampled with progress."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from relad.data.batch import Condition
from relad.data.batches import in_batches
from relad.data.scaling import Scaling
from relad.methods.method import Method
from relad.methods.synthesis import Samples, draw, load_model, noise_of
from relad.prediction.derivatives import Synthetic
from relad.prediction.record import Record
from relad.study.sampling import Sampling

#: Volumes sampled at once: more gain little on the CPU and take memory.
BATCH_SIZE = 4


@dataclass(frozen=True)
class Model:
    """A trained method with the record of its training."""

    record: Record
    method: Method
    scaling: Scaling
    device: torch.device

    def samples(self, sampling: Sampling) -> int:
        """How many samples are drawn: one of a method that is not random."""
        return sampling.samples if self.method.stochastic else 1

    def sampler_name(self, sampling: Sampling) -> str:
        """Name of the sampling in results."""
        return self.method.sampler_name(sampling)

    def synthesize(
        self,
        subject: str,
        tracer: str,
        mri: np.ndarray,
        mask: np.ndarray,
        sampling: Sampling,
        seed: int,
    ) -> Synthetic:
        """PET of one tracer of a person.

        The noise is that of `relad synthesize` for a subject of this label, a model of this seed.

        Parameters
        ----------
        subject, tracer
            Names, of which the noise is a function.
        mri
            (m, x, y, z) in the units of the packed dataset, one channel for each of the model's
            inputs, in their order.
        mask
            (x, y, z) bool, brain.
        sampling
            How diffusion methods sample.
        seed
            Of the noise.
        """
        told = self.record.told
        count = self.samples(sampling)
        given = self._condition(mri, mask, told["tracers"].index(tracer))
        window = self.record.settings.tracers[tracer].suvr_window
        mean, volumes = Samples(), []
        bar = tqdm(
            total=count,
            desc=f"sub-{subject}: {tracer}",
            unit="sample",
            mininterval=0.5 if sys.stderr.isatty() else 10,
        )
        with bar, torch.inference_mode():
            for numbers in in_batches(range(count), BATCH_SIZE):
                for volume in draw(
                    self.method,
                    self.scaling,
                    _repeated(given, len(numbers)),
                    sampling,
                    [window] * len(numbers),
                    [noise_of(seed, subject, tracer, n, self.device) for n in numbers],
                    told.get("precision", "auto"),
                ):
                    mean.add(volume)
                    volumes.append(volume)
                bar.update(len(numbers))
        return Synthetic(mean.mean, mean.spread, volumes)

    def _condition(self, mri: np.ndarray, mask: np.ndarray, tracer: int) -> Condition:
        brain = torch.from_numpy(mask)[None, None].to(self.device)
        volumes = torch.from_numpy(mri)[None].to(self.device)
        return Condition(
            mri=self.scaling.inputs(volumes, brain),
            tracer=torch.tensor([tracer], device=self.device),
            mask=brain,
            outside=self.scaling.outside,
        )


def _repeated(given: Condition, count: int) -> Condition:
    """The same person ``count`` times."""
    parts = {name: value for name, value in vars(given).items() if name != "outside"}
    many = {name: value.repeat_interleave(count, 0) for name, value in parts.items()}
    return Condition(**many, outside=given.outside)


def load(path: Path, device: torch.device) -> Model:
    """Load a model for application.

    Parameters
    ----------
    path
        Folder of a trained model.
    device
        Where it computes.

    Raises
    ------
    ReladError
        Where it is none, or one that cannot be applied.
    """
    record = Record.read(path)
    method, scaling, _ = load_model(record.folder, device)
    return Model(record, method, scaling, device)
