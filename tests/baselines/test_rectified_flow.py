"""Rectified flow: its path, target and samplers, by hand and against MONAI's."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from baselines.rectified_flow import RectifiedFlow, StraightSchedule
from relad.data.batch import Batch
from relad.errors import ReladError
from relad.methods.diffusion import samplers
from relad.study.sampling import Sampling

NETWORK = {"channels": [8, 8]}


def batch(count: int = 2) -> Batch:
    random = torch.Generator().manual_seed(0)
    shape = (count, 1, 8, 6, 10)
    mask = torch.rand(shape, generator=random) > 0.3
    return Batch(
        mri=torch.randn(count, 2, *shape[2:], generator=random),
        tracer=torch.arange(count) % 2,
        mask=mask,
        pet=torch.where(mask, 0.3 * torch.randn(shape, generator=random), -1.0),
        outside=torch.tensor(-1.0),
        unseen=torch.zeros_like(mask),
    )


def flow(**params) -> RectifiedFlow:
    torch.manual_seed(0)
    return RectifiedFlow(inputs=2, tracers=2, network=NETWORK, **params)


def test_path_target_and_loss_by_hand():
    b, method = batch(), flow()
    torch.nn.init.normal_(method.generator.last.weight, std=0.1)
    method.optimizers["generator"].param_groups[0]["lr"] = 0.0
    x_t, target, t = method.noised(b, torch.Generator().manual_seed(3))
    log = method.update(b, progress=0.5, random=torch.Generator().manual_seed(3))
    time = ((t + 1) / 1000).view(-1, 1, 1, 1, 1)
    epsilon = (x_t - (1 - time) * b.pet) / time
    torch.testing.assert_close(target, epsilon - b.pet, atol=1e-4, rtol=1e-4)
    assert epsilon.std().item() == pytest.approx(1.0, abs=0.1)
    with torch.no_grad():
        v = method.generator(torch.cat([x_t, b.mri], 1), b.tracer, t)
    expected = [(v[i] - target[i])[b.mask[i]].square().mean() for i in range(2)]
    assert log["velocity"].item() == pytest.approx(sum(map(float, expected)) / 2, rel=1e-5)


@pytest.mark.parametrize(
    ("options", "mean", "sd"),
    [
        ({"times": "uniform"}, 0.5, 0.2887),
        ({"times": "logit-normal"}, 0.5, 0.208),
        ({"times": "logit-normal", "location": 1.0}, 0.697, 0.18),
        ({"times": "uniform", "from_noise": 0.4}, 0.7, 0.333),
    ],
)
def test_times_have_their_distribution(options, mean, sd):
    b = batch(1)
    many = Batch(
        mri=torch.zeros(4000, 2, 1, 1, 1),
        tracer=torch.zeros(4000, dtype=torch.long),
        mask=torch.ones(4000, 1, 1, 1, 1, dtype=torch.bool),
        pet=torch.zeros(4000, 1, 1, 1, 1),
        outside=b.outside,
        unseen=torch.zeros(4000, 1, 1, 1, 1, dtype=torch.bool),
    )
    t = flow(**options).noised(many, torch.Generator().manual_seed(0))[2]
    assert int(t.min()) >= 0 and int(t.max()) <= 999
    assert (t / 1000).mean().item() == pytest.approx(mean, abs=0.015)
    assert (t / 1000).std().item() == pytest.approx(sd, abs=0.015)
    share = (t == 999).float().mean().item()
    assert share == pytest.approx(options.get("from_noise", 0.0), abs=0.02)
    with pytest.raises(ValueError, match="'cosine' is none of"):
        flow(times="cosine")
    with pytest.raises(
        ValueError, match=r"from_noise 1\.0 is not a number of at least 0 and below 1"
    ):
        flow(from_noise=1.0)


def test_a_preconditioned_prediction_has_its_velocity_and_inputs_of_unit_variance():
    """v = (x_t - x0_hat) / t; x_t and its linear estimate of x_0 as the network sees them."""
    b, method = batch(), flow(prediction="preconditioned")
    method.prepare([b])
    seen = []

    def network(x, tracer, t):
        seen.append(x)
        return torch.full_like(x[:, :1], 0.2)

    method.generator.network.forward = network
    for index in (999, 499, 99):
        t, time = torch.tensor([index, index]), (index + 1) / 1000
        epsilon = torch.randn(b.pet.shape, generator=torch.Generator().manual_seed(0))
        x_t = torch.where(b.mask, (1 - time) * b.pet + time * epsilon, 0.0)
        v = method.velocity(x_t, t, b)
        levels = (torch.full((2, 1, 1, 1, 1), level) for level in (1 - time, time))
        x0_hat = method.generator(x_t, b, t, *levels)
        torch.testing.assert_close(v, (x_t - x0_hat) / time, atol=1e-4, rtol=1e-4)
        channels = [seen[-1][:, k][b.mask[:, 0]].std().item() for k in (0, 1)]
        assert channels == pytest.approx([1, 1 if index < 999 else 0], abs=0.15)
    with pytest.raises(ValueError, match="'epsilon' is none of"):
        flow(prediction="epsilon")


def velocity(x: torch.Tensor, t: float) -> torch.Tensor:
    """A made-up velocity; only the steps are compared."""
    return 0.4 * torch.sin(3 * x + 5 * t) - 0.2 * x


def synthesized(method, b, sampler, steps):
    method.velocity = lambda x_t, t, given: velocity(x_t, float(method.schedule.at(t)[0]))
    random = [torch.Generator().manual_seed(i) for i in range(len(b.pet))]
    return method.synthesize(b.condition, sampling=Sampling(sampler, steps), random=random)


def start(b):
    draws = [torch.Generator().manual_seed(i) for i in range(len(b.pet))]
    return torch.stack([torch.randn(b.pet.shape[1:], generator=g) for g in draws])


@pytest.mark.parametrize("steps", [1, 2, 5, 8])
def test_euler_and_heun_follow_the_velocity(steps):
    """In x and t themselves, which the samplers do not use."""
    b = batch()
    x, times = start(b), [1 - i / steps for i in range(steps + 1)]
    for now, following in pairwise(times):
        x = x + (following - now) * velocity(x, now)
    torch.testing.assert_close(
        synthesized(flow(), b, "euler", steps)[b.mask], x[b.mask], atol=1e-4, rtol=1e-4
    )
    x = start(b)
    evaluations = 2 * steps - 1  # the last step is Euler's
    for i, (now, following) in enumerate(pairwise(times)):
        first = velocity(x, now)
        ahead = x + (following - now) * first
        mean = first if i == steps - 1 else 0.5 * (first + velocity(ahead, following))
        x = x + (following - now) * mean
    torch.testing.assert_close(
        synthesized(flow(), b, "heun", evaluations)[b.mask], x[b.mask], atol=1e-4, rtol=1e-4
    )


def test_outside_the_brain_and_too_many_steps():
    b = batch()
    assert (synthesized(flow(), b, "euler", 3)[~b.mask] == -1).all()
    with pytest.raises(ReladError, match="20 sampling steps, but the model has 10"):
        synthesized(flow(steps=10), b, "euler", 20)


def test_path_and_a_whole_run_equal_monai():
    schedulers = pytest.importorskip("monai.networks.schedulers", reason="the reference")
    theirs = schedulers.RFlowScheduler(1000)
    b, method = batch(), flow()
    x_t, target, t = method.noised(b, torch.Generator().manual_seed(3))
    torch.testing.assert_close(theirs.add_noise(b.pet, target + b.pet, t + 1), x_t)
    for steps in (1, 4, 7):
        theirs.set_timesteps(steps)
        x = start(b)
        for now, following in zip(theirs.timesteps, [*theirs.timesteps[1:], 0], strict=True):
            # MONAI's velocity points from noise to the image.
            x, _ = theirs.step(-velocity(x, int(now) / 1000), int(now), x, following)
        y = synthesized(method, b, "euler", steps)
        torch.testing.assert_close(y[b.mask], x[b.mask], atol=1e-4, rtol=1e-4)


SCHEDULE = StraightSchedule(1000)


def optimal_x0(x, t):
    """E[x_0 | x_t] for x_0 ~ N(0.3, 0.2^2); its flow takes x_1 to 0.3 + 0.2 x_1."""
    time = SCHEDULE.at(t)
    x = x * SCHEDULE._at(SCHEDULE.norm, t)
    gain = (1 - time) * 0.04 / ((1 - time) ** 2 * 0.04 + time**2)
    return 0.3 + gain * (x - (1 - time) * 0.3)


def sampled(sampler, steps, side=24):
    x_1 = torch.randn(1, 1, side, side, side, generator=torch.Generator().manual_seed(0))
    random = [torch.Generator().manual_seed(1)]
    return x_1, samplers.sample(
        optimal_x0, SCHEDULE, x_1, sampler=sampler, steps=steps, random=random
    )


@pytest.mark.parametrize(
    ("sampler", "steps"), [("euler", 200), ("heun", 99), ("dpmpp", 100), ("ddpm", 500)]
)
def test_every_sampler_draws_from_a_gaussian(sampler, steps):
    _, x = sampled(sampler, steps)
    assert x.mean().item() == pytest.approx(0.3, abs=0.01)
    assert x.std().item() == pytest.approx(0.2, abs=0.012)


@pytest.mark.parametrize(("sampler", "order"), [("euler", 1), ("heun", 2)])
def test_twice_the_steps_halve_the_error_of_euler_and_quarter_that_of_heun(sampler, order):
    errors = []
    for intervals in (50, 100):
        steps = intervals if sampler == "euler" else 2 * intervals - 1
        x_1, x = sampled(sampler, steps, side=8)
        errors.append(float((x - 0.3 - 0.2 * x_1).std()))
    assert errors[0] / errors[1] == pytest.approx(2**order, rel=0.15)
