"""Spread and error by scale: power lands in its own band, and the ratio is that of the two."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import bands
from relad.data.dataset import PackedDataset
from relad.errors import ReladError
from tests.helpers.fake_study import FakeStudy

SHAPE, VOXEL_MM = (40, 48, 40), np.array([4.0, 4.0, 4.0])


@pytest.mark.parametrize(("period_mm", "band"), [(80, 0), (40, 1), (20, 2), (10, 3)])
def test_a_wave_has_its_power_in_its_own_band(period_mm: float, band: int) -> None:
    x = np.arange(SHAPE[0]) * VOXEL_MM[0]
    wave = np.broadcast_to(np.cos(2 * np.pi * x / period_mm)[:, None, None], SHAPE)
    power = bands.powers(wave, np.ones(SHAPE, bool), VOXEL_MM)
    assert power[band] == pytest.approx(0.5) and power.sum() == pytest.approx(0.5)


def test_bands_are_all_there_is() -> None:
    noise = np.random.default_rng(0).normal(size=SHAPE)
    power = bands.powers(noise, np.ones(SHAPE, bool), VOXEL_MM)
    assert power.sum() == pytest.approx(np.square(noise).mean())


@pytest.fixture(scope="module")
def fake(tmp_path_factory) -> FakeStudy:
    study = FakeStudy(tmp_path_factory.mktemp("bands"), subjects=4)
    cohort = next(iter(study.settings["cohorts"]))
    study.synthesize(cohort, "rela", sampler="ddim-10x6")
    return study


def told(fake: FakeStudy, capsys) -> list[list[str]]:
    cohort = next(iter(fake.settings["cohorts"]))
    folder = fake.synthesized(cohort, "rela")
    assert bands.main([str(folder), "--packed", str(fake.packed(cohort))]) == 0
    note, _, head, _, *rows = capsys.readouterr().out.splitlines()
    assert note.startswith("SIMULATED DATA") and "spread/skill" in head
    return [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]


def test_samples_that_err_as_they_spread_have_a_ratio_of_one(fake, capsys) -> None:
    """The fake's samples deviate by fields like its error's, with (1 + 0.2 i) of its size."""
    rows = told(fake, capsys)
    assert [row[0].partition(":")[0] for row in rows] == ["coarser", "low", "middle", "high"]
    largest = max(rows, key=lambda row: float(row[1]))
    assert float(largest[3]) == pytest.approx(1.0, abs=0.25)
    for _, error, spread, ratio in rows:
        if float(error) > 1e-3:
            assert float(ratio) == pytest.approx(
                (7 / 6 * float(spread) / float(error)) ** 0.5, abs=0.05
            )


def test_of_a_cut_pet_only_what_it_shows_counts(fake, tmp_path, capsys) -> None:
    """As where the brain itself ended there."""
    cohort = next(iter(fake.settings["cohorts"]))
    cut, smaller = fake.copy(tmp_path / "cut"), fake.copy(tmp_path / "smaller")
    shown = np.arange(fake.shape[2]) < 8
    mask, pet = (np.load(fake.packed(cohort) / f"{name}.npy") for name in ("mask", "pet"))
    np.save(cut.packed(cohort) / "pet.npy", np.where(mask[:, None] & ~shown, np.nan, pet))
    np.save(smaller.packed(cohort) / "mask.npy", mask & shown)
    rows = told(cut, capsys)
    assert rows == told(smaller, capsys) != told(fake, capsys)


def test_one_sample_has_no_spread(fake) -> None:
    cohort = next(iter(fake.settings["cohorts"]))
    with pytest.raises(ReladError, match="holds one sample of each scan"):
        bands.rows(fake.synthesized(cohort, "unet"), PackedDataset(fake.packed(cohort)))
