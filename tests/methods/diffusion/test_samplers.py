"""Samplers against a posterior known in closed form, and against diffusers' and MONAI's steps."""

from __future__ import annotations

import math

import pytest
import torch

from relad.compute.randomness import randn
from relad.methods.diffusion.samplers import STEPS, sample, timesteps
from relad.methods.diffusion.schedule import NoiseSchedule
from relad.study.sampling import SAMPLERS

MEAN, SD = 0.3, 0.2
DOUBLE = torch.float64
SCHEDULES = {
    "published": {},
    "cosine": {"kind": "cosine"},
    "zero-snr": {"zero_terminal_snr": True},
}


def optimal_x0(schedule):
    """E[x0 | x_t] for x0 ~ N(MEAN, SD^2): what a perfect network would answer."""

    def predict(x_t, t):
        abar = schedule.exact[t].view(-1, 1, 1, 1, 1).to(x_t.dtype)
        gain = abar.sqrt() * SD**2 / (abar * SD**2 + 1 - abar)
        return MEAN + gain * (x_t - abar.sqrt() * MEAN)

    return predict


def draw(
    schedule,
    sampler,
    steps,
    *,
    predict=None,
    shape=(2, 1, 20, 20, 20),
    seed=1,
    dtype=None,
    temperature=1.0,
):
    random = torch.Generator().manual_seed(seed)
    x_T = torch.randn(shape, generator=random, dtype=dtype)
    predict = predict or optimal_x0(schedule)
    each = [torch.Generator().manual_seed(seed + 1 + i) for i in range(shape[0])]
    options = {"sampler": sampler, "steps": steps, "temperature": temperature}
    return sample(predict, schedule, x_T, random=each, **options)


def test_every_sampler_of_the_settings_exists():
    assert set(STEPS) == set(SAMPLERS)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(
    ("sampler", "steps"), [("ddim", 250), ("dpmpp", 100), ("ddpm", 500), ("ddpm", 1000)]
)
def test_sampling_a_gaussian_gives_its_mean_and_spread(sampler, steps, schedule):
    x0 = draw(NoiseSchedule(**SCHEDULES[schedule]), sampler, steps)
    # 16,000 draws: standard error of the mean 0.0016, of the spread 0.0011; a few steps cost bias.
    assert x0.mean().item() == pytest.approx(MEAN, abs=0.008)
    assert x0.std().item() == pytest.approx(SD, abs=0.012)


@pytest.mark.parametrize("sampler", STEPS)
def test_the_temperature_is_what_samples_deviate_by_from_their_mean(sampler):
    """A Gaussian's samples are linear in all noise that is drawn, so every deviation is scaled."""
    steps = 1 if sampler == "regression" else 10
    of = {
        temperature: draw(NoiseSchedule(), sampler, steps, temperature=temperature, dtype=DOUBLE)
        for temperature in (0.0, 1.0, 1.5)
    }
    torch.testing.assert_close(of[1.5] - of[0.0], 1.5 * (of[1.0] - of[0.0]))
    assert (of[1.0] - of[0.0]).abs().max() > 0


def test_deterministic_samplers_follow_the_flow_and_second_order_follows_it_closer():
    """For a Gaussian the flow is known: it keeps every voxel's quantile at every time."""
    schedule = NoiseSchedule()
    x_T = torch.randn(1, 1, 10, 10, 10, dtype=torch.float64)
    times = range(999, -1, -50)
    abar = [float(schedule.exact[t]) for t in times]

    def spread(abar):
        return math.sqrt(abar * SD**2 + 1 - abar)

    quantile = (x_T - math.sqrt(abar[0]) * MEAN) / spread(abar[0])
    exact = math.sqrt(abar[-1]) * MEAN + spread(abar[-1]) * quantile
    error = {}
    for sampler in ("ddim", "dpmpp"):
        step, x = STEPS[sampler](torch.randn_like), x_T
        for t, now, following in zip(times, abar, abar[1:], strict=False):
            x = step(x, optimal_x0(schedule)(x, torch.tensor([t])), now, following)
        error[sampler] = float((x - exact).std())
    assert error["dpmpp"] < 0.4 * error["ddim"] < 0.04


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_one_step_is_regression_from_pure_noise_and_gives_the_mean(sampler):
    """What is left of x_0 in the published x_T: a gain of 0.0207 SD^2, so almost the mean."""
    schedule = NoiseSchedule()
    x0 = draw(schedule, sampler, 1)
    assert x0.mean().item() == pytest.approx(MEAN, abs=1e-3)
    signal = float(schedule.exact[-1]) ** 0.5
    assert x0.std().item() == pytest.approx(signal * SD**2, rel=0.05)
    assert draw(NoiseSchedule(zero_terminal_snr=True), sampler, 1).std().item() == 0.0


def test_expectation_approximation_is_the_posterior_mean_with_the_posterior_spread():
    """The mean of K samples has the posterior's mean and 1/sqrt(K) of its spread."""
    schedule, k = NoiseSchedule(), 16
    samples = torch.stack([draw(schedule, "ddpm", 250, seed=i) for i in range(k)])
    assert samples.mean(0).std().item() == pytest.approx(SD / math.sqrt(k), rel=0.1)
    assert samples.std(0).mean().item() == pytest.approx(SD, rel=0.1)
    assert samples.mean().item() == pytest.approx(MEAN, abs=0.005)


@pytest.mark.parametrize("sampler", [s for s in SAMPLERS if s not in ("regression", "heun")])
@pytest.mark.parametrize("steps", [1, 2, 7, 50])
def test_evaluations_are_exactly_the_steps_at_the_given_times(sampler, steps):
    seen = []

    def predict(x_t, t):
        seen.append(t.tolist())
        return x_t * 0 + 0.25

    x0 = draw(NoiseSchedule(), sampler, steps, predict=predict, shape=(3, 1, 2, 2, 2))
    assert seen == [[t] * 3 for t in timesteps(1000, steps)]
    assert (x0 == 0.25).all()


@pytest.mark.parametrize(
    ("steps", "visited"),
    [
        (1, [999]),
        (2, [999, 0]),
        (3, [999, 0, 0]),  # predicted, corrected, answered
        (4, [999, 500, 500, 0]),
        (5, [999, 500, 500, 0, 0]),
    ],
)
def test_heun_spends_as_many_evaluations_as_the_others(steps, visited):
    seen = []

    def predict(x_t, t):
        seen.append(int(t[0]))
        return x_t * 0 + 0.25

    x0 = draw(NoiseSchedule(), "heun", steps, predict=predict, shape=(1, 1, 2, 2, 2))
    assert seen == visited
    assert (x0 == 0.25).all()


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_heun_follows_the_known_flow_closer_than_euler(schedule):
    schedule = NoiseSchedule(**SCHEDULES[schedule])
    x_T = torch.randn(1, 1, 10, 10, 10, dtype=torch.float64)
    times = timesteps(1000, 17)
    error = {}
    for sampler, steps in (("euler", 17), ("heun", 33)):
        reached = []  # x at the last time, whose clean prediction is the answer

        def predict(x, t, reached=reached):
            reached.append(x)
            return optimal_x0(schedule)(x, t)

        sample(predict, schedule, x_T, sampler=sampler, steps=steps, random=[torch.Generator()])
        first, last = (float(schedule.exact[t]) for t in (times[0], times[-1]))
        sd = [math.sqrt(a * SD**2 + 1 - a) for a in (first, last)]
        exact = math.sqrt(last) * MEAN + sd[1] * (x_T - math.sqrt(first) * MEAN) / sd[0]
        error[sampler] = float((reached[-1] - exact).std())
    assert error["heun"] < 0.25 * error["euler"]


def test_euler_is_ddim():
    results = [
        draw(NoiseSchedule(), s, 7, predict=lambda x, t: model(x, int(t[0])))
        for s in ("euler", "ddim")
    ]
    assert torch.equal(*results)


# --- against other people's implementations -----------------------------------------------------


def model(x: torch.Tensor, t: int) -> torch.Tensor:
    """A made-up clean prediction, of x and t but with no meaning: only the steps are compared."""
    return 0.4 * torch.sin(3 * x + t / 200) + 0.1 * x


def ours(schedule, sampler, steps, x_T, random=None, times=None):
    return sample(
        lambda x, t: model(x, int(t[0])),
        schedule,
        x_T,
        sampler=sampler,
        steps=steps,
        times=times,
        random=[random or torch.Generator()],
    )


def diffusers_scheduler(name, kind, zero_snr, **options):
    diffusers = pytest.importorskip("diffusers", reason="the reference, in requirements.lock.txt")
    ends = {"beta_start": 5e-4, "beta_end": 1.95e-2}
    return getattr(diffusers, name)(
        num_train_timesteps=1000,
        beta_schedule={"cosine": "squaredcos_cap_v2"}.get(kind, kind),
        prediction_type="sample",
        timestep_spacing="trailing",
        rescale_betas_zero_snr=zero_snr,
        **({} if kind == "cosine" else ends),
        **options,
    )


@pytest.mark.parametrize(
    ("kind", "zero_snr"), [("scaled_linear", False), ("scaled_linear", True), ("cosine", False)]
)
@pytest.mark.parametrize("steps", [2, 5, 20, 100])
@pytest.mark.parametrize("sampler", ["ddim", "dpmpp", "ddpm"])
def test_a_whole_run_equals_diffusers(sampler, steps, kind, zero_snr):
    name, options = {
        "ddim": ("DDIMScheduler", {"clip_sample": False}),
        "ddpm": ("DDPMScheduler", {"clip_sample": False, "variance_type": "fixed_small"}),
        "dpmpp": (
            "DPMSolverMultistepScheduler",
            {"algorithm_type": "dpmsolver++", "solver_order": 2, "final_sigmas_type": "zero"},
        ),
    }[sampler]
    theirs = diffusers_scheduler(name, kind, zero_snr, **options)
    theirs.set_timesteps(steps)
    times = theirs.timesteps.tolist()  # their own: they take a step back from t to t - T / S
    x_T = torch.randn(1, 1, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    x = x_T
    random = torch.Generator().manual_seed(5)
    for t in theirs.timesteps:
        extra = {} if sampler == "ddim" else {"generator": random}
        x = theirs.step(model(x, int(t)), t, x, **extra).prev_sample
    schedule = NoiseSchedule(kind, zero_terminal_snr=zero_snr)
    # Theirs is in float32 and replaces an abar_T of zero by 2^-24; test_schedule compares the two.
    schedule.exact = theirs.alphas_cumprod.double()
    result = ours(schedule, sampler, steps, x_T, torch.Generator().manual_seed(5), times)
    torch.testing.assert_close(result, x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim"])
def test_the_full_chain_equals_monai(sampler):
    schedulers = pytest.importorskip(
        "monai.networks.schedulers", reason="the reference, in requirements.lock.txt"
    )
    cls = {"ddpm": schedulers.DDPMScheduler, "ddim": schedulers.DDIMScheduler}[sampler]
    theirs = cls(
        1000,
        schedule="scaled_linear_beta",
        beta_start=5e-4,
        beta_end=1.95e-2,
        prediction_type="sample",
        clip_sample=False,
    )
    theirs.set_timesteps(1000)
    x_T = torch.randn(1, 1, 2, 3, 2, generator=torch.Generator().manual_seed(0))
    x, random = x_T, torch.Generator().manual_seed(5)
    for t in theirs.timesteps:
        output = model(x, int(t))
        if sampler == "ddpm":
            x = theirs.step(output, int(t), x, generator=random)[0]
        else:
            x = theirs.step(output, int(t), x)[0]
    schedule = NoiseSchedule()
    schedule.exact = theirs.alphas_cumprod.double()  # in float32; test_schedule compares the two
    result = ours(schedule, sampler, 1000, x_T, torch.Generator().manual_seed(5))
    torch.testing.assert_close(result, x, rtol=1e-4, atol=1e-4)


def test_ancestral_step_is_algorithm_2_of_ho_et_al():
    """One step with all T steps: mean and variance of q(x_{t-1} | x_t, x0_hat), Ho et al. eq. 7."""
    schedule = NoiseSchedule(kind="linear", steps=2, start=0.1, end=0.4)
    beta = torch.tensor([0.1, 0.4])
    abar = torch.cumprod(1 - beta, 0)
    x_T = torch.randn(1, 1, 4, 4, 4)
    x0 = torch.full_like(x_T, 0.1)
    result = sample(
        lambda x_t, t: x0 if int(t[0]) == 1 else x_t,  # hand x_0 through at the last step
        schedule,
        x_T,
        sampler="ddpm",
        steps=2,
        random=[torch.Generator().manual_seed(3)],
    )
    mean = abar[0].sqrt() * beta[1] / (1 - abar[1]) * x0
    mean = mean + (1 - beta[1]).sqrt() * (1 - abar[0]) / (1 - abar[1]) * x_T
    variance = (1 - abar[0]) / (1 - abar[1]) * beta[1]
    noise = torch.randn(x_T.shape, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(result, mean + variance.sqrt() * noise)


def test_timesteps_start_at_the_end_and_fall():
    assert timesteps(1000, 1) == [999]
    assert timesteps(1000, 4) == [999, 666, 333, 0]
    assert timesteps(1000, 1000) == list(range(999, -1, -1))
    for steps in (0, 1001):
        with pytest.raises(ValueError, match="between 1 and 1000"):
            timesteps(1000, steps)


def test_only_the_ancestral_sampler_follows_its_seed():
    schedule = NoiseSchedule()
    x_T = torch.randn(1, 1, 3, 3, 3)

    def run(sampler, seed):
        random = [torch.Generator().manual_seed(seed)]
        x0 = optimal_x0(schedule)
        return sample(x0, schedule, x_T, sampler=sampler, steps=5, random=random)

    for sampler in ("ddim", "dpmpp"):
        assert torch.equal(run(sampler, 0), run(sampler, 1))
    assert torch.equal(run("ddpm", 0), run("ddpm", 0))
    assert not torch.equal(run("ddpm", 0), run("ddpm", 1))


def test_unknown_samplers_and_a_regression_of_two_steps_are_refused():
    with pytest.raises(ValueError, match="'rk4' is none of"):
        draw(NoiseSchedule(), "rk4", 2)
    with pytest.raises(ValueError, match="one evaluation, not 2"):
        draw(NoiseSchedule(), "regression", 2)


@pytest.mark.parametrize("count", [1, 3])
def test_every_volume_of_a_batch_has_a_generator_of_its_own(count):
    random = [torch.Generator().manual_seed(i) for i in range(count)]
    with pytest.raises(ValueError, match="zip"):
        randn((2, 1, 4, 4, 4), random)
    one, two = randn((2, 4), [torch.Generator().manual_seed(i) for i in range(2)])
    assert torch.equal(two, torch.randn(4, generator=torch.Generator().manual_seed(1)))
    assert not torch.equal(one, two)
