"""Images of saved models made in a process that knows nothing but the models.

What a method keeps outside of them, on a class or in a module, is not there.
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import torch
from torch import Tensor

from relad.compute.devices import autocast
from relad.conformance.candidate import SAMPLING, Training
from relad.conformance.errors import said
from relad.data.batch import Condition
from relad.methods.synthesis import load_model


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
    """The images, or in place of one what went wrong; all are made in one fresh process.

    It is forked from a server that has imported torch and relad alone, which serves later calls
    too: to start Python anew takes seconds.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=_work, args=(tasks, torch.get_num_threads()))
    main = sys.modules["__main__"]
    # Otherwise the script that is running here would be run there again.
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        process.start()
    finally:
        sys.modules["__main__"] = main
    process.join()
    ended = f"its process ended with {process.exitcode}"
    return [torch.load(task.image) if task.image.exists() else ended for task in tasks]


def _work(tasks: Sequence[Task], threads: int) -> None:
    torch.set_num_threads(threads)
    for task in tasks:
        made: Tensor | str
        try:
            made = _image(task)
        except Exception as error:
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
