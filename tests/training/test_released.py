"""The authors' released weights: their layout, and that a model made of them computes what they do.

Weights are random, in the layout of the release's checkpoints: the names below were read off its
network, which on these weights answers as MONAI's does (largest difference 3e-6).
"""

from __future__ import annotations

import builtins

import pytest
import torch

from relad import cli
from relad.data.dataset import PackedDataset
from relad.errors import ReladError
from relad.fileio import read_json, sha256_of
from relad.methods.as_released import ReleasedRelADiffusion
from relad.methods.synthesis import load_model
from relad.training import released

#: What MONAI calls otherwise today than in the library that the release carries.
RENAMED = {".out_proj.": ".to_out.0.", ".postconv.": ".conv."}
CHOSEN = ["tau", "amyloid", "tspo"]


def by_old_name(name: str) -> str:
    for new, old in RENAMED.items():
        name = name.replace(new, old)
    return name


@pytest.fixture(scope="module")
def network():
    nets = pytest.importorskip("monai.networks.nets")
    pytest.importorskip("einops")
    torch.manual_seed(0)
    network = nets.DiffusionModelUNet(
        spatial_dims=3,
        in_channels=3,
        out_channels=1,
        channels=(16, 32, 64),
        attention_levels=(False, False, True),
        num_head_channels=(0, 0, 64),
        num_res_blocks=2,
        norm_num_groups=8,
        with_conditioning=True,
        cross_attention_dim=64,
        num_class_embeds=4,
    ).eval()
    with torch.no_grad():
        for p in network.parameters():
            if not p.any():
                p.normal_(0, 0.05)
    return network


def checkpoint(network, path, change=lambda state: None):
    state = {by_old_name(k): v for k, v in network.state_dict().items()}
    change(state)
    torch.save({"model_state_dict": state, "epoch": 99}, path)
    return path


def test_the_layout_is_the_releases(network):
    names = {by_old_name(k) for k in network.state_dict()}
    assert len(names) == 367
    assert sum(v.numel() for v in network.state_dict().values()) == 3_038_017
    block = "down_blocks.2.attentions.0.transformer_blocks.0."
    assert {
        f"{block}attn1.to_out.0.weight",
        f"{block}attn2.to_out.0.bias",
        "middle_block.attention.transformer_blocks.0.attn2.to_out.0.weight",
        "up_blocks.0.upsampler.conv.conv.weight",
        "up_blocks.1.upsampler.conv.conv.bias",
        "class_embedding.weight",
        "conv_in.conv.weight",
        "out.2.conv.bias",
    } <= names


@pytest.mark.parametrize("tracers", [CHOSEN, ["tspo", "tau"]], ids=str)
def test_the_model_answers_as_the_released_network(network, tmp_path, tracers):
    """Also at a size that its strides do not divide, where ours pads and theirs fails."""
    file = checkpoint(network, tmp_path / "epoch99_checkpoint.pt")
    released.main([str(file), str(tmp_path / "model"), "--tracers", *tracers])
    method, _, info = load_model(tmp_path / "model", torch.device("cpu"))
    assert isinstance(method, ReleasedRelADiffusion)
    assert info["tracers"] == tracers and info["kind"] == "real"
    assert info["weights_sha256"] == sha256_of(tmp_path / "model" / "model.safetensors")
    random = torch.Generator().manual_seed(1)
    x = torch.randn(2, 3, 12, 16, 8, generator=random)
    t = torch.tensor([3, 900])
    theirs = torch.tensor([{"tspo": 0, "amyloid": 1, "tau": 2}[name] for name in tracers[:2]])
    with torch.no_grad():
        expected = network(x, timesteps=t, class_labels=theirs)
        found = method.generator(x, torch.arange(2), t)
        assert method.generator(x[..., :7, :5], torch.arange(2), t).shape == (2, 1, 12, 7, 5)
    assert expected.std() > 0.1
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)


def test_relad_synthesize_takes_the_model(network, packed_external, tmp_path):
    tracers = PackedDataset(packed_external).tracers
    file = checkpoint(network, tmp_path / "epoch99_checkpoint.pt")
    released.convert(file, tmp_path / "model", tracers)
    arguments = [str(tmp_path / "model"), str(packed_external), str(tmp_path / "out")]
    assert cli.main(["synthesize", *arguments, "--sampler", "ddim", "--steps", "2"]) == 0
    said = read_json(tmp_path / "out" / "synthesis.json")
    assert (said["method"], said["sampler"]) == ("rela-as-released", "ddim-2")
    assert len(list((tmp_path / "out").glob("*.nii.gz"))) > 0


def test_a_training_may_use_the_network(network):
    method = ReleasedRelADiffusion(inputs=2, tracers=3, released_network=True, lr=3e-5)
    group = method.optimizers["generator"].param_groups[0]
    assert group["lr"] == 3e-5
    assert {id(p) for p in group["params"]} == {id(p) for p in method.generator.parameters()}
    assert sum(p.numel() for p in method.generator.parameters()) == 3_038_017


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: s.pop("conv_in.conv.weight"), "366 tensors, 367 expected"),
        (lambda s: s.update(more=torch.zeros(1)), "368 tensors, 367 expected"),
        (lambda s: s.pop("up_blocks.1.upsampler.conv.conv.bias"), "upsampler.conv.conv.bias"),
        (lambda s: s.update({"out.2.conv.bias": torch.zeros(2)}), "size mismatch"),
        (lambda s: s.pop("class_embedding.weight"), "holds no generator of the release"),
    ],
)
def test_other_weights_are_refused(network, tmp_path, change, said):
    file = checkpoint(network, tmp_path / "x.pt", change)
    with pytest.raises(ReladError, match=said) as error:
        released.convert(file, tmp_path / "model", CHOSEN)
    assert str(file) in str(error.value)
    assert not (tmp_path / "model").exists()


def test_no_checkpoint_a_damaged_one_and_an_unknown_tracer(network, tmp_path):
    with pytest.raises(ReladError, match="no such checkpoint"):
        released.read(tmp_path / "none.pt")
    (tmp_path / "bad.pt").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(ReladError, match=r"bad.pt: holds no generator"):
        released.read(tmp_path / "bad.pt")
    file = checkpoint(network, tmp_path / "x.pt")
    with pytest.raises(ReladError, match="knows no tracer fdg"):
        released.convert(file, tmp_path / "model", ["tau", "fdg"])


def test_without_monai_it_is_one_clear_error(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("monai"):
            raise ImportError("No module named 'monai'")
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ReladError, match=r"MONAI's, which is not installed.*pip install monai"):
        ReleasedRelADiffusion(inputs=2, tracers=3, released_network=True)
