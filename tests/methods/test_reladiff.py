"""RelA-Diffusion: what it is with its terms off, and that each term does what it says."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from baselines.ddpm import DDPM
from relad.data.batch import Batch
from relad.errors import ReladError
from relad.methods.as_released import ReleasedRelADiffusion
from relad.methods.method import build
from relad.methods.reladiff import RelADiffusion
from relad.study.sampling import Sampling
from relad.study.settings import TrainedMethod

NETWORK = {"channels": [8, 16]}
RANDOM = torch.Generator()


def batch(seed: int = 0) -> Batch:
    random = torch.Generator().manual_seed(seed)
    shape = (2, 1, 12, 8, 10)
    mask = torch.ones(shape, dtype=torch.bool)
    mask[..., :2] = False
    pet = torch.where(mask, torch.randn(shape, generator=random) * 0.2, -1.0)
    mri = torch.randn(2, 2, *shape[2:], generator=random)
    return Batch(mri, torch.tensor([0, 1]), mask, torch.tensor(-1.0), pet, torch.zeros_like(mask))


def rela(**params) -> RelADiffusion:
    torch.manual_seed(0)
    params = {"network": NETWORK, "discriminator": {"channels": [8, 8]}, **params}
    return RelADiffusion(inputs=2, tracers=2, **params)


def train(method, updates: int = 4) -> list[dict]:
    return [
        method.update(batch(i), progress=i / updates, random=torch.Generator().manual_seed(100 + i))
        for i in range(updates)
    ]


DIFFUSION = [
    {},
    {"prediction": "epsilon", "weighting": "epsilon"},
    {"prediction": "v", "weighting": "v", "schedule": {"zero_terminal_snr": True}},
    {"schedule": {"kind": "cosine"}, "weighting": "truncated"},
    {
        "prediction": "preconditioned",
        "weighting": "unit",
        "schedule": {"zero_terminal_snr": True},
    },
    {"network": {**NETWORK, "attention": [1], "checkpointing": True}},
]


@pytest.mark.parametrize("options", DIFFUSION, ids=str)
@pytest.mark.parametrize("x0_weighting", ["uniform", "snr"])
@pytest.mark.parametrize("make", [RelADiffusion, ReleasedRelADiffusion])
def test_without_adversary_and_l1_it_is_plain_ddpm_to_the_bit(make, x0_weighting, options):
    options = {"network": NETWORK, **options}
    torch.manual_seed(0)
    ddpm = DDPM(inputs=2, tracers=2, **options)
    off = {"lambda_adv": 0.0, "lambda_l1": 0.0, "x0_weighting": x0_weighting}
    torch.manual_seed(0)
    ours = make(inputs=2, tracers=2, **off, **options)
    logs = [train(method) for method in (ours, ddpm)]
    assert [log["denoising"].item() for log in logs[0]] == [
        log["denoising"].item() for log in logs[1]
    ]
    for a, b in zip(ours.generator.parameters(), ddpm.generator.parameters(), strict=True):
        assert torch.equal(a, b)


def test_adversary_starts_after_its_share_of_the_training():
    method = rela(adversary_from=0.5)
    assert ["adversarial" in log for log in train(method)] == [False, False, True, True]


def test_penalty_is_lazy_and_can_be_left_out():
    assert ["penalty" in log for log in train(rela(adversary_from=0.0, penalty_every=2))] == [
        True,
        False,
        True,
        False,
    ]
    assert not any("penalty" in log for log in train(rela(adversary_from=0.0, gamma=0.0)))


def test_the_part_of_the_mri_is_computed_once_for_all_pet_in_each_step_of_d_and_g():
    method, computed = rela(adversary_from=0.0, lambda_adv=1.0, penalty_every=1), []
    conditions = method.discriminator.conditions

    def counted(*given):
        computed.append(all(p.requires_grad for p in method.discriminator.parameters()))
        return conditions(*given)

    method.discriminator.conditions = counted
    assert "penalty" in train(method, 1)[0]
    assert computed == [True, False], "of D while it learns, of D as it is then while G does"


def test_generator_step_leaves_the_discriminator_alone_and_the_reverse():
    method = rela(adversary_from=0.0)
    generator = [p.clone() for p in method.generator.parameters()]
    method.update_discriminator(batch().pet + 0.1, batch(), torch.tensor([5, 900]), 0.5, RANDOM)
    assert all(
        torch.equal(a, b) for a, b in zip(generator, method.generator.parameters(), strict=True)
    )
    method.optimizers["discriminator"].step = lambda: None
    discriminator = [p.clone() for p in method.discriminator.parameters()]
    method.update(batch(), progress=0.5, random=torch.Generator().manual_seed(0))
    assert all(
        torch.equal(a, b)
        for a, b in zip(discriminator, method.discriminator.parameters(), strict=True)
    )
    assert not all(
        torch.equal(a, b) for a, b in zip(generator, method.generator.parameters(), strict=True)
    )
    assert all(p.requires_grad for p in method.discriminator.parameters())


def test_clean_prediction_is_not_clamped_before_the_losses():
    """The release clamps to [-1, 1] first, which leaves no gradient where it saturates."""
    method = rela(lambda_adv=0.0)
    with torch.no_grad():
        method.generator.last.bias.fill_(5.0)
    b = batch()
    x0_hat = method.x0_hat(b.pet, torch.tensor([10, 999]), b)
    assert x0_hat[b.mask].min() > 1.0
    x0_hat[b.mask].sum().backward()
    assert method.generator.last.bias.grad.abs().min() > 0


def test_clean_predictions_are_clipped_in_sampling_alone_and_only_where_asked():
    seen = {}
    for clip in (None, 0.5):
        method = rela(lambda_adv=0.0, clip_sample=clip)
        with torch.no_grad():
            method.generator.last.bias.fill_(5.0)
        random = [torch.Generator().manual_seed(i) for i in range(len(batch().mri))]
        pet = method.synthesize(batch(), sampling=Sampling("ddim", 3), random=random)
        log = method.update(batch(), progress=0.5, random=torch.Generator().manual_seed(0))
        seen[clip] = pet[batch().mask].max().item(), log["l1"].item()
    assert seen[None][0] > 1.0 and seen[0.5][0] == 0.5
    assert seen[None][1] == seen[0.5][1]


def test_outside_the_brain_the_prediction_is_background():
    b = batch()
    x0_hat = rela().x0_hat(b.pet, torch.tensor([10, 999]), b)
    assert (x0_hat[~b.mask] == -1).all()


def test_losses_do_not_see_voxels_outside_the_brain():
    method = rela(lambda_adv=0.0)
    b = batch()
    other = replace(b, pet=torch.where(b.mask, b.pet, 3.0))
    x0_hat = torch.zeros_like(b.pet)
    t = torch.tensor([10, 999])
    assert torch.equal(method.denoising_loss(x0_hat, b, t), method.denoising_loss(x0_hat, other, t))


@pytest.mark.parametrize(
    "option", ["adversary", "x0_weighting", "critic_reduction", "prediction", "weighting"]
)
def test_an_unknown_choice_is_named(option):
    with pytest.raises(ValueError, match="'wasserstein' is none of"):
        rela(**{option: "wasserstein"})


@pytest.mark.parametrize(
    ("option", "value"),
    [("lambda_l1", -1.0), ("lambda_adv", -0.1), ("gamma", -1.0), ("penalty_every", 0),
     ("adversary_from", 20.0), ("gamma", math.nan)],
)  # fmt: skip
def test_a_setting_that_would_leave_a_term_out_in_silence_is_named(option, value):
    with pytest.raises(ValueError, match=f"{option} {value!r} is not a"):
        rela(**{option: value})


def test_epsilon_at_zero_terminal_snr_is_one_clear_error():
    params = {"prediction": "epsilon", "schedule": {"zero_terminal_snr": True}}
    entry = TrainedMethod("relad.methods.reladiff:RelADiffusion", ("T1w", "FLAIR"), params, None)
    with pytest.raises(ReladError, match=r"'x': prediction 'epsilon' .* zero terminal SNR"):
        build("x", entry, inputs=2, tracers=2)


def softplus(x: float) -> float:
    return max(x, 0.0) + math.log1p(math.exp(-abs(x)))


@pytest.mark.parametrize("reduction", ["mean", "sum", "patch"])
@pytest.mark.parametrize("weighting", ["uniform", "snr", "alpha_bar"])
def test_every_logged_loss_equals_an_independent_float64_computation(weighting, reduction):
    """L_D, the penalty and each term of L_G, voxel by voxel from what the networks answer."""
    method = rela(
        x0_weighting=weighting,
        critic_reduction=reduction,
        prediction="epsilon",
        weighting="epsilon",
        adversary_from=0.0,
        gamma=0.7,
        penalty_every=1,
        lr=0.0,
        lr_discriminator=0.0,  # so that every term is of the same networks
        discriminator={"channels": [8, 8], "time": True},
    ).double()
    b = batch()
    b = replace(b, mri=b.mri.double(), pet=b.pet.double(), outside=b.outside.double())
    with torch.no_grad():  # an output other than zero
        method.generator.last.weight.normal_(0, 0.02)
    float64 = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)  # noise is drawn in the default type
    try:
        log = method.update(b, progress=0.5, random=torch.Generator().manual_seed(3))
        x_t, t = method.noised(b, torch.Generator().manual_seed(3))
    finally:
        torch.set_default_dtype(float64)
    root = np.cumprod(1 - np.linspace(5e-4**0.5, 1.95e-2**0.5, 1000) ** 2)[t.numpy()]
    with torch.no_grad():
        eps_hat = method.generator(torch.cat([x_t, b.mri], 1), b.tracer, t).numpy()
    mask, x0 = b.mask.numpy(), b.pet.numpy()
    value = {"fake": [], "real": []}
    norms, denoising, l1, w = [], [], [], []
    for i, abar in enumerate(root):
        x0_hat = (x_t[i].numpy() - np.sqrt(1 - abar) * eps_hat[i]) / np.sqrt(abar)
        x0_hat = np.where(mask[i], x0_hat, -1.0)
        epsilon = (x_t[i].numpy() - np.sqrt(abar) * x0[i]) / np.sqrt(1 - abar)
        denoising.append(np.square(epsilon - eps_hat[i])[mask[i]].mean())
        l1.append(np.abs(x0_hat - x0[i])[mask[i]].mean())
        w.append(
            {
                "uniform": 1.0,
                "snr": min(1.0, np.sqrt(abar / (1 - abar))),
                "alpha_bar": abar,
            }[weighting]
        )
        for name, volume in (("fake", x0_hat), ("real", x0[i])):
            volume = torch.tensor(volume[None], requires_grad=True)
            logits = method.discriminator(
                volume, b.mri[i : i + 1], b.tracer[i : i + 1], t[i : i + 1]
            )
            reduced = logits.sum() / (logits.numel() if reduction == "mean" else 1)
            reduced.backward()
            value[name].append(
                logits.flatten().tolist() if reduction == "patch" else [reduced.item()]
            )
            norms.append(float(volume.grad.square().sum()))
    pairs = [
        list(zip(*both, strict=True)) for both in zip(value["fake"], value["real"], strict=True)
    ]
    adversarial = [np.mean([softplus(r - f) for f, r in patches]) for patches in pairs]
    expected = {
        "denoising": np.mean(denoising),
        "l1": np.mean(np.multiply(w, l1)),
        "adversarial": np.mean(np.multiply(w, adversarial)),
        "discriminator": np.mean([[softplus(f - r) for f, r in patches] for patches in pairs]),
        "discriminator_accuracy": np.mean([[r > f for f, r in patches] for patches in pairs]),
        "penalty": 0.5 * 0.7 * sum(norms) / len(root),
    }
    expected["penalty_ratio"] = expected["penalty"] / expected["discriminator"]
    assert set(log) == {*expected, "adversarial_share"}
    if reduction == "patch":  # drawn; see test_gradient_penalty.py
        del expected["penalty"], expected["penalty_ratio"]
    for name, number in expected.items():
        assert log[name].item() == pytest.approx(number, rel=1e-6), name


def test_gamma_and_beta2_run_to_their_ends_while_the_adversary_trains():
    method = rela(
        adversary_from=0.2,
        anneal_until=0.6,
        gamma=1.0,
        gamma_end=0.1,
        betas_discriminator=[0.0, 0.9],
        beta2_end=0.99,
        penalty_every=1,
    )
    gammas = [method.annealed(1.0, 0.1, progress) for progress in (0.0, 0.2, 0.4, 0.6, 0.9)]
    assert gammas == pytest.approx([1.0, 1.0, 0.55, 0.1, 0.1])
    t = torch.tensor([5, 900])
    x0_hat = batch().pet + 0.1
    for progress, gamma, beta2 in ((0.2, 1.0, 0.9), (0.4, 0.55, 0.945), (0.8, 0.1, 0.99)):
        plain = sum(method.penalty(x, batch(), t) for x in (batch().pet, x0_hat))
        log = method.update_discriminator(x0_hat, batch(), t, progress, RANDOM)
        assert log["penalty"].item() == pytest.approx(0.5 * gamma * plain.item(), rel=1e-5)
        group = method.optimizers["discriminator"].param_groups[0]
        assert group["betas"] == pytest.approx((0.0, beta2))


def test_the_log_stays_finite_when_the_discriminator_has_won():
    """softplus(-200) is 0 in float32; a logged ratio must not end the training for it."""
    method = rela(adversary_from=0.0, penalty_every=1, critic_reduction="sum")
    with torch.no_grad():
        for p in method.discriminator.parameters():
            p.mul_(10.0)
    b, t = batch(), torch.tensor([5, 900])
    with torch.no_grad():  # move each sample to where D finds it false
        up, down = (method.critic(b, t)(b.pet + shift) for shift in (3.0, -3.0))
    shift = torch.where(up < down, 3.0, -3.0)[:, None, None, None, None]
    log = method.update_discriminator(b.pet + shift, b, t, 0.5, RANDOM)
    assert log["discriminator"] == 0 and log["penalty"] > 0
    assert all(torch.isfinite(value) for value in log.values())


def test_generator_and_discriminator_have_their_own_optimisers_and_schedules():
    method = rela(lr=3e-4, betas=[0.5, 0.9], lr_discriminator=1e-3, constant_lr_discriminator=True)
    groups = {name: o.param_groups[0] for name, o in method.optimizers.items()}
    assert (groups["generator"]["lr"], groups["generator"]["betas"]) == (3e-4, (0.5, 0.9))
    assert (groups["discriminator"]["lr"], groups["discriminator"]["betas"]) == (1e-3, (0.0, 0.99))
    assert method.lr_factor(0.99, "discriminator") == 1.0
    assert method.lr_factor(0.99, "generator") < 0.05
    assert rela().lr_factor(0.99, "discriminator") < 0.05


def gradients(method: RelADiffusion) -> torch.Tensor:
    """What one update finds, of all parameters of the generator."""
    with torch.no_grad():  # an output other than zero
        method.generator.last.weight.normal_(0, 0.1, generator=torch.Generator().manual_seed(1))
    method.update(batch(), progress=0.5, random=torch.Generator().manual_seed(0))
    return torch.cat([p.grad.flatten() for p in method.generator.parameters()])


@pytest.mark.parametrize("reduction", ["mean", "sum", "patch"])
@pytest.mark.parametrize("x0_weighting", ["uniform", "snr"])
def test_balanced_the_adversary_pulls_lambda_times_as_hard_whatever_its_size(
    reduction, x0_weighting
):
    """Per sample at x0_hat: so for any scale of the logits, weight over t and number of patches."""
    shares = []
    for scale in (1.0, 100.0):
        method = rela(
            balance=True,
            lambda_adv=0.5,
            critic_reduction=reduction,
            x0_weighting=x0_weighting,
            adversary_from=0.0,
            lr_discriminator=0.0,
        )
        with torch.no_grad():
            method.discriminator.last.weight.mul_(scale)
        log = train(method, 1)[0]
        shares.append(log["adversarial_share"].item())
    assert shares == pytest.approx([1 / 3, 1 / 3], rel=1e-4)


def test_the_logged_share_is_that_of_the_gradients_at_the_clean_prediction():
    """Of one voxel's bias, which every voxel of x0_hat moves with: signs and sizes by hand."""
    terms = {"lambda_l1": 0.0, "lr_discriminator": 0.0, "adversary_from": 0.0, "gamma": 0.0}
    method = rela(lambda_adv=2.0, **terms)
    b, t = batch(), torch.tensor([300, 800])
    x0_hat = (b.pet + 0.3).requires_grad_(True)
    fake, real = method.critic(b, t)(x0_hat), method.critic(b, t)(b.pet)
    adversarial = torch.nn.functional.softplus(real - fake).mean()
    of_adversary = torch.autograd.grad(adversarial, x0_hat)[0] * b.mask
    of_adversary = of_adversary.flatten(1).norm(dim=1)
    voxels = b.mask.flatten(1).sum(1)
    snr = method.schedule.snr[t].clamp(1.0, 5.0)
    of_denoising = snr * 2 * 0.3 / voxels.sqrt() / len(voxels)  # 0.3 off in every voxel
    loss = method.denoising_loss(x0_hat, b, t)
    strength, share = method.strength(
        loss, method.loss_g(method.critic(b, t)(x0_hat), real).mean(), x0_hat, b.mask
    )
    expected = (2 * of_adversary / (2 * of_adversary + of_denoising)).mean()
    torch.testing.assert_close(share, expected)
    assert strength.tolist() == [2.0, 2.0]


def test_the_adversary_moves_the_generator_by_lambda_times_its_own_gradient():
    """Without balance: linear in lambda_adv, and nothing at 0."""
    terms = {"adversary_from": 0.0, "lr_discriminator": 0.0, "lr": 0.0}
    none, one, three = (gradients(rela(lambda_adv=k, **terms)) for k in (1e-12, 1.0, 3.0))
    assert (one - none).norm() > 1e-3 * none.norm()
    torch.testing.assert_close(three - none, 3 * (one - none), rtol=1e-3, atol=1e-6)
