"""What a model's images depend on: a model that looks at nothing is told from one that does."""

from __future__ import annotations

import pytest
import torch

from benchmarks import dependence
from relad.data.dataset import PackedDataset


def cells(printed: str) -> list[list[str]]:
    note, _, head, _, *rows = printed.strip().splitlines()
    assert note.startswith("SIMULATED DATA") and "T1w (%)" in head
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_a_line_per_model(validated, packed, capsys):
    given = [str(validated), str(validated), "--packed", str(packed)]
    assert dependence.main(given) == 0
    first, second = cells(capsys.readouterr().out)
    assert first == second, "the same on every run"
    name, sampling, *shares = first
    assert name == "rela, fold 0, seed 0" and sampling.endswith("-1") and len(shares) == 4


@pytest.mark.parametrize("looks_at", ["tracer", "T1w", "FLAIR", "noise"])
def test_only_what_a_model_looks_at_moves_it(validated, packed, monkeypatch, looks_at):
    load = dependence.load_model

    def loaded(*given):
        method, scaling, info = load(*given)

        def synthesize(given, *, sampling, random):
            mri, m = given.mri, given.mri.shape[1] // 2
            noise = torch.stack([torch.randn((), generator=r) for r in random])
            seen = {
                "tracer": given.tracer.float()[:, None, None, None, None].expand_as(mri[:, :1]),
                "T1w": mri[:, [0]],  # the MRI itself, and below its deviation
                "FLAIR": mri[:, [m + 1]],
                "noise": noise[:, None, None, None, None].expand_as(mri[:, :1]),
            }
            return seen[looks_at]

        monkeypatch.setattr(method, "synthesize", synthesize)
        return method, scaling, info

    monkeypatch.setattr(dependence, "load_model", loaded)
    row = dependence.measured(validated, PackedDataset(packed))
    moved = {name.removesuffix(" (%)"): float(v) for name, v in list(row.items())[2:]}
    assert [name for name, value in moved.items() if value > 1] == [looks_at]
    assert all(value == 0 for name, value in moved.items() if name != looks_at)


def test_a_tracer_moves_by_what_the_network_makes_of_it(validated, packed, monkeypatch):
    """In the units that it learns, in which the truth has the size of 100 %."""
    load, data = dependence.load_model, PackedDataset(packed)

    def loaded(*given):
        method, scaling, info = load(*given)
        steps = torch.tensor(
            [0.0, 3.0, 0.0]
        )  # tau to amyloid and amyloid to tspo move, tspo to tau not

        def synthesize(given, *, sampling, random):
            return steps[given.tracer][:, None, None, None, None].expand_as(given.mri[:, :1])

        monkeypatch.setattr(method, "synthesize", synthesize)
        return method, scaling, info

    monkeypatch.setattr(dependence, "load_model", loaded)
    of_truth: dict[bool, float] = {}
    batch = dependence.Volumes.batch

    def noted(self, pairs, scaling):
        found = batch(self, pairs, scaling)
        of_truth[True] = of_truth.get(True, 0) + float(found.pet[found.mask].square().sum())
        of_truth[False] = of_truth.get(False, 0) + float(found.mask[found.tracer < 2].sum() * 9)
        return found

    monkeypatch.setattr(dependence.Volumes, "batch", noted)
    row = dependence.measured(validated, data)
    expected = 100 * (of_truth[False] / of_truth[True]) ** 0.5
    assert float(row["tracer (%)"]) == pytest.approx(expected, rel=0.05)
