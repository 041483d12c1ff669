"""Table of who is positive, told by what."""

from __future__ import annotations

from relad.cli import main
from relad.results.tables.downstream import downstream_table
from relad.results.tables.positivity import positivity_table
from tests.helpers.fake_study import entry, make_settings, score, scores_of
from tests.helpers.positive import CUT, TRUE, rows_of, shrunk

DOWNSTREAM, POSITIVITY = entry("table", "downstream"), entry("table", "positivity")


def test_what_is_so_by_construction_stands_without_an_interval(tmp_path) -> None:
    rows = [*rows_of("unet", shrunk(0.5)), *rows_of("template", shrunk(0))]
    (lines,) = downstream_table(scores_of(tmp_path, *rows), DOWNSTREAM).groups
    real, unet, template, mri = ([cell.text for cell in line] for line in lines)
    assert real[2:9] == ["Real PET (ceiling)", "4", "4", "1.00", "n/a", "1.00", "1.00"]
    assert template[2:9] == ["Mean template", "4", "4", "0.50", "n/a", "1.00", "0.00"]
    assert all("[" in cell for cell in (unet[5], *unet[7:11]))
    assert mri[2].startswith("MRI and age alone") and mri[5:11] == ["n/a"] * 6


def test_what_one_class_lacks_is_not_available(tmp_path) -> None:
    some = {s: v for s, v in TRUE.items() if v >= CUT}
    table = downstream_table(scores_of(tmp_path, *rows_of("unet", some)), DOWNSTREAM)
    assert "nan" not in table.markdown().lower() and "n/a" in table.markdown()
    assert "amyloid (AV45): no cut, so no rows" in table.caption
    assert "one fold alone was tested; for people elsewhere, of all." in table.caption


def test_cohorts_without_rows_and_people_without_the_region_are_told(tmp_path) -> None:
    settings = make_settings()
    settings["cohorts"] |= {site: {"role": "external"} for site in ("siteA", "siteB", "siteC")}
    known = rows_of("unet", TRUE, cohort="siteA")
    known = [r for r in known if (r["subject"], r["region"]) != ("A", "thalamus")]
    known += [r for r in rows_of("unet", TRUE, cohort="siteB") if r["region"] == "brain"]
    known += [
        score(cohort=site, subject=s, metric=m, fold=int(s > "D"))
        for site in ("siteA", "siteB") for s in TRUE for m in ("psnr", "mae")
    ]  # fmt: skip
    study = scores_of(tmp_path, *known, settings=settings)
    left = "brain mask holds too little of the region: 1 of 8 of siteA (tau (AV1451)"
    for make, result in ((downstream_table, DOWNSTREAM), (positivity_table, POSITIVITY)):
        caption = make(study, result).caption
        assert f"{left}, thalamus); all 8 of siteB (tau (AV1451), thalamus)." in caption
        assert caption.split(". ")[0].endswith(": siteA")


def test_a_study_without_a_cut_has_tables_that_say_so(tmp_path) -> None:
    settings = make_settings()
    settings["tracers"]["tau"]["positivity"] = None
    brain = [score(subject=s, metric=m, fold=int(s > "D")) for s in TRUE for m in ("psnr", "mae")]
    study = scores_of(tmp_path, *rows_of("unet", TRUE), *brain, settings=settings)
    for table in (downstream_table(study, DOWNSTREAM), positivity_table(study, POSITIVITY)):
        assert table.rows.empty and "tau (AV1451): no cut, so no rows" in table.caption
        assert table.warning.startswith("SIMULATED DATA")
        for file in table.write(tmp_path):
            assert file.stat().st_size > 0
    study.scores = study.scores[study.scores["metric"].isin(["psnr", "mae"])]
    assert downstream_table(study, DOWNSTREAM) is None
    assert positivity_table(study, POSITIVITY) is None


def test_the_command_writes_the_tables(fake, tmp_path) -> None:
    for name in ("regions", "downstream", "positivity"):
        assert fake.summarize("tables", tmp_path, "--only", name) == 0
        assert "SIMULATED DATA" in (tmp_path / f"{name}.md").read_text()
    without = [str(fake.metrics(*run)) for run in fake.runs]
    command = ["tables", *without, "--only", "downstream", "--out", str(tmp_path / "less")]
    assert main([*command, "--settings", fake.settings_file]) == 0
