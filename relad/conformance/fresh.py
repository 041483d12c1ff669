"""What is done in a process that knows nothing of this one: images of saved models, and trainings.

What a method keeps outside of its model, on a class or in a module, is not there, and the words of
a set come in another order.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from relad.compute.devices import autocast
from relad.conformance.candidate import SAMPLING, Training
from relad.conformance.errors import said
from relad.conformance.watching import ERRORS
from relad.data.batch import Condition
from relad.data.dataset import PackedDataset
from relad.methods.synthesis import load_model
from relad.study.settings import TrainSettings
from relad.training.loop import Trainer

#: By what Python's hashes of words, and so the order of a set of them, are chosen.
HASHES = "PYTHONHASHSEED"


@dataclass(frozen=True)
class Task:
    """An image to be made of the condition that stands in the model's folder."""

    model: Path
    precision: str

    @property
    def given(self) -> Path:
        return self.model / "given.pt"

    @property
    def image(self) -> Path:
        return self.model / "image.pt"


def task_of(training: Training, model: Path, given: Condition) -> Task:
    task = Task(model, training.precision)
    random = [generator.get_state() for generator in training.random(given)]
    torch.save({"given": vars(given), "random": random}, task.given)
    return task


def images_of(tasks: Sequence[Task]) -> list[Tensor | str]:
    """The images, or in place of one what went wrong; all are made in one fresh process."""
    ended = _run(_work, tasks)
    return [torch.load(task.image) if task.image.exists() else ended for task in tasks]


def state_of(trainer: Trainer, updates: int, folder: Path) -> Mapping[str, Any] | str:
    """State of the method after some updates of a training like this one, or what went wrong."""
    file = folder / "fresh.pt"
    settings = TrainSettings(training=trainer.options, methods={trainer.name: trainer.entry})
    of = {"fold": trainer.fold, "seed": trainer.seed}
    ended = _run(_train, file, updates, trainer.data.path, trainer.name, settings, of)
    return torch.load(file, weights_only=False) if file.exists() else ended


def _run(work: Callable[..., None], *args: Any) -> str:
    """Do some work in a fresh process, and tell how that ended.

    It is forked from a server that has imported torch and relad alone, which serves later calls
    too: to start Python anew takes seconds.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    here = (
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.backends.mkldnn.enabled,
    )
    process = context.Process(target=_begin, args=(here, work, args))
    main = sys.modules["__main__"]
    # Otherwise the script that is running here would be run there again.
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        with _other_order_of_sets():
            process.start()
    finally:
        sys.modules["__main__"] = main
    process.join()
    return f"its process ended with {process.exitcode}"


@contextmanager
def _other_order_of_sets() -> Iterator[None]:
    """Let a server that is started now hash words otherwise than this process does."""
    before = os.environ.get(HASHES)
    os.environ[HASHES] = "2" if before == "1" else "1"
    try:
        yield
    finally:
        os.environ.pop(HASHES)
        if before is not None:
            os.environ[HASHES] = before


def _begin(here: tuple[int, bool, bool], work: Callable[..., None], args: tuple[Any, ...]) -> None:
    threads, deterministic, onednn = here
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    torch.backends.mkldnn.enabled = onednn
    work(*args)


def _train(
    file: Path, updates: int, cohort: Path, name: str, settings: TrainSettings, of: dict[str, int]
) -> None:
    made: Mapping[str, Any] | str
    try:
        trainer = Trainer(PackedDataset(cohort), name, settings, **of)
        while trainer.done < updates:
            trainer.step()
        made = trainer.method.state_dict()
    except ERRORS as error:
        made = said(error)
    torch.save(made, file)


def _work(tasks: Sequence[Task]) -> None:
    for task in tasks:
        made: Tensor | str
        try:
            made = _image(task)
        except ERRORS as error:
            made = said(error)
        torch.save(made, task.image)


def _image(task: Task) -> Tensor:
    method, _, _ = load_model(task.model, torch.device("cpu"))
    stored = torch.load(task.given)
    given = Condition(**stored["given"])
    random = [torch.Generator() for _ in stored["random"]]
    for generator, state in zip(random, stored["random"], strict=True):
        generator.set_state(state)
    with autocast(given.mri.device, task.precision):
        return method.synthesize(given, sampling=SAMPLING, random=random).detach().clone()
