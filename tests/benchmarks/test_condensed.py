"""Many trainings in few rows: what is averaged, and what seeds and cohorts do."""

from __future__ import annotations

from benchmarks import condensed
from relad.fileio import write_table
from relad.results.scores import COLUMNS
from tests.helpers.fake_study import score


def test_means_over_scans_within_a_seed_and_the_range_of_seeds(tmp_path, capsys):
    rows = [
        score(method="rela", seed=str(seed), subject=subject, tracer=tracer, value=str(value))
        for seed, add in ((0, 0.0), (1, 1.0))
        for subject, of in (("A", 20.0), ("B", 22.0))
        for tracer, value in (("tau", of + add), ("amyloid", of + add + 4))
    ]
    rows.append(score(method="rela", region="frontal", value="99"))
    rows.append(score(method="unet", sampler="forward", value="19"))
    write_table(tmp_path / "m.csv", rows, COLUMNS)
    assert condensed.main([str(tmp_path / "m.csv"), "--metrics", "psnr", "mae"]) == 0
    note, _, head, _, rela, unet = capsys.readouterr().out.strip().splitlines()
    assert note.startswith("SIMULATED DATA") and "PSNR (dB)" in head and "MAE" not in head
    assert "| 23.50 (23.00, 24.00) |" in rela and "one pass | 19.00 |" in unet


def test_several_cohorts_and_other_tables_are_refused(tmp_path, capsys):
    write_table(tmp_path / "m.csv", [score(), score(cohort="elsewhere")], COLUMNS)
    assert condensed.main([str(tmp_path / "m.csv")]) == 2
    assert "2 cohorts" in capsys.readouterr().err
    write_table(tmp_path / "t.csv", [{"a": 1}], ["a"])
    assert condensed.main([str(tmp_path / "t.csv")]) == 2
    assert "lacks the columns cohort" in capsys.readouterr().err
