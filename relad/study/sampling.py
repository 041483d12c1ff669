"""How a volume is sampled from a diffusion model, as a setting and as the name it has in results.

Standard library only: the workflow builds file names from it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

#: Sampler -> what it is. :mod:`relad.methods.diffusion.samplers` holds them.
SAMPLERS = {
    "ddpm": "ancestral, Ho et al. 2020",
    "ddim": "deterministic, Song et al. 2021",
    "dpmpp": "DPM-Solver++(2M), Lu et al. 2022",
    "euler": "Euler's method on a flow, Liu et al. 2023; of a diffusion the same as ddim",
    "heun": "Heun's method on the flow: second order, two evaluations a step",
    "regression": "the clean prediction from pure noise: one evaluation, arXiv 2505.02048",
}


#: Name in result rows of what is not sampled: one pass through the network.
FORWARD = "forward"
#: Name in result rows of what no network made.
UNSAMPLED = "none"


@dataclass(frozen=True)
class Sampling:
    """How a diffusion method samples; the others do one forward pass.

    Attributes
    ----------
    sampler
        One of :data:`SAMPLERS`.
    steps
        Network evaluations of one sample; always 1 for ``regression``.
    samples
        Independent samples K whose mean is the synthetic image ("expectation approximation" of
        arXiv 2505.02048) and whose standard deviation is its uncertainty.
    temperature
        Standard deviation of the noise that is sampled from; a model that is too sure of people it
        has not seen needs more than the 1 it was trained with.

    Raises
    ------
    ValueError
        For an unknown sampler, fewer than one step or sample, or a temperature that is not above 0.
    """

    sampler: str
    steps: int
    samples: int = 1
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if self.sampler not in SAMPLERS:
            raise ValueError(f"sampler {self.sampler!r} is none of {', '.join(SAMPLERS)}")
        if self.sampler == "regression":
            object.__setattr__(self, "steps", 1)
        for name in ("steps", "samples"):
            if getattr(self, name) < 1:
                raise ValueError(f"sampling needs {name} of at least 1, not {getattr(self, name)}")
        if not 0 < self.temperature < math.inf:
            raise ValueError(f"sampling needs a temperature above 0, not {self.temperature}")

    @property
    def evaluations(self) -> int:
        """Network evaluations of one synthetic image."""
        return self.steps * self.samples

    @property
    def name(self) -> str:
        """Name in result rows and folders: ``ddim-10``, with five samples ``ddim-10x5``.

        A temperature of 1.5 is told as ``ddim-10-t1.5x5``.
        """
        warmer = f"-t{self.temperature:g}" if self.temperature != 1 else ""
        return f"{self.sampler}-{self.steps}{warmer}" + (
            f"x{self.samples}" if self.samples > 1 else ""
        )

    @classmethod
    def parse(cls, name: str) -> Sampling:
        """Inverse of :attr:`name`.

        Raises
        ------
        ValueError
            Where no sampling has this name.
        """
        match = re.fullmatch(r"([a-z]+)-(\d+)(?:-t(\d+(?:\.\d+)?))?(?:x(\d+))?", name)
        if match is None:
            raise ValueError(f"{name!r} names no sampling, such as ddim-10 or ddim-10x5")
        sampling = cls(match[1], int(match[2]), int(match[4] or 1), float(match[3] or 1))
        if sampling.name != name:
            raise ValueError(f"{name!r} names no sampling; is it {sampling.name!r}?")
        return sampling


# --- names in result rows, among which may be a method's own ------------------------------------


def _parsed(name: str) -> Sampling | None:
    try:
        return Sampling.parse(name)
    except ValueError:
        return None


def evaluations_of(name: str) -> int | None:
    """Network evaluations of an image of this name; None for a name of a method's own."""
    sampling = _parsed(name)
    return sampling.evaluations if sampling else 1 if name == FORWARD else None


def one_of(name: str) -> str | None:
    """Name of one sample of those that a mean is of, ``ddim-10`` of ``ddim-10x5``; else None."""
    sampling = _parsed(name)
    return None if sampling is None or sampling.samples == 1 else replace(sampling, samples=1).name


def whole(names: Iterable[str]) -> list[str]:
    """Names without those that are one sample of another among them, in order."""
    found = dict.fromkeys(names)
    singles = {one_of(name) for name in found}
    return [name for name in found if name not in singles]


def described(name: str) -> str:
    """A name for reading: ``25 ddim steps, mean of 8``."""
    sampling = _parsed(name)
    if sampling is None:
        return "one pass" if name == FORWARD else name
    single = sampling.sampler == "regression"
    drawn = "one evaluation" if single else f"{sampling.steps} {sampling.sampler} steps"
    if sampling.temperature != 1:
        drawn += f" at temperature {sampling.temperature:g}"
    if sampling.samples > 1:
        return f"{drawn}, mean of {sampling.samples}"
    return drawn if single else f"{drawn}, one sample"


# --- samplings of the configuration -------------------------------------------------------------


def of_method(study: Mapping[str, Any], entry: Mapping[str, Any]) -> Sampling | None:
    """How a method of a resolved configuration is sampled; None for one that is not.

    One of the diffusion family is, and any other whose entry says how.
    """
    if entry["family"] != "diffusion" and not entry["sampling"]:
        return None
    given = {**study["sampling"], **entry["sampling"]}
    return Sampling(*(given[field.name] for field in fields(Sampling)))


def samplings(study: Mapping[str, Any]) -> list[Sampling]:
    """Samplings of a configuration's ``sampler_study``, each once, in its order.

    Raises
    ------
    ValueError
        Where one of them is none, see :class:`Sampling`.
    """
    found = dict.fromkeys(
        Sampling(entry["sampler"], steps, samples, temperature)
        for entry in study["samplings"]
        for steps in entry["steps"]
        for samples in entry["samples"]
        for temperature in entry["temperatures"]
    )
    for sampling in found:
        if Sampling.parse(sampling.name) != sampling:
            raise ValueError(f"temperature {sampling.temperature!r} has too many digits for a name")
    return list(found)
