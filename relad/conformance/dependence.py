"""The checks of what an image depends on: tracer, MRI, noise, time, and how it is sampled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from relad.conformance.candidate import (
    ROUNDING,
    SAMPLING,
    Candidate,
    Failure,
    Skip,
    Training,
    Unfit,
)
from relad.conformance.watching import change, outermost_calls, same
from relad.data.batch import Condition
from relad.data.scaling import KINDS
from relad.study.sampling import SAMPLERS, Sampling, evaluations_of

#: Least change of an image, as a share of its own standard deviation, that counts as dependence:
#: far above rounding (1e-6) and far below what a difference in tracer or MRI means to PET.
LEAST = 1e-3
#: The same of time, by which layers are modulated whose branches start at zero: after so short a
#: training 0.0007 in a latent diffusion, 0.004 and more in others.
LEAST_OF_TIME = 1e-4
#: Steps by which samplers make different images; of fewer some agree.
STEPS_OF_NAMES = 5


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
    a number, or one per sample, or where none is, an embedding or a constant channel. With another
    time in its place the output must change, and of the innermost part that is told it with an
    image by every such argument alone; otherwise the network makes the same of noise and of an
    almost finished image. Hand t on, embed it, and add it where no normalisation takes it out.
    """
    for scaling, training in of.each():
        method = training.method
        if method.evaluations(SAMPLING) == method.evaluations(Sampling(SAMPLING.sampler, 1)):
            raise Skip("the number of steps makes no difference to its evaluations")
        given = training.test().condition
        part = _timed_part(training, given)
        if part is None:
            raise Failure(f"{scaling}: no argument of the generator changes from step to step")
        method.eval()
        try:
            with torch.no_grad():
                args, kwargs = part.calls[-1]
                right = _first(part.module(*args, **kwargs))
                for place in part.places:
                    then = _argument(part.calls[0], place)
                    args, kwargs = _with_argument(part.calls[-1], place, then)
                    other = _first(part.module(*args, **kwargs))
                    by = change(right, other, torch.ones_like(right).bool())
                    if not by > LEAST_OF_TIME:
                        raise Failure(
                            f"{scaling}: another time changes the network's output by {by:.1g} of "
                            f"its sd (at least {LEAST_OF_TIME:g}), told as {_name(place)} of "
                            f"{type(part.module).__name__}"
                        )
        finally:
            method.train()


Call = tuple[tuple[Any, ...], dict[str, Any]]
#: An argument by its number or name, or one channel of it.
Place = int | str | tuple[int | str, int]


@dataclass(frozen=True)
class Timed:
    """A part of the generator that is told the time, its calls, and by which arguments.

    Such an argument tells the same of everything in a batch, and changes from call to call.
    """

    module: nn.Module
    calls: list[Call]
    places: list[Place]

    @property
    def sees_image(self) -> bool:
        args, kwargs = self.calls[0]
        return any(isinstance(a, Tensor) and a.ndim > 2 for a in (*args, *kwargs.values()))

    @property
    def weights(self) -> int:
        return sum(weight.numel() for weight in self.module.parameters())


def _timed_part(training: Training, given: Condition) -> Timed | None:
    """What is told the time together with an image, and hands it on to no such part of its own.

    What scales images by the time around a network changes with the time whether or not the network
    sees it. Where nothing is told both, the outermost part that is told the time; where none is
    told it as a number, the outermost that is told it otherwise, with an image if there is one.
    """
    modules = list(training.method.generator.modules())
    calls = _calls(modules, partial(training.images, given))
    count = len(given.tracer)
    timed = list(_told_time(modules, calls, partial(_is_number, count=count)))
    if not timed:
        timed = list(_told_time(modules, calls, partial(_is_one_for_all, count=count)))
        return next((part for part in timed if part.sees_image), next(iter(timed), None))
    seeing = [part for part in timed if part.sees_image]
    names = {part.module for part in seeing}
    inner = [p for p in seeing if names.isdisjoint(set(p.module.modules()) - {p.module})]
    return max(inner, key=lambda part: part.weights, default=next(iter(timed), None))


def _told_time(
    modules: list[nn.Module], calls: list[tuple[nn.Module, Call]], tells: Callable[[Any], bool]
) -> Iterator[Timed]:
    """Parts of which an argument, or a channel of one, tells the time in every call."""
    for module in modules:
        of_module = [call for caller, call in calls if caller is module]
        if len(of_module) < 2:
            continue
        places = [
            place
            for place in _places(of_module[0])
            if all(tells(_argument(call, place)) for call in of_module)
            and not same(_argument(of_module[0], place), _argument(of_module[-1], place))
        ]
        if places:
            yield Timed(module, of_module, places)


def _places(call: Call) -> Iterator[Place]:
    args, kwargs = call
    for place in (*range(len(args)), *kwargs):
        yield place
        value = _argument(call, place)
        if isinstance(value, Tensor) and value.ndim > 2:
            yield from ((place, channel) for channel in range(value.shape[1]))


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


def _is_one_for_all(value: Any, count: int) -> bool:
    """Whether it is an embedding, or a channel of an image, that is the same of every sample."""
    if not isinstance(value, Tensor) or not value.is_floating_point():
        return False
    if value.ndim < 2 or len(value) != count or value.numel() == count:
        return False
    one = value[:1] if value.ndim == 2 else value.flatten()[:1].reshape([1] * value.ndim)
    return same(value, one.expand_as(value))


def _argument(call: Call, place: Place) -> Any:
    if isinstance(place, tuple):
        return _argument(call, place[0])[:, place[1]]
    args, kwargs = call
    return args[place] if isinstance(place, int) else kwargs[place]


def _name(place: Place) -> str:
    if isinstance(place, tuple):
        return f"channel {place[1] + 1} of {_name(place[0])}"
    return f"argument {place}" if isinstance(place, str) else f"argument number {place + 1}"


def _with_argument(call: Call, place: Place, value: Any) -> Call:
    if isinstance(place, tuple):
        place, channel = place
        whole = _argument(call, place).clone()
        whole[:, channel] = value
        value = whole
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

    evaluations(sampling) tells how often the generator runs for one image, or the part of it that
    runs most often; a method that takes several steps, or runs it twice a step, overrides it.
    Tables read the number from sampler_name, which is to be overridden with it: sampling.name where
    all of sampling is heeded, else the name of what is done, such as
    Sampling("euler", sampling.steps, sampling.samples).name.
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
        called: Counter[nn.Module] = Counter()
        with outermost_calls(generator, lambda part, _, called=called: called.update([part])):
            training.images(given, sampling=sampling)
        told, count = training.method.evaluations(sampling), called[generator]
        if count and count != told:
            raise Failure(f"by {sampling.name} the generator runs {count} times, not {told}")
        # Of parts that are called one by one, some may belong to no evaluation, such as a decoder,
        # and what holds no weights, such as an activation, may serve at several places of one.
        learnt = [n for part, n in called.items() if next(part.parameters(), None) is not None]
        if not count and (most := max(learnt, default=0)) > told:
            raise Failure(
                f"by {sampling.name} a part of the generator runs {most} times, not {told}"
            )
        if not called:
            raise Skip("neither the generator nor a part of it is called as a module")


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
