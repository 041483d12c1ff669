"""A network as the remainder of a linear estimate: preconditioning by the spectrum of x_0.

Karras et al. 2022, eq. 7, write a denoiser as c_skip x + c_out F(c_in x), with numbers chosen so
that the network F has input and target of unit variance at every noise level. That holds for data
that are white. PET is not: at 4 mm its power falls by five orders of magnitude from the lowest to
the highest frequency, so that a number for c_skip keeps far too little of what is coarse and far
too much of what is fine at one and the same t, and F has to mend both. Here c_skip is the best
linear estimate there is, a Wiener filter. With x_t = a x_0 + s epsilon (a = sqrt(abar_t),
s = sqrt(1 - abar_t)) and P(k) the power of x_0 at the spatial frequency k, per voxel:

    W_t(k)     = a P / (a^2 P + s^2)
    c_out(t)^2 = mean over k of P s^2 / (a^2 P + s^2)        what W_t x_t leaves of x_0
    x0_hat     = W_t x_t + c_out F(x_t / c_x, W_t x_t / c_w, MRI; tracer, t)

c_x and c_w are the standard deviations of x_t and of W_t x_t. For a flat spectrum this is Karras'
preconditioning, and F predicts -v where x_0 has unit variance, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.fft import fftfreq, fftn, irfftn, rfftn

from relad.data.batch import Batch, Condition
from relad.methods.diffusion.schedule import Level
from relad.shapes import Float, Index, PerSample, Volume

#: Shells of the radial frequency, in cycles per voxel, over which powers are averaged.
SHELLS = 32
AXES = (-3, -2, -1)
#: Variance below which W_t x_t is nothing but rounding, as where abar_t = 0.
TINY = 1e-8


def shell_of(shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Shell of every Fourier coefficient of a grid, (x, y, z)."""
    frequencies = [fftfreq(n, device=device) for n in shape]
    k = sum(f.square() for f in torch.meshgrid(*frequencies, indexing="ij")).sqrt()
    return (k / (math.sqrt(3) / 2) * SHELLS).long().clamp(max=SHELLS - 1)


class PowerSpectrum(nn.Module):
    """P(k): mean squared Fourier coefficient of x_0 by radial frequency, per voxel of the brain.

    Outside the brain x_0 counts as 0. White and of unit variance until it is measured.

    Attributes
    ----------
    power : (SHELLS,) float32
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("power", torch.ones(SHELLS))
        self._grids: dict[tuple, Tensor] = {}

    @torch.no_grad()
    def measure(self, batches: Iterable[Batch]) -> None:
        """Average over volumes, and over the Fourier coefficients of every shell."""
        total, count = torch.zeros(2, SHELLS, dtype=torch.float64, device=self.power.device)
        for batch in batches:
            x0 = torch.where(batch.mask, batch.pet, 0.0)
            power = fftn(x0, dim=AXES).abs().square().double().flatten(1)
            power = power / batch.mask.flatten(1).sum(1, keepdim=True)
            shell = shell_of(x0.shape[2:], x0.device).flatten()
            for volume in power:
                total.index_add_(0, shell, volume)
                count.index_add_(0, shell, torch.ones_like(volume))
        seen = count.nonzero().flatten()
        if len(seen):  # a grid of few voxels has shells without a coefficient
            nearest = (torch.arange(SHELLS, device=seen.device)[:, None] - seen).abs().argmin(1)
            self.power = (total[seen] / count[seen])[nearest].float()

    def on(self, shape: tuple[int, ...]) -> Float[Tensor, "x y z"]:
        """P at every Fourier coefficient of a grid."""
        key = (*shape, self.power.device)
        if key not in self._grids:
            self._grids[key] = shell_of(shape, self.power.device)
        return self.power[self._grids[key]]


class Filters(NamedTuple):
    """W_t at the coefficients of a real Fourier transform, and c_x, c_w and c_out."""

    wiener: Float[Tensor, "b 1 x y k"]
    c_x: Level
    c_w: Level
    c_out: Level


class PreconditionedNetwork(nn.Module):
    """A network F and the spectrum by which its input and output are scaled.

    Parameters
    ----------
    network
        F: (b, 2 + m, x, y, z), tracer, t -> (b, 1, x, y, z).
    """

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network
        self.spectrum = PowerSpectrum()

    def filters(self, shape: tuple[int, ...], a: Level, s: Level) -> Filters:
        """What belongs to the levels a of the signal and s of the noise, on a grid."""
        power = self.spectrum.on(shape)
        of_x = (a.square() * power).add_(s.square())
        wiener = a * power / of_x

        def mean(value: Tensor) -> Level:
            return value.mean(AXES, keepdim=True)

        c_w = mean(wiener.square() * of_x).clamp(min=TINY).sqrt()
        c_out = mean(power / of_x).sqrt() * s
        return Filters(wiener[..., : shape[-1] // 2 + 1], mean(of_x).sqrt(), c_w, c_out)

    def weight(self, shape: tuple[int, ...], a: Level, s: Level) -> PerSample:
        """1 / c_out^2: what turns ||x0 - x0_hat||^2 into the squared error of F."""
        return self.filters(shape, a, s).c_out.flatten() ** -2

    def forward(self, x_t: Volume, given: Condition, t: Index, a: Level, s: Level) -> Volume:
        """x0_hat, (b, 1, x, y, z)."""
        shape = x_t.shape[2:]
        of = self.filters(shape, a, s)
        x_t = torch.where(given.mask, x_t, 0.0)
        linear = irfftn(rfftn(x_t, dim=AXES) * of.wiener, s=shape, dim=AXES)
        seen = torch.cat([x_t / of.c_x, linear / of.c_w, given.mri], dim=1)
        return linear + of.c_out * self.network(seen, given.tracer, t).to(x_t.dtype)
