"""The checks, in the order in which they are made; see :mod:`relad.conformance`.

A docstring's first line is what holds. What follows is printed where it does not: what would be
wrong, and what to do.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields, replace
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from relad.compute import parallel
from relad.conformance import fresh
from relad.conformance.candidate import (
    GRID,
    ODD_GRID,
    SAMPLING,
    Candidate,
    Failure,
    Skip,
    Training,
    Unfit,
    before_steps,
    change,
    copied,
    global_seed,
    global_states,
    put,
    same,
    undisturbed,
    with_gradient,
    without_mixing,
)
from relad.conformance.cohort import PET, UNSEEN
from relad.conformance.errors import attempt
from relad.conformance.learning import fits, learns, optimizers
from relad.data.batch import Batch, Condition
from relad.data.scaling import KINDS
from relad.methods.method import Method, build
from relad.study.sampling import SAMPLERS, Sampling, evaluations_of
from relad.training.validation import with_generator

#: Least change of an image, as a share of its own standard deviation, that counts as dependence:
#: far above rounding (1e-6) and far below what a difference in tracer or MRI means to PET.
LEAST = 1e-3
#: The same of time, by which layers are modulated whose branches start at zero: after so short a
#: training 0.0007 in a latent diffusion, 0.004 and more in others.
LEAST_OF_TIME = 1e-4
#: Largest change by rounding alone, where the same is computed in another order.
ROUNDING = 1e-4
#: Largest change inside the brain where its outline loses a voxel, a third of so small a brain.
#: Local averages over the brain change by 0.13, diffusion, which sets the outside, by 0.01, one
#: whose filters reach across the brain by 0.41; division by the brain's volume makes 1.
OUTLINE = 0.6
#: Steps by which samplers make different images; of fewer some agree.
STEPS_OF_NAMES = 5


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
    except Exception:
        of.trained = _unfit("builds")
        raise


def leaves(of: Candidate) -> None:
    """What belongs to the whole process is left as it was: gradients, default dtype, threads.

    What a method sets for all changes the methods that run after it, and the training loop. Use
    contexts that end (with torch.no_grad():, or as a decorator) and the dtype and device arguments
    of tensors; never call torch.set_... and leave it so.
    """
    for scaling, training in of.each():
        training.images(training.test().condition)
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
    a scalar tensor, detached, so that the log holds no graph in memory. A loss that is not finite
    would end the training.
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
    checkpoints.
    """
    training = of.trained(KINDS[0])
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
        training.update(method, training.batch())
    if wrong:
        raise Failure(wrong[0])
    if not steps and not same(before, dict(method.generator.named_parameters())):
        raise Failure("the generator changes without a step of any optimizer")
    if not steps:
        raise Skip("no optimizer takes a step in an update")


def field_of_view(of: Candidate) -> None:
    """Brain that a PET does not show teaches nothing.

    PET may end below the vertex. Such voxels are no part of batch.mask and batch.pet holds the
    background there: take means with batch.brain_mean, pass what a discriminator judges through
    batch.in_brain, and leave out batch.unseen where a loss counts the background too. Otherwise
    the method learns to make no uptake there.
    """
    for scaling, training in of.each():
        method, batch = training.twin(), training.batch()
        made: list[Tensor] = []
        with _images_of(method.generator, batch.mask.shape, made):
            training.update(method, batch)
        pulled = max((float(g[batch.unseen].abs().max()) for g in made), default=0.0)
        if pulled:
            raise Failure(f"{scaling}: a loss depends on images where their PET shows nothing")
        if not made:
            other = replace(batch, pet=torch.where(batch.unseen, batch.pet + 1, batch.pet))
            again = training.twin()
            training.update(again, other)
            if not same(method.state_dict(), again.state_dict()):
                raise Failure(f"{scaling}: what PET holds where it shows nothing is learnt")


@contextmanager
def _images_of(module: nn.Module, shape: torch.Size, found: list[Tensor]) -> Iterator[None]:
    """Note the gradient of every image of this shape that comes out of a network or its parts.

    Of the outermost part that is called, so that nothing behind it mixes its voxels.
    """
    depth = 0

    def enter(*_: Any) -> None:
        nonlocal depth
        depth += 1

    def leave(_: nn.Module, __: Any, output: Any) -> None:
        nonlocal depth
        depth -= 1
        made = output if isinstance(output, tuple | list) else [output]
        for image in made if depth == 0 else ():
            if isinstance(image, Tensor) and image.shape == shape and image.requires_grad:
                image.register_hook(found.append)

    handles = [
        handle
        for part in module.modules()
        for handle in (part.register_forward_pre_hook(enter), part.register_forward_hook(leave))
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def shares(of: Candidate) -> None:
    """Two processes, each with half of a batch, learn what one does of the whole.

    Losses must be means over the batch, not sums, and no sample's loss may hang on the others;
    random numbers come from relad.compute.randomness (rand, randn), which gives every process
    those of its own samples. What buffers take from a batch (moments, counts) is averaged over
    processes by relad.compute.parallel (average_, total). Otherwise the result changes with the
    number of GPUs.
    """
    training = of.trained(KINDS[0])
    if training.method.single_pass:
        raise Skip("a closed-form method sees every pair in one process")
    for progress in (0.0, 0.5):  # a method may learn in phases
        alone, whole = _shared(training, [training.batch(slice(4))], progress)
        both, halves = _shared(
            training, [training.batch(slice(2)), training.batch(slice(2, 4))], progress
        )
        if not alone[0]:
            raise Skip("no gradient is averaged, see descends")
        _require_gradients(alone[0], both[0])
        before = _kept(training.method)
        for state in halves:
            _require_state(before, _kept(whole[0]), _kept(state))


def _require_gradients(alone: list[Tensor], both: list[Tensor]) -> None:
    if len(alone) != len(both):
        raise Failure(f"two processes average {len(both)} times in an update, one {len(alone)}")
    for number, gradient in enumerate(alone):
        share = both[number]
        if share.shape != gradient.shape:
            raise Failure(f"what two processes average in step {number + 1} has another size")
        norm = float(torch.linalg.norm(gradient))
        ratio = float(torch.linalg.norm(share - gradient)) / max(norm, 1e-12)
        if not ratio < 0.02:
            raise Failure(
                f"the gradient of step {number + 1} differs by {ratio:.2g} of its norm, and is "
                f"{float(torch.linalg.norm(share)) / max(norm, 1e-12):.2g} times as large"
            )


def _kept(method: Method) -> dict[str, Tensor]:
    """What a method keeps beside the parameters that gradients change."""
    learnt = {name for name, weight in method.named_parameters() if weight.requires_grad}
    state = method.state_dict()
    return {k: v for k, v in state.items() if isinstance(v, Tensor) and k not in learnt}


def _require_state(
    before: dict[str, Tensor], alone: dict[str, Tensor], both: dict[str, Tensor]
) -> None:
    for name, value in alone.items():
        share = both.get(name)
        if share is None or share.shape != value.shape:
            raise Failure(f"{name} has another shape in two processes than in one")
        old, value, share = before.get(name), value.double(), share.double()
        moved = value - old.double() if old is not None and old.shape == value.shape else value
        off = float(torch.linalg.norm(share - value))
        if not off <= 0.02 * float(torch.linalg.norm(moved)) + 1e-5 * float(
            torch.linalg.norm(value)
        ):
            raise Failure(f"{name} is another in two processes than in one")


def _shared(
    training: Training, parts: list[Batch], progress: float
) -> tuple[list[list[Tensor]], list[Method]]:
    """Averaged gradients of every descent of one update, by process, and the methods after it.

    Processes are threads here, which wait for each other where something is averaged.
    """
    here = threading.local()
    meeting = threading.Barrier(len(parts), timeout=120)
    board: list[Any] = [None] * len(parts)
    seen: list[list[Tensor]] = [[] for _ in parts]
    errors: list[BaseException] = []

    def average(gradients: Sequence[Tensor]) -> None:
        board[here.rank] = torch.cat([g.detach().reshape(-1) for g in gradients])
        meeting.wait()
        mean = torch.stack(board).mean(0)
        meeting.wait()
        seen[here.rank].append(mean)
        for gradient, part in zip(
            gradients, mean.split([g.numel() for g in gradients]), strict=True
        ):
            gradient.copy_(part.view_as(gradient))

    @torch.no_grad()
    def total(values: Tensor) -> Tensor:
        board[here.rank] = values.clone()
        meeting.wait()
        values.copy_(torch.stack(board).sum(0))
        meeting.wait()
        return values

    def work(rank: int, method: Method) -> None:
        here.rank = rank
        try:
            training.update(method, parts[rank], progress=progress)
        except BaseException as error:
            errors.append(error)
            meeting.abort()

    methods = [training.twin() for _ in parts]
    for method in methods:
        without_mixing(method)
    with put(
        parallel,
        average_=average,
        total=total,
        size=lambda: len(parts),
        rank=lambda: here.rank,
    ):
        threads = [threading.Thread(target=work, args=each) for each in enumerate(methods)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    if errors:
        raise next(
            (e for e in errors if not isinstance(e, threading.BrokenBarrierError)), errors[0]
        )
    return seen, methods


def repeats(of: Candidate) -> None:
    """A training that is run again ends with the same weights.

    The same fold and seed must give the same bits on the CPU. All random numbers of an update come
    from its argument random; nothing may hang on time, on the order of a set, or on what another
    instance of the class did.
    """
    training = of.trained(KINDS[0])
    again = of.trainer(KINDS[0])
    while again.done < training.half:
        again.step()
    state = torch.load(training.checkpoint, weights_only=False)
    if not same(state["method"], again.method.state_dict()):
        raise Failure(f"after {again.done} updates two trainings of one seed differ")


def resumes(of: Candidate) -> None:
    """A training that is broken off and taken up again ends with the same weights.

    What prepare or an update leaves behind must be in the state: a buffer (register_buffer), a
    parameter, or get_extra_state and set_extra_state for counters and the like, as tensors, since
    checkpoints hold no pickled objects. All optimisers stand in self.optimizers.
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


def images(of: Candidate) -> None:
    """Images have the shape of PET, are finite in the brain, and carry no gradient, by any sampler.

    synthesize returns y of relad.data.scaling as (b, 1, x, y, z) in floating point, under
    torch.no_grad(). What lies outside the brain is not used.
    """
    for scaling, training in of.each():
        given = training.test().condition
        for sampler in SAMPLERS:
            image = training.images(given, sampling=Sampling(sampler, 2))
            where = f"{scaling}, {sampler}"
            if not image.is_floating_point():
                raise Failure(f"{where}: {image.dtype} is no floating point")
            if image.requires_grad:
                raise Failure(f"{where}: the image carries a gradient")
            _require_image(image, given, where)


def _require_image(image: Tensor, given: Condition, where: str) -> None:
    if image.shape != given.mask.shape:
        raise Failure(f"{where}: shape {tuple(image.shape)} for {tuple(given.mask.shape)}")
    if not torch.isfinite(image[given.mask]).all():
        raise Failure(f"{where}: not finite in the brain")


def odd_sizes(of: Candidate) -> None:
    """Volumes may have any number of voxels along each axis.

    A study chooses its grid. Networks with strides pad their input to a multiple of these and crop
    their output, as relad.methods.networks.blocks.padded does.
    """
    training = of.trained(KINDS[0])
    for grid in (ODD_GRID, GRID):
        trainer = of.trainer(KINDS[0], grid=grid)
        where = " x ".join(map(str, grid))
        with attempt(where), undisturbed():
            trainer.step()
            given = trainer.loader.load(0).condition
            image = training.images(given, trainer.method)
        _require_image(image, given, where)


def one_volume(of: Candidate) -> None:
    """A batch may hold a single volume.

    training.batch_size may be 1, and an epoch's last batch may be shorter than the others. No
    squeeze() may take away the axis of the batch, and no statistic may need two samples.
    """
    training = of.trained(KINDS[0])
    method, one = training.twin(), training.batch(slice(1))
    with attempt("one volume"):
        losses, image = training.update(method, one), training.images(one.condition, method)
    for name, value in losses.items():
        if not torch.isfinite(value):
            raise Failure(f"loss {name!r} is {float(value)}")
    _require_image(image, one.condition, "one volume")


def one_mri(of: Candidate) -> None:
    """A single MRI may be all that a method is given.

    The entry's inputs may name T1w or FLAIR alone. Build networks for as many channels as inputs
    says, and take none of batch.mri by a number that is written into the code.
    """
    given_mri = of.settings.methods[of.name].inputs
    if len(given_mri) == 1:
        raise Skip("its entry gives it one")
    for scaling, training in of.each():
        where = f"{scaling}: {given_mri[0]} alone"
        with attempt(where), undisturbed():
            trainer = of.trainer(scaling, inputs=given_mri[:1])
            trainer.step()
            given = trainer.loader.load(0).condition
            image = training.images(given, trainer.method)
        _require_image(image, given, where)


def new_tracer(of: Candidate) -> None:
    """A tracer of the study that no training PET was of makes no image fail.

    Folds may leave a rare tracer without training PET. Its images mean nothing and are not used,
    but those of the same batch are: the method must go on and give finite values, so nothing may be
    divided by a tracer's count of zero.
    """
    for scaling, training in of.each():
        given = training.test().condition
        mixed = replace(given, tracer=torch.tensor([int(given.tracer[0]), UNSEEN]))
        with attempt(scaling):
            image = training.images(mixed)
        _require_image(image, mixed, scaling)


# --- what an image depends on ---------------------------------------------------------------------


def tracer(of: Candidate) -> None:
    """Images depend on the tracer, in both data scalings.

    A method that does not see the tracer makes the mean of all tracers. Constant channels are
    removed exactly by an instance normalisation that follows them: modulate features after the
    normalisation, or embed the tracer where nothing takes it out.
    """
    for scaling, training in of.each():
        given = training.test().condition
        other = replace(given, tracer=given.tracer.flip(0))
        _require_dependence(training, given, other, f"{scaling}: the other tracer")


def mri(of: Candidate) -> None:
    """Images depend on every MRI channel that the method is given, in both data scalings.

    inputs counts the channels, which are twice as many where deviations from the mean are given
    beside the MRI: a network must take all of them. A floor that is to know nothing of the person
    says reads_mri = False, and then may not depend on any.
    """
    for scaling, training in of.each():
        given = training.test().condition
        theirs = torch.where(given.mask, given.mri.flip(0), given.mri)
        for name, channels in training.channels().items():
            other = replace(given, mri=given.mri.clone())
            other.mri[:, channels] = theirs[:, channels]
            what = f"{scaling}: another person's {name}"
            if training.method.reads_mri:
                _require_dependence(training, given, other, what)
            elif not same(training.images(given), training.images(other)):
                raise Failure(f"{what} changes the image, though reads_mri is False")


def _require_dependence(training: Training, a: Condition, b: Condition, what: str) -> None:
    by = change(training.images(a), training.images(b), a.mask)
    if not by > LEAST:
        raise Failure(f"{what} changes the image by {by:.1g} of its sd (at least {LEAST:g})")


def noise(of: Candidate) -> None:
    """Images depend on their random numbers where the method is stochastic, and else not at all.

    The same random numbers must give the same image. A method of which stochastic is True draws a
    sample: other numbers must show. Of any other, several samples would be one image, and its
    spread a zero that means nothing; say stochastic = True where it does draw.
    """
    for scaling, training in of.each():
        given = training.test().condition
        one, again, other = (training.images(given, seed=seed) for seed in (0, 0, 1))
        if not same(one, again):
            raise Failure(f"{scaling}: the same random numbers give another image")
        by = change(one, other, given.mask)
        if training.method.stochastic and not by > LEAST:
            raise Failure(
                f"{scaling}: other random numbers change the image by {by:.1g} of its sd (at least "
                f"{LEAST:g}), though stochastic is True"
            )
        if not training.method.stochastic and not same(one, other):
            raise Failure(
                f"{scaling}: other random numbers change the image by {by:.1g} of its sd, though "
                "stochastic is False"
            )


def time(of: Candidate) -> None:
    """A network that is evaluated at several times sees which time it is.

    In a method of several steps one argument of the generator, or of a part of it, tells the time:
    a number, or one per sample. With another time in its place the output must change; otherwise
    the network makes the same of noise and of an almost finished image. Embed t, and add it where
    no normalisation takes it out.
    """
    for scaling, training in of.each():
        method = training.method
        if method.evaluations(SAMPLING) == method.evaluations(Sampling(SAMPLING.sampler, 1)):
            raise Skip("the number of steps makes no difference to its evaluations")
        given = training.test().condition
        module, calls, places = _timed_part(training, given)
        if module is None:
            raise Failure(f"{scaling}: no argument of the generator changes from step to step")
        method.eval()
        try:
            with torch.no_grad():
                args, kwargs = calls[-1]
                right = _first(module(*args, **kwargs))
                for place in places:
                    args, kwargs = _with_argument(calls[-1], place, _argument(calls[0], place))
                by = change(right, _first(module(*args, **kwargs)), torch.ones_like(right).bool())
        finally:
            method.train()
        if not by > LEAST_OF_TIME:
            raise Failure(
                f"{scaling}: another time changes the network's output by {by:.1g} of its sd (at "
                f"least {LEAST_OF_TIME:g})"
            )


Call = tuple[tuple[Any, ...], dict[str, Any]]


def _timed_part(
    training: Training, given: Condition
) -> tuple[nn.Module | None, list[Call], list[int | str]]:
    """The outermost part of the generator that is told the time, its calls, and by which arguments.

    Such an argument is a number, or one per sample, and changes from call to call.
    """
    modules = list(training.method.generator.modules())
    calls = _calls(modules, partial(training.images, given))
    count = len(given.tracer)
    for module in modules:
        of_module = [call for caller, call in calls if caller is module]
        if len(of_module) < 2:
            continue
        places = [
            place
            for place in [*range(len(of_module[0][0])), *of_module[0][1]]
            if all(_is_number(_argument(call, place), count) for call in of_module)
            and not same(_argument(of_module[0], place), _argument(of_module[-1], place))
        ]
        if places:
            return module, of_module, places
    return None, [], []


def _calls(modules: list[nn.Module], work: Callable[[], object]) -> list[tuple[nn.Module, Call]]:
    """Every call of some modules while ``work`` is done."""
    found: list[tuple[nn.Module, Call]] = []
    handles = [
        module.register_forward_pre_hook(
            lambda module, args, kwargs: found.append((module, (args, kwargs))), with_kwargs=True
        )
        for module in modules
    ]
    try:
        work()
    finally:
        for handle in handles:
            handle.remove()
    return found


def _is_number(value: Any, count: int) -> bool:
    if isinstance(value, Tensor):
        return value.numel() in (1, count) and value.shape[1:].numel() == 1
    return isinstance(value, int | float)


def _argument(call: Call, place: int | str) -> Any:
    args, kwargs = call
    return args[place] if isinstance(place, int) else kwargs[place]


def _with_argument(call: Call, place: int | str, value: Any) -> Call:
    args, kwargs = list(call[0]), dict(call[1])
    if isinstance(place, int):
        args[place] = value
    else:
        kwargs[place] = value
    return tuple(args), kwargs


def _first(output: Any) -> Tensor:
    return output if isinstance(output, Tensor) else next(iter(output))


def evaluations(of: Candidate) -> None:
    """The number of evaluations that tables state is the number of calls of the generator.

    evaluations(sampling) tells how often the generator runs for one image; a method that takes
    several steps, or runs it twice a step, overrides it. Tables read the number from sampler_name,
    which is to be overridden with it: sampling.name where all of sampling is heeded, else the name
    of what is done, such as Sampling("euler", sampling.steps, sampling.samples).name.
    """
    training = of.trained(KINDS[0])
    given, generator = training.test().condition, training.method.generator
    samplings = [Sampling(sampler, steps) for sampler in SAMPLERS for steps in (SAMPLING.steps, 1)]
    for sampling in (*samplings, replace(SAMPLING, samples=2)):
        told = training.method.evaluations(sampling)
        name = training.method.sampler_name(sampling)
        if evaluations_of(name) is None:
            continue  # a name of its own, beside which tables state no number
        if evaluations_of(name) != told:
            raise Failure(
                f"by {sampling.name} it tells {told} evaluations, and the name {name!r}, which "
                f"stands for {evaluations_of(name)}"
            )
    for sampling in samplings:
        count = len(_calls([generator], partial(training.images, given, sampling=sampling)))
        if not count:
            raise Skip("parts of the generator are called, not the generator itself")
        told = training.method.evaluations(sampling)
        if count != told:
            raise Failure(f"by {sampling.name} the generator runs {count} times, not {told}")


def names(of: Candidate) -> None:
    """Images differ by sampler, steps and temperature where their name does, and only there.

    The name is what tables say of how an image was made. Return sampling.name from sampler_name
    where sampler, steps and temperature are all heeded; else the name of what is done, whatever is
    asked for, such as Sampling("euler", sampling.steps, sampling.samples).name.
    """
    if "evaluations" in of.failed:
        raise Unfit("evaluations")
    training = of.trained(KINDS[0])
    given, base = training.test().condition, Sampling("euler", STEPS_OF_NAMES)
    images: dict[str, Tensor] = {}
    for sampling in (
        base,
        *(replace(base, sampler=other) for other in ("ddpm", "dpmpp")),
        replace(base, steps=base.steps + 1),
        replace(base, temperature=1.5),
    ):
        name = training.method.sampler_name(sampling)
        image = training.images(given, sampling=sampling)
        for other, made in images.items():
            off = change(image, made, given.mask)
            if name != other and not off > ROUNDING:
                raise Failure(f"{name!r} and {other!r} are the same image")
            if name == other and off > ROUNDING:
                raise Failure(
                    f"asked for {sampling.name} the image is another, but {name!r} as before"
                )
        images.setdefault(name, image)


# --- what an image may not depend on --------------------------------------------------------------


def target(of: Candidate) -> None:
    """Images do not depend on the true PET.

    synthesize is given a Condition, which has no PET, and must not look for one: where a batch with
    its PET is passed, the image must be that of its condition alone.
    """
    for scaling, training in of.each():
        batch = training.test()
        for pet in (batch.pet, batch.pet.flip(0)):
            if not same(training.images(batch.condition), training.images(replace(batch, pet=pet))):
                raise Failure(f"{scaling}: the image changes where the true PET is passed along")


def outline(of: Candidate) -> None:
    """The outline of the brain tells where the image ends, and little else.

    Tools of brain extraction draw it differently by a voxel. Inside, an image may not hang on the
    number or the place of the mask's voxels: use the mask to leave out the background, not as an
    input.
    """
    for scaling, training in of.each():
        given = training.test().condition
        smaller = F.avg_pool3d(given.mask.float(), 3, 1, 1) > 1 - 1e-3
        a, b = training.images(given), training.images(replace(given, mask=smaller))
        if not (off := change(a, b, smaller)) < OUTLINE:
            raise Failure(
                f"{scaling}: with a mask one voxel narrower the image inside changes by {off:.2g} "
                f"of its sd (at most {OUTLINE:g})"
            )


def neighbours(of: Candidate) -> None:
    """An image is the same alone and beside others.

    Nothing may be computed over the batch in synthesis: normalisations over it run on their stored
    statistics (eval mode, which is set before synthesize), and every volume draws from its own
    generator of the sequence random.
    """
    for scaling, training in of.each():
        given = training.test().condition
        together = training.images(given)
        for i in range(len(together)):
            alone = training.images(given.sample(i), samples=range(i, i + 1))
            off = change(together[i : i + 1], alone, given.mask[i : i + 1])
            if not off < ROUNDING:
                raise Failure(f"{scaling}: alone an image differs by {off:.2g} of its sd")


def history(of: Candidate) -> None:
    """Synthesis changes nothing: neither the method nor what it is given, and nor does an update.

    An image must not depend on which were made before it, and others use the tensors of a batch
    too. Copy before an operation in place; keep nothing of a batch on self, and return a new
    tensor for every image.
    """
    for scaling, training in of.each():
        batch = training.test()
        given, method = batch.condition, training.twin()
        state, kept = copied(method.state_dict()), _copy(batch)
        for i in range(len(given.tracer)):
            method, one = training.twin(), given.sample(i)
            returned = training.returned(one, method)
            first = returned.clone()
            # Other people, and one with brighter scans: running ranges and means would show.
            for others in (given.sample(1 - i), given, replace(given, mri=2 * given.mri)):
                training.images(others, method)
            if not same(first, returned):
                raise Failure(f"{scaling}: an image that was returned changes with the next")
            if not same(first, training.images(one, method)):
                raise Failure(f"{scaling}: an image differs after others were made")
        if not same(state, method.state_dict()):
            raise Failure(f"{scaling}: synthesis changes the state of the method")
        training.update(method, batch)
        if not same(vars(kept), vars(batch)):
            changed = [
                f.name
                for f in fields(batch)
                if not same(*(getattr(b, f.name) for b in (kept, batch)))
            ]
            raise Failure(f"{scaling}: {', '.join(changed)} of the batch is changed in place")


def _copy(batch: Batch) -> Batch:
    return replace(batch, **{name: value.clone() for name, value in vars(batch).items()})


def global_random(of: Candidate) -> None:
    """Nothing is drawn from the global random state.

    It is not the same in a training that is resumed, in another order of images, or in several
    processes; and who seeds it sets it for all. Draw with relad.compute.randomness (rand, randn)
    from the argument random. Dropout may stay, as a module: the training loop seeds it.
    """
    training = of.trained(KINDS[0])
    states, made = [], []
    for seed in (1, 2):
        method = training.twin()
        without_mixing(method)
        batch = training.batch()
        with global_seed(seed):
            before = global_states()
            made.append(training.images(batch.condition, method))
            training.update(method, batch)
            after = global_states()
        states.append(method.state_dict())
    if not same(*made):
        raise Failure("images change with the global seed")
    if not same(*states):
        raise Failure("updates change with the global seed")
    if changed := [kind for kind in before if not same(before[kind], after[kind])]:
        raise Failure(f"the global random state of {' and '.join(changed)} is another afterwards")


def cuda(of: Candidate) -> None:
    """The method trains and synthesises on a GPU.

    Create tensors on the device of what they meet (device=batch.pet.device) and register constants
    as buffers, so that they move with the method.
    """
    training = of.trained(KINDS[0])
    if not torch.cuda.is_available():
        raise Skip("no CUDA device here")
    batch = training.batch()
    batch = replace(batch, **{name: value.cuda() for name, value in vars(batch).items()})
    method = training.twin("cuda")
    for name, value in training.update(method, batch).items():
        if not torch.isfinite(value):
            raise Failure(f"loss {name!r} is {float(value)}")
    image = training.images(batch.condition, method)
    if image.device != batch.pet.device:
        raise Failure(f"images lie on {image.device}")
    _require_image(image, batch.condition, "cuda")


CHECKS = (
    builds,
    trains,
    repeats,
    resumes,
    leaves,
    learns,
    optimizers,
    descends,
    field_of_view,
    shares,
    reloads,
    images,
    odd_sizes,
    one_volume,
    one_mri,
    fits,
    new_tracer,
    tracer,
    mri,
    noise,
    time,
    evaluations,
    names,
    target,
    outline,
    neighbours,
    history,
    global_random,
    cuda,
)
