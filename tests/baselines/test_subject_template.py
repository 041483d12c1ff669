"""The subject-specific template: its equations voxel by voxel, and what it must not depend on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from baselines.subject_template import SubjectTemplate, smoothed
from baselines.template import MeanTemplate
from relad.data.batch import Batch
from relad.study.sampling import Sampling

SIZE = (7, 6, 5)


def people(count=6, size=SIZE, tracers=(0, 1), seed=0) -> Batch:
    random = torch.Generator().manual_seed(seed)
    mask = torch.rand(count, 1, *size, generator=random) > 0.25
    return Batch(
        mri=torch.where(mask, torch.randn(count, 2, *size, generator=random), -1.0),
        tracer=torch.tensor([tracers[i % len(tracers)] for i in range(count)]),
        mask=mask,
        pet=torch.where(mask, torch.randn(count, 1, *size, generator=random), 0.0),
        outside=torch.tensor(0.0),
        unseen=torch.zeros_like(mask),
    )


def fitted(batch: Batch, make=SubjectTemplate, **params):
    method = make(inputs=2, tracers=3, **params)
    for i in range(len(batch.pet)):
        method.update(batch.sample(i), progress=0.0, random=torch.Generator())
    return method


def synthesized(method, batch):
    random = [torch.Generator() for _ in range(len(batch.pet))]
    return method.synthesize(batch.condition, sampling=Sampling("ddim", 1), random=random)


def cut(b: Batch) -> Batch:
    """Two PET of either tracer end below the vertex."""
    unseen = b.mask & (torch.arange(SIZE[2]) >= 3)
    unseen[4:] = False
    mask = b.mask & ~unseen
    return replace(b, mask=mask, unseen=unseen, pet=torch.where(mask, b.pet, b.outside))


@pytest.mark.parametrize("change", [lambda b: b, cut], ids=["whole", "cut"])
def test_equations_by_hand(change):
    """Equations (1) and (2) in loops over people and voxels, left and right sharing their sums.

    Of a PET that ends below the vertex the voxels that it shows count, with the features that the
    whole brain's MRI has there, as in synthesis.
    """
    scales, g_sd, ridge = (0.8, 2.0), 1.2, 0.3
    b = change(people())
    options = {"scales": scales, "neighbourhood": g_sd, "ridge": ridge}
    pet = synthesized(fitted(b, **options), replace(b, mask=b.mask | b.unseen))
    index = np.stack(np.meshgrid(*map(np.arange, SIZE), indexing="ij"), -1).reshape(-1, 3)
    distance = ((index[:, None] - index) ** 2).sum(-1)
    x, brain, shown = [], *(m.numpy().reshape(6, -1) for m in (b.mask | b.unseen, b.mask))
    for i in range(6):
        own = [
            (np.exp(-distance / (2 * s**2)) @ (m * brain[i]))
            / (np.exp(-distance / (2 * s**2)) @ brain[i])
            for s in scales
            for m in b.mri[i].double().numpy().reshape(2, -1)
        ]
        x.append(np.stack(own, -1) * brain[i][:, None])
    y = b.pet.double().numpy().reshape(6, -1)
    mirror = np.ravel_multi_index((SIZE[0] - 1 - index[:, 0], index[:, 1], index[:, 2]), SIZE)
    for k in (0, 1):
        mine = [i for i in range(6) if b.tracer[i] == k]
        xx, xy, mean = (np.zeros((len(index), *s)) for s in ((4, 4), (4,), (4,)))
        seen = np.zeros(len(index), bool)
        sides = [[(i, v) for i in mine if shown[i, v]] for v in range(len(index))]
        for v in range(len(index)):
            seen[v] = bool(sides[v] or sides[mirror[v]])
            mean[v] = np.mean([x[i][u] for i, u in sides[v] or sides[mirror[v]] or [(0, v)]], 0)
            for side in filter(None, (sides[v], sides[mirror[v]])):
                xs = np.array([x[i][u] for i, u in side])
                ys = np.array([y[i, u] for i, u in side])
                xx[v] += (xs - xs.mean(0)).T @ (xs - xs.mean(0))
                xy[v] += (xs - xs.mean(0)).T @ (ys - ys.mean())
        scale = np.diag(xx[seen].mean(0))
        for v in np.flatnonzero(seen)[::7]:
            g = np.exp(-distance[v] / (2 * g_sd**2)) / (g_sd * np.sqrt(2 * np.pi)) ** 3
            beta = np.linalg.solve(
                np.tensordot(g, xx, 1) + ridge * np.diag(scale), np.tensordot(g, xy, 1)
            )
            for i in mine:
                own = [y[j, v] for j in mine if shown[j, v]]
                if brain[i, v] and own:
                    expected = np.mean(own) + beta @ (x[i][v] - mean[v])
                    assert pet[i].flatten()[v].item() == pytest.approx(expected, abs=2e-4)


def test_people_whose_sides_differ_are_met_on_average():
    """The mean over the people it was fitted to is theirs, whatever lies on the left alone."""
    b = people(8, tracers=(0,))
    b = replace(b, mask=torch.ones_like(b.mask))
    left = torch.linspace(0, 3, SIZE[0]).view(1, 1, -1, 1, 1)
    b = replace(b, mri=b.mri + left, pet=b.pet + 0.5 * b.mri[:, :1] - left)
    off = synthesized(fitted(b), b) - b.pet
    torch.testing.assert_close(off.mean(0), torch.zeros(1, *SIZE), atol=1e-4, rtol=0)


def test_a_pet_that_is_linear_in_the_mri_is_found_on_new_people():
    b, new = (replace(people(12, tracers=(0,), seed=s), outside=torch.tensor(0.0)) for s in (0, 1))
    b, new = (replace(v, mask=torch.ones_like(v.mask)) for v in (b, new))
    anatomy = torch.randn(1, 1, *SIZE)
    slope = torch.tensor([0.4, -0.2]).view(1, 2, 1, 1, 1)
    b, new = (replace(v, pet=anatomy + (slope * v.mri).sum(1, keepdim=True)) for v in (b, new))
    # Smoothing of 0.2 voxels leaves the MRI as it is.
    method = fitted(b, scales=[0.2], ridge=1e-6, neighbourhood=1.0)
    off = {
        m: (synthesized(m, new) - new.pet).abs().mean() for m in (method, fitted(b, MeanTemplate))
    }
    errors = list(off.values())
    assert errors[0] < 0.25 * errors[1]


def test_it_differs_between_people_and_is_the_template_where_the_mri_tells_nothing():
    b = people()
    method = fitted(b)
    pet = synthesized(method, b)
    other = synthesized(method, replace(b, mri=b.mri.flip(0)))
    assert (pet - other).abs()[b.mask].max() > 0.01
    flat = replace(b, mri=torch.where(b.mask, 0.3, -1.0).expand(-1, 2, -1, -1, -1))
    same = fitted(flat), fitted(flat, MeanTemplate)
    torch.testing.assert_close(*(synthesized(m, flat)[b.mask] for m in same), atol=1e-4, rtol=0)


def test_voxels_outside_the_brain_and_the_true_pet_of_a_synthesis_play_no_part():
    b = people()
    spoilt = replace(b, mri=torch.where(b.mask, b.mri, 99.0), pet=torch.where(b.mask, b.pet, 99.0))
    torch.testing.assert_close(
        synthesized(fitted(spoilt), spoilt)[b.mask], synthesized(fitted(b), b)[b.mask]
    )


@pytest.mark.parametrize("size", [(8, 8, 8), (9, 10, 7)], ids=str)
def test_blocks_keep_any_size_and_their_place(size):
    b = people(12, size, tracers=(0,))
    b = replace(b, mask=torch.ones_like(b.mask))
    ramp = torch.arange(size[1], dtype=torch.float32).view(1, 1, 1, -1, 1)
    amount = torch.randn(12, 1, 1, 1, 1)
    b = replace(
        b, mri=(amount * ramp).expand(-1, 2, *size), pet=(amount * ramp).expand(-1, 1, *size)
    )
    method = fitted(b, scales=[0.2], ridge=1e-4, neighbourhood=0.5, stride=2)
    y = synthesized(method, b)
    assert y.shape == b.pet.shape
    inner = (..., slice(1, -2), slice(None))
    assert (y - b.pet)[inner].abs().mean() < 0.1 * b.pet[inner].abs().mean()


def test_a_tracer_without_pet_and_a_stored_state_are_whole():
    b = people(4, tracers=(0,))
    method = fitted(b)
    assert torch.isfinite(synthesized(method, replace(b, tracer=torch.full((4,), 2)))).all()
    other = SubjectTemplate(inputs=2, tracers=3)
    other.load_state_dict(method.state_dict())
    assert torch.equal(synthesized(other, b), synthesized(method, b))


def test_channels_beyond_those_asked_for_are_not_looked_at():
    b = people()
    method = fitted(b, channels=1)
    spoilt = replace(b, mri=torch.cat([b.mri[:, :1], 9 * b.mri[:, 1:]], 1))
    assert torch.equal(synthesized(method, b), synthesized(method, spoilt))


def test_smoothing_is_a_gaussian():
    x = torch.zeros(1, 1, 21, 21, 21)
    x[..., 10, 10, 10] = 1.0
    y = smoothed(x, 1.5)
    assert y.sum().item() == pytest.approx(1.0, abs=1e-4)
    place = torch.arange(21.0) - 10
    assert (y.sum((0, 1, 3, 4)) * place**2).sum().item() == pytest.approx(1.5**2, rel=1e-3)
