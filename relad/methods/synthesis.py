"""A trained model on its way to images: load it, draw samples, average them."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from relad.compute.devices import autocast
from relad.compute.randomness import generator_for
from relad.data.batch import Condition
from relad.data.scaling import Scaling
from relad.data.window import to_suvr
from relad.errors import ReladError
from relad.fileio import content_of, read_object
from relad.methods.method import Method, build
from relad.study.paths import TRAINING_RECORD, WEIGHTS
from relad.study.sampling import Sampling
from relad.study.settings import TrainedMethod, typed


def load_model(folder: Path, device: torch.device) -> tuple[Method, Scaling, dict]:
    """Load a trained model.

    Returns
    -------
    The method with its averaged generator, ready to synthesise, the data scaling it was trained
    in, and its ``train.json``.

    Raises
    ------
    ReladError
        Where a file is missing or the weights do not fit the method.
    """
    needs = ("method", "entry", "inputs", "tracers", "cohort", "fold")
    file = folder / TRAINING_RECORD
    info = read_object(file, (*needs, "seed", "counts", "provenance"))
    with content_of(file, "record of a training", hint="train the model again"):
        entry = typed(TrainedMethod, info["entry"])
        inputs, tracers = operator.index(info["inputs"]), list(info["tracers"])
        _ = info["counts"]["updates"], info["provenance"]["settings"]  # synthesis.json repeats them
        method = build(info["method"], entry, inputs=inputs, tracers=len(tracers))
    weights = folder / WEIGHTS
    try:
        parts: dict[str, dict[str, torch.Tensor]] = {"generator": {}, "scaling": {}}
        for key, value in load_file(weights).items():
            part, _, name = key.partition(".")
            parts["scaling" if part == "space" else part][name] = value  # as it was called once
        method.generator.load_state_dict(parts["generator"])
        scaling = Scaling(parts["scaling"])
    except FileNotFoundError:
        raise ReladError("no such weights", file=weights, hint="run `relad train`") from None
    except Exception as error:  # safetensors has its own exception type per damage
        raise ReladError(
            f"does not hold the weights of {info['method']!r} ({' '.join(str(error).split())})",
            file=weights,
            hint="train the model again",
        ) from None
    return method.to(device).eval(), scaling.to(device), info


def draw(
    method: Method,
    scaling: Scaling,
    given: Condition,
    sampling: Sampling,
    windows: Sequence[tuple[float, float]],
    random: Sequence[torch.Generator],
    precision: str = "auto",
) -> list[np.ndarray]:
    """One sample of the PET of each volume: (x, y, z) float32 SUVR, 0 outside the brain.

    ``windows`` and ``random`` hold one SUVR window and one generator per volume; ``precision`` is
    that of the training.
    """
    with autocast(given.mri.device, precision):
        target = method.synthesize(given, sampling=sampling, random=random)
    pet = scaling.to_pet(target.float(), given.tracer, given.mask)
    return [
        torch.where(mask, to_suvr(volume, window), 0.0)[0].cpu().numpy()
        for volume, mask, window in zip(pet, given.mask, windows, strict=True)
    ]


def noise_of(
    seed: int, subject: str, tracer: str, number: int, device: torch.device
) -> torch.Generator:
    """Source of all that is random in one sample (counted from 0) of a person's PET of a tracer."""
    return generator_for("synthesis", seed, subject, tracer, number, device=device)


class Samples:
    """Voxelwise mean and standard deviation (n - 1) of samples, of which none is kept.

    Welford's update in float64.
    """

    def __init__(self) -> None:
        self.count, self.seconds = 0, 0.0
        self._mean: np.ndarray | float = 0.0
        self._square: np.ndarray | float = 0.0

    def add(self, sample: np.ndarray, seconds: float = 0.0) -> None:
        """Add a sample that took so many seconds."""
        self.count += 1
        self.seconds += seconds
        step = sample.astype(np.float64) - self._mean
        self._mean = self._mean + step / self.count
        self._square = self._square + step * (sample - self._mean)

    @property
    def mean(self) -> np.ndarray:
        """As float32."""
        return np.asarray(self._mean, dtype=np.float32)

    @property
    def spread(self) -> np.ndarray | None:
        """Standard deviation as float32; None of a single sample."""
        if self.count < 2:
            return None
        return np.sqrt(self._square / (self.count - 1)).astype(np.float32)
