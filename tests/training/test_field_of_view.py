"""Brain that a PET does not show: no loss, mean or validation counts it, and no method sees it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from relad.data.batches import Volumes
from relad.data.dataset import PackedDataset
from relad.data.scaling import BACKGROUND, KINDS, Scaling
from relad.study.sampling import Sampling
from relad.training import validation
from tests.baselines.test_latent_rela import batch as latent_batch
from tests.baselines.test_latent_rela import latent
from tests.helpers.packing import cut_pet, write_packed
from tests.helpers.trainings import settings, trainer

CPU = torch.device("cpu")
#: The PET of subject 1 ends here, as that of everybody else does not.
CUT, TOP = (1, 0), 8


@pytest.fixture(scope="module")
def data(packed, tmp_path_factory) -> PackedDataset:
    return cut_pet(tmp_path_factory.mktemp("cut") / "packed", packed, [CUT], TOP)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_is_of_the_brain_that_its_pet_shows(data, kind) -> None:
    scaling = Scaling.of(kind, data, data.pairs(0, "train"), [0, 1], mirrored=True)
    pairs, flips = [CUT, (2, 0), CUT], [False, True, True]
    batch = Volumes(data, [0, 1], CPU).batch(pairs, scaling, flips)
    for n, ((i, _), flip) in enumerate(zip(pairs, flips, strict=True)):
        turn = slice(None, None, -1 if flip else 1)
        brain = np.array(data.mask[i])
        seen = brain & (np.arange(data.shape[2]) < (TOP if i == CUT[0] else 99))
        assert np.array_equal(data.pair_mask(*pairs[n]), seen)
        assert np.array_equal(batch.mask[n, 0], seen[turn])
        assert np.array_equal(batch.unseen[n, 0], (brain & ~seen)[turn])
    assert batch.pet.isfinite().all()
    assert (batch.pet[~batch.mask] == batch.outside).all()
    # The MRI is there in all of the brain, as in synthesis.
    whole = Volumes(data, [0, 1], CPU).given(pairs, scaling, flips)
    assert torch.equal(batch.mri, whole.mri)
    assert torch.equal(whole.mask, batch.mask | batch.unseen)


def test_synthesis_reads_no_pet(data) -> None:
    volumes = Volumes(data, [0, 1], CPU)
    volumes.pet = None  # whoever calls it fails
    given = volumes.given([CUT], Scaling.window(3))
    assert not hasattr(given, "pet") and np.array_equal(given.mask[0, 0], data.mask[CUT[0]])


@pytest.mark.parametrize("mirrored", [False, True])
def test_the_scaling_is_of_what_was_seen(data, packed, mirrored) -> None:
    pairs = data.pairs(0, "train")
    people = [i for i, k in pairs if k == 0]
    assert CUT[0] in people
    found = Scaling.of("voxel_mean", data, pairs, [0], mirrored=mirrored)
    whole = Scaling.of("voxel_mean", PackedDataset(packed), pairs, [0], mirrored=mirrored)
    others = [i for i in people if i != CUT[0]]
    mean = np.mean(data.pet[others, 0], axis=0)
    mean = (mean + mean[::-1]) / 2 if mirrored else mean
    above = data.mask[0] & (np.arange(data.shape[2]) >= TOP)
    np.testing.assert_allclose(found.pet_mean[0].numpy()[above], mean[above], atol=1e-5)
    assert not np.allclose(whole.pet_mean[0].numpy()[above], mean[above], atol=1e-3)
    assert np.array_equal(found.pet_mean[1:], whole.pet_mean[1:])
    assert found.pet_scale.isfinite().all()


def test_validation_is_of_what_was_seen(data, packed) -> None:
    """An image that is right where PET is known is right, whatever it has elsewhere."""
    scaling, whole = Scaling.window(3), PackedDataset(packed)
    pet = torch.from_numpy(np.array(whole.pet[CUT]))[None, None] + 0.1
    pet[..., TOP:] += 5
    for found, expected in ((data, 10 * np.log10(4 / 0.01)), (whole, None)):
        volumes = Volumes(found, [0], CPU)
        psnr = validation.mean_psnr(lambda *_: pet, volumes, scaling, [CUT], 1)
        if expected is not None:
            assert psnr == pytest.approx(expected, abs=1e-3)
        else:
            assert psnr < 10


@pytest.mark.parametrize("method", ["unet", "rela", "template", "subject-template"])
def test_a_method_is_not_drawn_to_zero_where_no_pet_reaches(tmp_path, method) -> None:
    """Every PET is of one value and ends below the vertex: so is what a method makes above."""
    packed = write_packed(tmp_path / "packed")
    pet = np.load(packed / "pet.npy")
    np.save(packed / "pet.npy", np.where(pet == BACKGROUND, pet, np.float32(0.3)))
    data = cut_pet(tmp_path / "cut", packed, [(i, k) for i in range(6) for k in range(3)], TOP)
    one = trainer(data, method, settings(scaling="window", updates=60))
    one.method.eval()
    while one.done < one.total:
        assert all(value.isfinite() for value in one.step().values())
    given = one.volumes.given([(0, 0)], one.scaling)
    image = one.method.synthesize(
        given, sampling=Sampling("regression", 1), random=[torch.Generator()]
    )
    brain = given.mask & (torch.arange(data.shape[2]) >= TOP)
    below = image[given.mask & ~brain].mean()
    assert below > 0.1
    # Drawn to the background it would be far below 0.
    assert image[brain].mean() > below - 0.15


def test_latents_of_brain_that_no_pet_shows_count_nothing() -> None:
    method, b = latent(weighting="sample"), latent_batch((16, 8, 8))
    unseen = torch.zeros_like(b.mask)
    unseen[0, ..., 5:8] = True  # lies in the second of two latents along z
    of_some = replace(b, mask=b.mask & ~unseen, unseen=unseen)
    t, truth = torch.tensor([5, 9]), method.latent(b.pet)
    error = torch.rand(truth.shape, generator=torch.Generator().manual_seed(0))
    expected = [error[0, ..., :1].square().mean(), error[1].square().mean()]
    loss = method.denoising_loss(truth + error, of_some, t)
    assert loss.item() == pytest.approx(float(sum(expected) / 2), rel=1e-4)
    whole = method.denoising_loss(truth + error, b, t)
    assert whole.item() == pytest.approx(float(error.square().mean()), rel=1e-4)
    assert not torch.isclose(loss, whole, rtol=1e-3)
