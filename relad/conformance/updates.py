"""The checks of what a method does in training: its updates, and what is kept of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from relad.compute import parallel
from relad.conformance import fresh
from relad.conformance.candidate import (
    PHASES,
    ROUNDING,
    SAMPLING,
    Candidate,
    Failure,
    Skip,
    Training,
    Unfit,
)
from relad.conformance.cohort import PET
from relad.conformance.errors import attempt
from relad.conformance.watching import (
    ERRORS,
    attributes_of,
    before_steps,
    change,
    copied,
    outermost_calls,
    put,
    same,
    undisturbed,
    weights_of,
    with_gradient,
)
from relad.data.scaling import KINDS
from relad.methods.method import Method, build
from relad.training.logs import Log
from relad.training.validation import with_generator

#: Updates of the training that is begun in a process of its own.
EARLY = 2


def builds(of: Candidate) -> None:
    """The class takes the entry's parameters and has a generator and optimizers.

    The class must be a subclass of relad.methods.method.Method whose constructor takes inputs and
    tracers as keywords, beside the entry's params; it sets self.generator, an nn.Module, and
    self.optimizers, a dict. Everything else it learns belongs into the module too.
    """
    try:
        entry = of.settings.methods[of.name]
        with attempt(f"{entry.class_}"):
            method = build(of.name, entry, inputs=len(entry.inputs), tracers=len(PET))
        if not isinstance(method, Method):
            raise Failure(f"{type(method).__name__} is no subclass of Method")
        for attribute, kind in (("generator", nn.Module), ("optimizers", dict)):
            if not isinstance(getattr(method, attribute, None), kind):
                raise Failure(f"self.{attribute} is no {kind.__name__}")
        for scaling in KINDS:
            of.trainer(scaling)
    except ERRORS:
        of.trained = _unfit("builds")
        raise


def leaves(of: Candidate) -> None:
    """What is others' is left as it was: gradients, default dtype, threads, and the mode.

    What a method sets for all changes the methods that run after it, and the training loop, which
    sets train() and eval(). Use contexts that end (with torch.no_grad():, or as a decorator) and
    the dtype and device arguments of tensors; never call torch.set_... and leave it so.
    """
    for scaling, training in of.each():
        training.images(training.test().condition)
        training.update(training.twin(), training.batch())
        with undisturbed() as changed:
            training.twin()
        changed = training.disturbed + [f"the constructor changes {name}" for name in changed]
        if changed:
            raise Failure(f"{scaling}: {changed[0]}")


def _unfit(check: str) -> Callable[[str], Training]:
    def trained(scaling: str) -> Training:
        raise Unfit(check)

    return trained


def trains(of: Candidate) -> None:
    """Updates run in both data scalings, and return finite losses.

    update(batch, progress=, random=) does one update and returns a dict of the losses to log, each
    a scalar tensor, detached, so that the log holds no graph in memory, and none by the name of a
    column of the log's own. A loss that is not finite would end the training.
    """
    for scaling in KINDS:
        try:
            training = of.trained(scaling)
        except Unfit as cause:
            if str(cause) == "trains":  # the very error
                Training(of.trainer(scaling), of.folder / f"{scaling}.pt")
            raise
        for losses in training.losses:
            if not losses:
                raise Failure(f"{scaling}: update returns no loss")
            for name, value in losses.items():
                if name in Log.COLUMNS:
                    raise Failure(
                        f"{scaling}: a loss is called {name!r}, as a column of the log's own"
                    )
                if not isinstance(value, Tensor) or value.ndim:
                    raise Failure(f"{scaling}: loss {name!r} is no scalar tensor")
                if value.requires_grad:
                    raise Failure(f"{scaling}: loss {name!r} is not detached")
                if not torch.isfinite(value):
                    raise Failure(f"{scaling}: loss {name!r} is {float(value)}")


def descends(of: Candidate) -> None:
    """Weights change by descend: gradients averaged over processes, then limited.

    Call self.descend(name, loss) with the name of one of self.optimizers, for every step. An
    optimiser that is stepped otherwise heeds neither training.clip_norm nor the other processes of
    a training; one outside self.optimizers has no learning rate of the study's and no place in
    checkpoints. What synthesises takes one step an update: methods are compared at equal numbers of
    them. A discriminator may take more. The training loop sets every learning rate before an update
    (lr_factor): at 0 nothing may move.
    """
    training = of.trained(KINDS[0])
    if not any([_descends(training, progress) for progress in PHASES]):
        raise Skip("no optimizer takes a step in an update")


def _descends(training: Training, progress: float) -> bool:
    """Whether any optimizer takes a step in an update; every step is checked."""
    method = training.twin()
    averaged: set[int] = set()
    steps: list[str] = []
    wrong: list[str] = []
    names = {id(optimizer): name for name, optimizer in method.optimizers.items()}

    def look(optimizer: torch.optim.Optimizer) -> None:
        name = names.get(id(optimizer))
        steps.append(name or "")
        gradients = [p.grad for p in with_gradient(optimizer)]
        norm = float(nn.utils.get_total_norm(gradients))
        if name is None:
            wrong.append(f"a {type(optimizer).__name__} outside of optimizers takes a step")
        elif not {id(g) for g in gradients} <= averaged:
            wrong.append(f"gradients of optimizer {name!r} are not averaged over processes")
        elif norm > limit * (1 + 1e-4):
            wrong.append(f"a gradient of norm {norm:.3g} passes the limit {limit:.3g} at {name!r}")
        averaged.clear()

    def average(gradients: Sequence[Tensor]) -> None:
        averaged.update(map(id, gradients))

    method.clip_norm = limit = 1e-6
    before = copied(dict(method.generator.named_parameters()))
    with before_steps(look), put(parallel, average_=average):
        training.update(method, training.batch(), progress=progress)
    if wrong:
        raise Failure(wrong[0])
    inside = set(method.generator.parameters())
    for name, optimizer in method.optimizers.items():
        if steps.count(name) > 1 and not inside.isdisjoint(weights_of(optimizer)):
            raise Failure(f"optimizer {name!r} takes {steps.count(name)} steps in an update, not 1")
    if not steps and not same(before, dict(method.generator.named_parameters())):
        raise Failure("the generator changes without a step of any optimizer")
    still = training.twin()
    for optimizer in still.optimizers.values():
        for group in optimizer.param_groups:
            group["lr"] = 0.0 * group["lr"]
    training.update(still, training.batch(), progress=progress)
    if not same(before, dict(still.generator.named_parameters())):
        raise Failure("the generator changes though every learning rate is 0")
    return bool(steps)


def field_of_view(of: Candidate) -> None:
    """Brain that a PET does not show teaches nothing.

    PET may end below the vertex. Such voxels are no part of batch.mask and batch.pet holds the
    background there: take means with batch.brain_mean, pass what a discriminator judges through
    batch.in_brain, and leave out batch.unseen where a loss counts the background too. Otherwise
    the method learns to make no uptake there.
    """
    for scaling, training in of.each():
        for progress in PHASES:
            _judges_what_is_seen(training, scaling, progress)


def _judges_what_is_seen(training: Training, scaling: str, progress: float) -> None:
    method, batch = training.twin(), training.batch()
    made: list[Tensor] = []

    # Gradients of images: of the outermost part, so that nothing behind it mixes their voxels.
    def look(_: nn.Module, output: Any) -> None:
        for image in output if isinstance(output, tuple | list) else [output]:
            if (
                isinstance(image, Tensor)
                and image.shape == batch.mask.shape
                and image.requires_grad
            ):
                image.register_hook(made.append)

    with outermost_calls(method.generator, look):
        training.update(method, batch, progress=progress)
    pulled = max((float(g[batch.unseen].abs().max()) for g in made), default=0.0)
    if pulled:
        raise Failure(f"{scaling}: a loss depends on images where their PET shows nothing")
    if not made:
        other = replace(batch, pet=torch.where(batch.unseen, batch.pet + 1, batch.pet))
        again = training.twin()
        training.update(again, other, progress=progress)
        if not same(method.state_dict(), again.state_dict()):
            raise Failure(f"{scaling}: what PET holds where it shows nothing is learnt")


def repeats(of: Candidate) -> None:
    """A training that is run again ends with the same weights.

    The same fold and seed must give the same bits on the CPU, in a process of its own too, where
    words have other hashes. All random numbers of an update come from its argument random; nothing
    may hang on time, on the order of a set (sort it), or on what another instance of the class did.
    """
    training = of.trained(KINDS[0])
    again = of.trainer(KINDS[0])
    early: dict[str, Any] = {}
    while again.done < training.broken_off:
        again.step()
        if again.done <= EARLY:
            number, early = again.done, deepcopy(again.method.state_dict())
    state = torch.load(training.checkpoint, weights_only=False)
    if not same(state["method"], again.method.state_dict()):
        raise Failure(f"after {again.done} updates two trainings of one seed differ")
    elsewhere = fresh.state_of(again, number, of.folder)
    if isinstance(elsewhere, str):
        raise Failure(f"in a process of its own: {elsewhere}")
    if not same(early, elsewhere):
        raise Failure(f"after {number} updates a training in a process of its own differs")


def resumes(of: Candidate) -> None:
    """A training that is broken off and taken up again ends with the same weights.

    What prepare or an update leaves behind must be in the state: a buffer (register_buffer), a
    parameter, or get_extra_state and set_extra_state for counters and the like, as tensors, since
    checkpoints hold no pickled objects. All optimisers stand in self.optimizers. No other attribute
    may tell a training that was taken up again from an unbroken one: sooner or later it is used.
    """
    training = of.trained(KINDS[0])
    again = of.trainer(KINDS[0])
    if not again.load_checkpoint(training.checkpoint):
        raise Failure("its checkpoint cannot be read without unpickling objects")
    with attempt("after it is taken up again"), undisturbed():
        while again.done < again.total:
            again.step()
    for name, one, other in (
        ("method", training.method, again.method),
        ("moving average", training.trainer.average.network, again.average.network),
    ):
        if not same(one.state_dict(), other.state_dict()):
            raise Failure(f"the {name} differs at the end from that of an unbroken training")
    taken_up = attributes_of(again.method)
    for name, value in attributes_of(training.method).items():
        changed = not same(
            value, training.attributes.get(name)
        )  # since a time of day may stand there
        if changed and not same(value, taken_up.get(name)):
            raise Failure(f"{name} of the method is another at the end than in an unbroken one")


def reloads(of: Candidate) -> None:
    """The saved model makes the images that the trained one makes.

    A model is the moving average of the weights of self.generator, and nothing else: synthesize
    must use self.generator (not another name for it), and what it needs beside must follow from the
    parameters of the constructor, or be a buffer of the generator. Nothing else outlives the
    process that trained: no plain attribute, none of the class, no variable of the module.
    """
    tasks, wanted = [], []
    for scaling, training in of.each():
        folder = of.folder / f"model-{scaling}"
        training.trainer.write(folder)
        given = training.test().condition
        training.images(given)  # if these are none, the check of images tells it
        averaged = with_generator(training.method, training.trainer.average.network, SAMPLING)
        with undisturbed(), training.arithmetic(given):
            image = averaged(given, training.random(given)).clone()
        tasks.append(fresh.task_of(training, folder, given))
        wanted.append((scaling, image, given.mask))
    for (scaling, image, mask), made in zip(wanted, fresh.images_of(tasks), strict=True):
        if isinstance(made, str):
            raise Failure(f"{scaling}: the saved model in a process of its own: {made}")
        if not (off := change(image, made, mask)) < ROUNDING:
            raise Failure(
                f"{scaling}: images of the saved model, made in a process of its own, are off by "
                f"{off:.2g} of their sd"
            )
