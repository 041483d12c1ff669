"""What a batch does with its brain mask."""

from __future__ import annotations

import pytest
import torch

from relad.data.batch import Batch, Condition


def batch(outside: float = -1.0) -> Batch:
    """Two volumes whose brains have three and five voxels."""
    random = torch.Generator().manual_seed(0)
    mask = torch.zeros(2, 1, 2, 2, 3, dtype=torch.bool)
    mask[0, 0, 0, 0], mask[1, 0, 1, :, :] = True, True
    mask[1, 0, 1, 0, 0] = False
    pet = torch.randn(mask.shape, generator=random)
    mri = torch.randn(2, 2, 2, 2, 3, generator=random)
    unseen = torch.zeros_like(mask)
    unseen[0, 0, 1] = True
    return Batch(mri, torch.tensor([3, 1]), mask, torch.tensor(outside), pet, unseen)


def test_brain_mean_is_each_brains_own():
    b = batch()
    value = torch.arange(24.0).view(2, 1, 2, 2, 3)
    # 0, 1, 2 of the first brain; 19 to 23 of the second
    torch.testing.assert_close(b.brain_mean(value), torch.tensor([1.0, 21.0]))
    spoilt = torch.where(b.mask, value, 1e6)
    torch.testing.assert_close(b.brain_mean(spoilt), b.brain_mean(value))


@pytest.mark.parametrize("outside", [-1.0, 0.0])
def test_outside_the_brain_a_volume_takes_the_known_value(outside):
    b = batch(outside)
    volume = b.in_brain(b.pet + 5)
    assert (volume[~b.mask] == outside).all()
    assert torch.equal(volume[b.mask], b.pet[b.mask] + 5)


def test_one_sample_has_what_is_its_own():
    b = batch()
    for i in range(2):
        one = b.sample(i)
        for name in ("mri", "tracer", "mask", "pet", "unseen"):
            assert torch.equal(getattr(one, name), getattr(b, name)[i : i + 1])
        assert one.outside is b.outside


def test_a_batch_says_what_its_pet_does_not_show():
    """Who forgot it would have a loss over the whole volume count such brain as background."""
    known = {k: v for k, v in vars(batch()).items() if k != "unseen"}
    with pytest.raises(TypeError, match="unseen"):
        Batch(**known)


def test_a_condition_holds_no_truth():
    b = batch()
    assert type(b.condition) is Condition
    assert set(vars(b)) - set(vars(b.condition)) == {"pet", "unseen"}
    assert all(value is getattr(b, name) for name, value in vars(b.condition).items())
