"""The protocol between a method and everything that trains, samples and compares methods.

A method is one class: it owns its networks and optimisers, performs one update, and synthesises.
The training loop and the synthesis step know nothing else about it, so that data, folds, number of
updates, augmentation, EMA and randomness are the same for all.
"""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from relad.compute import parallel
from relad.data.batch import Batch, Condition
from relad.errors import ReladError
from relad.methods.parameters import require_kinds, require_known, require_within
from relad.shapes import Scalar, Volume
from relad.study.fingerprints import PACKAGES
from relad.study.sampling import Sampling
from relad.study.settings import TrainedMethod


class Method(nn.Module, ABC):
    """Base class of all methods.

    Parameters
    ----------
    inputs
        Number of MRI channels m.
    tracers
        Number of tracers.
    **params
        What ``config/methods.yaml`` gives under ``params``; an unknown name is an error.

    Attributes
    ----------
    generator : nn.Module
        The network used in synthesis; the training loop keeps its exponential moving average.
    optimizers : dict of torch.optim.Optimizer
        All of them are stored in checkpoints.
    """

    #: True for a closed-form method: it sees every training pair exactly once, unaugmented.
    single_pass: bool = False
    #: Largest norm of a gradient in :meth:`descend`, set by the training loop; None for no limit.
    clip_norm: float | None = None

    #: True where :meth:`synthesize` draws one of many possible images, so that several samples have
    #: a mean and a spread.
    stochastic: bool = False

    #: False for a floor that is to know nothing of the person but the outline of the brain.
    reads_mri: bool = True

    #: Fewest sampling steps whose images tell one set of weights from another in validation.
    least_validation_steps: int = 1

    generator: nn.Module
    optimizers: dict[str, torch.optim.Optimizer]

    def prepare(self, batches: Iterable[Batch]) -> None:
        """Look at every training pair once, unmirrored, before the first update.

        For what a method has to know of the training data as a whole. What it keeps stands in
        buffers of :attr:`generator`, if synthesis needs it. Nothing is read for a method that does
        not iterate.
        """

    @abstractmethod
    def update(
        self, batch: Batch, *, progress: float, random: torch.Generator
    ) -> dict[str, Tensor]:
        """Do one update of every network; return the losses to log (scalars, detached).

        ``progress`` is the share of updates done, in [0, 1); ``random`` is the only source of
        random numbers, drawn by :func:`relad.compute.randomness.rand` and ``randn``. Losses are
        means over the batch, and weights change by :meth:`descend`, so that several processes may
        share it.
        """

    def descend(self, name: str, loss: Scalar) -> None:
        """One step of the optimiser ``name`` down the gradient of a loss.

        The gradient is averaged over all processes and then limited to :attr:`clip_norm`.
        """
        optimizer = self.optimizers[name]
        optimizer.zero_grad()
        loss.backward()
        weights = [p for group in optimizer.param_groups for p in group["params"]]
        weights = [p for p in weights if p.grad is not None]
        parallel.average_([p.grad for p in weights])
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(weights, self.clip_norm)
        optimizer.step()

    @abstractmethod
    def synthesize(
        self, given: Condition, *, sampling: Sampling, random: Sequence[torch.Generator]
    ) -> Volume:
        """Synthesise one sample of the PET of each volume.

        ``random`` holds one generator per volume, the only source of its random numbers.
        ``sampling.samples`` is not read here: who calls asks for every sample.

        Returns
        -------
        y of :mod:`relad.data.scaling`; what lies outside the brain is not used.
        """

    def sampler_name(self, sampling: Sampling) -> str:
        """Name of the sampler in result rows: how a volume was made from the networks."""
        return "forward"

    def evaluations(self, sampling: Sampling) -> int:
        """Evaluations of the generator for one synthetic image, all its samples included."""
        return 1

    def lr_factor(self, progress: float, optimizer: str) -> float:
        """Learning-rate factor of one of :attr:`optimizers`.

        Warm-up (a twentieth), constant to the half, linear to zero; the same for all of them
        unless a method says otherwise.
        """
        return min(1.0, 20.0 * progress + 0.01, 2.0 * (1.0 - progress))


#: Where modules lay when older models were trained; their ``train.json`` names a class there.
MOVED = {
    "relad.reladiff": "relad.methods.reladiff",
    "relad.as_released": "relad.methods.as_released",
}


def class_of(name: str, entry: TrainedMethod) -> type[Method]:
    """Class that a method's entry in the configuration names.

    Raises
    ------
    ReladError
        Where it does not exist, or is no method.
    """
    module_name, _, class_name = entry.class_.partition(":")
    try:
        module = importlib.import_module(MOVED.get(module_name, module_name))
        found = getattr(module, class_name)
    except (ModuleNotFoundError, AttributeError, SystemExit) as error:
        lacking = getattr(error, "name", None) if isinstance(error, ImportError) else None
        hint = "give it as module:Class in config/methods.yaml"
        if isinstance(error, SystemExit):
            hint = "its module ends Python when it is imported: see there"
        elif lacking and not f"{module_name}.".startswith(f"{lacking}."):
            hint = f"install what it needs: {lacking}"
        told = f"{type(error).__name__}: {error}" if isinstance(error, SystemExit) else error
        raise ReladError(
            f"method {name!r}: class {entry.class_!r} cannot be loaded ({told})", hint=hint
        ) from None
    if not (isinstance(found, type) and issubclass(found, Method)):
        raise ReladError(f"method {name!r}: {entry.class_!r} is no class of a method")
    return found


def build(name: str, entry: TrainedMethod, *, inputs: int, tracers: int) -> Method:
    """Build a method from its entry in the configuration, for so many MRI channels and tracers.

    Raises
    ------
    ReladError
        Where the class does not exist or does not take one of the parameters or its value. What a
        class of another distribution takes is for itself to say.
    """
    cls = class_of(name, entry)
    ours = cls.__module__.partition(".")[0] in PACKAGES
    try:
        if ours:
            require_known(cls, entry.params)
            require_kinds(cls, entry.params)
        method = cls(inputs=inputs, tracers=tracers, **entry.params)
        for key, optimizer in method.optimizers.items() if ours else ():
            for group in optimizer.param_groups:
                require_within(0, above=True, **{f"learning rate of {key}:": float(group["lr"])})
    except (TypeError, ValueError) as error:
        raise ReladError(f"method {name!r}: {error}") from None
    except (ArithmeticError, LookupError, AttributeError, RuntimeError, AssertionError) as error:
        if not ours:
            raise  # its author needs to see where
        raise ReladError(
            f"method {name!r} cannot be built: {type(error).__name__}: "
            f"{' '.join(str(error).split())}",
            hint="look at its parameters",
        ) from None
    return method
