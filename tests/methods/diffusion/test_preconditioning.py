"""Preconditioning by the spectrum: against random fields whose spectrum and posterior are known."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch.fft import fftn, ifftn

from relad.compute.randomness import generator_for
from relad.data.batch import Batch
from relad.methods.diffusion.preconditioning import (
    AXES,
    SHELLS,
    PowerSpectrum,
    PreconditionedNetwork,
    shell_of,
)
from relad.methods.diffusion.schedule import NoiseSchedule
from relad.methods.reladiff import RelADiffusion
from relad.study.sampling import Sampling

SHAPE = (20, 24, 16)
TIMES = (5, 200, 600, 950, 999)
POWER = 30.0 * torch.exp(-torch.arange(SHELLS) / 3.0)  # three orders of magnitude


def field(samples: int, shape: tuple[int, ...] = SHAPE) -> torch.Tensor:
    """Gaussian fields with the power above, (samples, 1, x, y, z)."""
    white = torch.randn(samples, 1, *shape, generator=torch.Generator().manual_seed(0))
    root = POWER[shell_of(shape, white.device)].sqrt()
    return ifftn(fftn(white, dim=AXES) * root, dim=AXES).real


def given(pet: torch.Tensor, mask: torch.Tensor | None = None) -> Batch:
    return Batch(
        mri=torch.zeros(len(pet), 0, *pet.shape[2:]),
        tracer=torch.zeros(len(pet), dtype=torch.long),
        mask=torch.ones_like(pet, dtype=torch.bool) if mask is None else mask,
        outside=torch.tensor(0.0),
        pet=pet,
        unseen=torch.zeros_like(pet, dtype=torch.bool),
    )


class Recorder(torch.nn.Module):
    """Keeps what the network is given; tells 0, or what it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.tells = 0.0

    def forward(self, seen, tracer, t):
        self.seen = seen
        return torch.zeros_like(seen[:, :1]) + self.tells


def preconditioned() -> PreconditionedNetwork:
    network = PreconditionedNetwork(Recorder())
    network.spectrum.power = POWER.clone()
    return network


def at(time: int, samples: int) -> tuple[torch.Tensor, tuple[torch.Tensor, torch.Tensor]]:
    t = torch.full((samples,), time)
    return t, NoiseSchedule(zero_terminal_snr=True).levels(t)


@pytest.mark.parametrize("time", TIMES)
def test_input_and_target_have_unit_variance_at_every_time(time: int) -> None:
    network, x0 = preconditioned(), field(40)
    t, (a, s) = at(time, len(x0))
    x_t = a * x0 + s * torch.randn(x0.shape, generator=torch.Generator().manual_seed(1))
    linear = network(x_t, given(x0), t, a, s)
    of = network.filters(SHAPE, a, s)
    target = (x0 - linear) / of.c_out
    assert target.var().item() == pytest.approx(1.0, rel=0.05)
    assert network.network.seen[:, 0].var().item() == pytest.approx(1.0, rel=0.05)
    second = network.network.seen[:, 1].var().item()
    assert second == pytest.approx(0.0 if time == 999 else 1.0, abs=0.08)
    loss = network.weight(SHAPE, a, s) * (x0 - linear).square().mean()
    assert loss.tolist() == pytest.approx([target.square().mean().item()] * len(x0), rel=1e-3)


@pytest.mark.parametrize("time", TIMES[:-1])
def test_no_linear_estimate_is_better(time: int) -> None:
    """The error is uncorrelated with x_t at every frequency (the orthogonality principle)."""
    network, x0 = preconditioned(), field(60)
    t, (a, s) = at(time, len(x0))
    x_t = a * x0 + s * torch.randn(x0.shape, generator=torch.Generator().manual_seed(1))
    error = fftn(x0 - network(x_t, given(x0), t, a, s), dim=AXES)
    noisy = fftn(x_t, dim=AXES)
    shell = shell_of(SHAPE, x0.device)
    for band in (shell < 3, (shell >= 3) & (shell < 10), shell >= 10):
        product, norms = (error * noisy.conj()).real, error.abs().square() * noisy.abs().square()
        assert abs(product[..., band].mean()) < 0.05 * norms[..., band].mean().sqrt()


def test_of_a_flat_spectrum_it_is_karras_preconditioning() -> None:
    sigma = 0.4
    network, x_t = preconditioned(), torch.randn(2, 1, *SHAPE)
    network.spectrum.power.fill_(sigma**2)
    network.network.tells = 0.7
    for time in TIMES:
        t, (a, s) = at(time, 2)
        total = (a * sigma) ** 2 + s**2
        expected = a * sigma**2 / total * x_t + s * sigma / total.sqrt() * 0.7
        torch.testing.assert_close(network(x_t, given(x_t), t, a, s), expected)
        torch.testing.assert_close(network.network.seen[:, :1], x_t / total.sqrt())


def test_the_network_adds_what_it_tells_times_what_is_left() -> None:
    network, x_t = preconditioned(), torch.randn(2, 1, *SHAPE)
    t, (a, s) = at(500, 2)
    linear = network(x_t, given(x_t), t, a, s)
    network.network.tells = 2.0
    added = network(x_t, given(x_t), t, a, s) - linear
    torch.testing.assert_close(added, (2 * network.filters(SHAPE, a, s).c_out).expand_as(added))


class TellsTheTime(torch.nn.Module):
    """Tells every volume's tracer and time, and nothing of its voxels."""

    def forward(self, seen, tracer, t):
        told = 1000.0 * tracer + t
        return torch.zeros_like(seen[:, :1]) + told[:, None, None, None, None]


def test_the_network_is_told_every_volumes_time_and_tracer() -> None:
    """In float64, since levels and times differ by little from one time to the next."""
    network = PreconditionedNetwork(TellsTheTime())
    network.spectrum.power = POWER.double()
    x_t = torch.randn(3, 1, *SHAPE, generator=torch.Generator().manual_seed(3)).double()
    of = given(x_t)
    t = torch.tensor([3, 500, 998])
    a, s = (level.double() for level in NoiseSchedule(zero_terminal_snr=True).levels(t))
    silent = PreconditionedNetwork(Recorder())
    silent.spectrum.power = POWER.double()
    tracer = torch.tensor([2, 0, 1])
    told = network(x_t, replace(of, tracer=tracer), t, a, s)
    linear = silent(x_t, of, t, a, s)
    wanted = torch.tensor([2003.0, 500.0, 1998.0]).double()[:, None, None, None, None]
    assert told.dtype == torch.float64
    left = network.filters(SHAPE, a, s).c_out
    torch.testing.assert_close((told - linear) / left, wanted.expand_as(told), rtol=1e-9, atol=0)


def test_at_zero_signal_the_noise_tells_nothing() -> None:
    network = preconditioned()
    t, (a, s) = at(999, 2)
    assert (network(torch.randn(2, 1, *SHAPE), given(field(2)), t, a, s) == 0).all()


@pytest.mark.parametrize("shape", [SHAPE, (15, 9, 12)])
def test_the_spectrum_is_measured_on_any_grid(shape: tuple[int, ...]) -> None:
    spectrum = PowerSpectrum()
    x0 = field(60, shape)
    spectrum.measure(given(part) for part in x0.split(7))
    seen = shell_of(shape, x0.device).unique()
    torch.testing.assert_close(spectrum.power[seen], POWER[seen], rtol=0.4, atol=0)
    power = POWER[shell_of(SHAPE, x0.device)]
    assert spectrum.on(SHAPE).mean().item() == pytest.approx(power.mean().item(), rel=0.1)


def test_a_shell_without_coefficients_takes_the_next_ones_power() -> None:
    spectrum = PowerSpectrum()
    spectrum.measure([given(field(30, (4, 4, 4)))])
    assert torch.isfinite(spectrum.power).all() and (spectrum.power > 0).all()
    assert len(shell_of((4, 4, 4), spectrum.power.device).unique()) < SHELLS


def test_what_lies_outside_the_brain_does_not_count() -> None:
    x0 = field(2)
    mask = torch.ones_like(x0, dtype=torch.bool)
    mask[..., :6, :] = False
    powers = []
    for outside in (0.0, 50.0):
        spectrum = PowerSpectrum()
        spectrum.measure([given(torch.where(mask, x0, outside), mask)])
        powers.append(spectrum.power)
    assert torch.equal(*powers)
    # White noise stays white, however small the brain is.
    white = torch.randn(20, 1, *SHAPE, generator=torch.Generator().manual_seed(2))
    small = torch.zeros_like(white, dtype=torch.bool)
    small[..., 5:15, 6:18, 4:12] = True
    spectrum.measure([given(white, small)])
    torch.testing.assert_close(spectrum.power, torch.ones(SHELLS), rtol=0.5, atol=0)


def test_noise_of_the_background_does_not_reach_the_brain() -> None:
    network, x_t = preconditioned(), torch.randn(2, 1, *SHAPE)
    mask = torch.ones_like(x_t, dtype=torch.bool)
    mask[..., :6, :] = False
    t, (a, s) = at(500, 2)
    first, second = (
        network(torch.where(mask, x_t, outside), given(x_t, mask), t, a, s)
        for outside in (0.0, 50.0)
    )
    assert torch.equal(first[mask], second[mask])


def test_before_any_training_samples_have_the_spectrum_of_the_data() -> None:
    """The remainder is 0 then: what is left is the exact sampler of a Gaussian field."""
    method = RelADiffusion(
        inputs=0,
        tracers=1,
        prediction="preconditioned",
        weighting="unit",
        lambda_adv=0.0,
        schedule={"zero_terminal_snr": True},
        network={"channels": [8, 8]},
    ).eval()
    x0 = field(24)
    method.prepare([given(x0)])
    random = [generator_for("test", i) for i in range(len(x0))]
    samples = method.synthesize(given(x0), sampling=Sampling("ddim", 60), random=random)
    spectrum = PowerSpectrum()
    spectrum.measure([given(samples)])
    above = POWER > 0.05  # well above the noise of the last steps
    assert 15 < above.sum() < SHELLS
    expected = method.generator.spectrum.power[above]
    torch.testing.assert_close(spectrum.power[above], expected, rtol=0.3, atol=0)


def test_a_weighting_of_its_own_is_refused_elsewhere() -> None:
    with pytest.raises(ValueError, match=r"'unit' is none of .* of prediction 'v'"):
        RelADiffusion(inputs=2, tracers=1, prediction="v", weighting="unit")
