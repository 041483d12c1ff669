"""The table of what is learned by heart, at the smallest size."""

from __future__ import annotations

import torch

from benchmarks import overfit
from relad.methods.method import Method
from relad.study.paths import REPOSITORY


def test_a_line_for_each_method(packed, capsys):
    settings = str(REPOSITORY / "config" / "test.yaml")
    arguments = [str(packed), "--methods", "unet", "template", "--updates", "4", "--every", "2"]
    assert overfit.main([*arguments, "--limit", "5", "--settings", settings]) == 0
    head, _, unet, template = capsys.readouterr().out.strip().splitlines()
    assert "updates to 5 dB" in head
    assert unet.startswith("| unet |") and "| 2 |" in unet, "reached at the first judgement"
    cells = [cell.strip() for cell in template.strip("|").split("|")]
    assert cells[0] == "template" and cells[5] == "1", "a closed form is done in one update"


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
    seen = overfit.overfit(Plain(), batch, 5, judge=lambda: 1.0, every=2)
    assert rates == [(i / 5, 2.0 * (1 - i / 5)) for i in range(5)]
    assert [n for n, _ in seen] == [2, 4, 5]
