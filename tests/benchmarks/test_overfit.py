"""The table of what is learned by heart, at the smallest size."""

from __future__ import annotations

import pytest
import torch
import yaml

from baselines.cyclegan import CycleGAN
from baselines.template import MeanTemplate
from benchmarks import overfit
from relad.methods.method import Method
from relad.study.paths import REPOSITORY


def overfitted(packed, out, *names: str, copies: int = 1, study: str = "test.yaml") -> int:
    settings = str(REPOSITORY / "config" / study)
    given = [str(packed), str(out), "--updates", "4", "--every", "2", "--limit", "5"]
    given += ["--copies", str(copies)]
    return overfit.main([*given, "--methods", *names, "--settings", settings])


def test_a_line_for_each_method(packed, tmp_path, capsys):
    assert overfitted(packed, tmp_path, "unet", "template") == 0
    told = capsys.readouterr().out
    note, _, head, _, unet, template = told.strip().splitlines()
    assert note.startswith("**SIMULATED DATA") and "updates to 5 dB" in head
    assert unet.startswith("| unet |") and "| 2 |" in unet, "reached at the first judgement"
    cells = [cell.strip() for cell in template.strip("|").split("|")]
    assert cells[0] == "template" and cells[3] == "1", "a closed form is done in one update"
    assert (tmp_path / "overfit.md").read_text() == told


def test_a_run_that_was_killed_goes_on_where_it_stood(packed, tmp_path, capsys, monkeypatch):
    real, begun = overfit.row, []

    def row(name, *others):
        begun.append(name)
        if name == "template" and begun.count(name) == 1:
            raise KeyboardInterrupt
        return real(name, *others)

    monkeypatch.setattr(overfit, "row", row)
    with pytest.raises(KeyboardInterrupt):
        overfitted(packed, tmp_path, "unet", "template")
    (line,) = (tmp_path / "overfit.md").read_text().strip().splitlines()[4:]
    assert line.startswith("| unet |")
    assert overfitted(packed, tmp_path, "unet", "template") == 0
    assert begun == ["unet", "template", "template"]
    assert line in capsys.readouterr().out
    monkeypatch.setattr(overfit, "fingerprint", lambda module: f"other {module}")
    assert overfitted(packed, tmp_path, "template") == 0
    assert begun[3:] == ["template"], "its code has changed"


def test_a_method_looks_at_the_pair_before_it_is_taught(packed, tmp_path, monkeypatch):
    """As before every training: what is preconditioned has its spectrum from there."""
    seen = []

    class Looking(MeanTemplate):
        def prepare(self, batches):
            seen.extend(("looks", len(batch.pet)) for batch in batches)

        def update(self, batch, *, progress, random):
            seen.append(("is taught", len(batch.pet)))
            return super().update(batch, progress=progress, random=random)

    def made(who, *, device):
        return Looking(inputs=4, tracers=3)

    monkeypatch.setattr(overfit, "make", made)
    assert overfitted(packed, tmp_path, "template") == 0
    assert seen == [("looks", 1), ("is taught", 1)]
    assert overfitted(packed, tmp_path / "twice", "template", copies=2) == 0
    assert seen[2:] == [("looks", 2), ("is taught", 2)]


def test_every_method_of_the_study_is_tried(packed, tmp_path, monkeypatch):
    def named(name, *_, there_and_back=False):
        return {"method": name + overfit.THERE_AND_BACK * there_and_back}

    monkeypatch.setattr(overfit, "row", named)
    settings = ["--settings", str(REPOSITORY / "config" / "config.yaml")]
    assert overfit.main([str(packed), str(tmp_path), *settings]) == 0
    table = (tmp_path / "overfit.md").read_text().strip().splitlines()[4:]
    methods = yaml.safe_load((REPOSITORY / "config" / "methods.yaml").read_text())
    back = [m for name in methods for m in (name, name + overfit.THERE_AND_BACK)]
    expected = [m for m in back if m in methods or m.startswith("cyclegan,")]
    assert [line.strip("| ") for line in table] == expected


def test_what_cyclegan_holds_to_the_pet_is_what_comes_back_of_it(packed, tmp_path, monkeypatch):
    class Still(CycleGAN):
        def update(self, batch, *, progress, random):
            return {}

        def to_mri(self, pet, batch):
            return pet.expand_as(batch.mri)

        def to_pet(self, mri, batch):
            assert not torch.equal(mri, batch.mri), "not of the person's own MRI"
            return mri[:, :1]

    monkeypatch.setattr(overfit, "make", lambda who, device: Still(inputs=4, tracers=3, blocks=1))
    assert overfitted(packed, tmp_path, "cyclegan", study="config.yaml") == 0
    table = (tmp_path / "overfit.md").read_text().strip().splitlines()[4:]
    one_way, back = ([cell.strip() for cell in line.strip("|").split("|")] for line in table)
    assert one_way[0] == "cyclegan" and float(one_way[4]) < 30
    assert back[0] == "cyclegan, PET by way of MRI" and float(back[4]) > 100


def test_learning_rates_follow_the_course_over_all_updates():
    rates = []

    class Plain(Method):
        def __init__(self):
            super().__init__()
            self.generator = torch.nn.Linear(1, 1)
            self.optimizers = {"g": torch.optim.SGD(self.generator.parameters(), lr=2.0)}

        def update(self, batch, *, progress, random):
            rates.append((progress, self.optimizers["g"].param_groups[0]["lr"]))
            return {}

        def synthesize(self, given, *, sampling, random):
            raise NotImplementedError

        def lr_factor(self, progress, optimizer):
            return 1 - progress

    batch = type("B", (), {"mri": torch.zeros(1)})()
    psnr = iter([1.0, 3.0, 4.0])
    seen = overfit.overfit(Plain(), batch, 5, judge=lambda: next(psnr), every=2, limit=4)
    assert rates == [(i / 5, 2.0 * (1 - i / 5)) for i in range(5)]
    assert seen == [(2, 1.0), (4, 3.0), (5, 4.0)]
    psnr = iter([1.0, 4.5, 4.0])
    seen = overfit.overfit(Plain(), batch, 5, judge=lambda: next(psnr), every=2, limit=4)
    assert seen == [(2, 1.0), (4, 4.5)], "the limit was exceeded"
