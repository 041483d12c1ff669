"""Whose scans a trained model is measured on, and what it makes of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from relad.compute.devices import choose_device
from relad.compute.randomness import generator_for
from relad.data.batches import Pair, Volumes, in_batches, input_channels
from relad.data.dataset import PackedDataset
from relad.data.window import to_suvr
from relad.errors import ReladError
from relad.methods.synthesis import draw, load_model
from relad.study.sampling import Sampling

#: What can be asked for; choices are made on the first, the second is for what stands already.
Part = Literal["validation", "test"]


def pairs_of(data: PackedDataset, info: Mapping[str, Any], part: Part) -> list[Pair]:
    """(subject, tracer) of people whom the model with this train.json did not learn from.

    Of its ``validation`` people, who chose its weights, or of the held-out ``test`` fold; no
    tracer among them that it was not trained for.

    Raises
    ------
    ReladError
        Where it was trained on other data, or had no such people.
    """
    if data.fingerprint != info["data"]:
        raise ReladError("is not the cohort that the model was trained on", file=data.path)
    names, tracers = info["subjects"][part], info["trained_tracers"]
    pairs = [
        (i, k)
        for i, k in data.pairs()
        if data.subjects[i]["subject"] in names and data.tracers[k] in tracers
    ]
    if not pairs:
        raise ReladError(
            f"the model had no {part} subjects",
            hint="train it with `training: {validation: {subjects: 2}}`"
            if part == "validation"
            else "its fold has no PET of the tracers that it was trained for",
        )
    return pairs


@dataclass(frozen=True)
class Drawn:
    """Samples (K, n) of one scan and its truth (n,), SUVR, in the n voxels of its mask (x, y, z).

    ``pair`` tells its subject and tracer, ``window`` the tracer's range of SUVR.
    """

    pair: Pair
    samples: np.ndarray
    truth: np.ndarray
    mask: np.ndarray
    window: tuple[float, float]


class Model:
    """A trained model, for samples of scans; ``info`` is its train.json."""

    def __init__(self, folder: Path):
        self.device = choose_device("auto")
        self.method, self.scaling, self.info = load_model(folder, self.device)

    def drawn(
        self, data: PackedDataset, pairs: Sequence[Pair], sampling: Sampling, word: str
    ) -> Iterator[Drawn]:
        """Sample these pairs; all random numbers follow from ``word``, subject and tracer."""
        volumes = Volumes(data, input_channels(data, self.info["entry"]["inputs"]), self.device)
        for part in in_batches(pairs, self.info["counts"]["batch_size"]):
            given = volumes.given(list(part), self.scaling)
            windows = [data.windows[data.tracers[k]] for _, k in part]
            keys = [(data.subjects[i]["subject"], data.tracers[k]) for i, k in part]
            drawn = [
                draw(
                    self.method,
                    self.scaling,
                    given,
                    sampling,
                    windows,
                    [generator_for(word, *key, s, device=self.device) for key in keys],
                )
                for s in range(sampling.samples)
            ]
            for j, ((i, k), window) in enumerate(zip(part, windows, strict=True)):
                mask = data.pair_mask(i, k)
                truth = to_suvr(np.asarray(data.pet[i, k])[mask], window)
                samples = np.stack([sample[j][mask] for sample in drawn])
                yield Drawn((i, k), samples, truth, mask, window)
