"""``relad paper``: what the text says is what the runs recorded, and LaTeX makes pages of it."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from relad import cli
from relad.errors import ReladError
from relad.fileio import read_json, read_table, write_json, write_table
from relad.results import origin
from relad.results.paper import writing
from relad.results.paper.bibliography import CITED, keys_of
from relad.results.paper.tex import filled
from relad.results.paper.writing import cells, subject_counts
from relad.results.runs import runs_behind
from relad.study.paths import REPOSITORY
from relad.study.sampling import Sampling
from tests.helpers.fake_study import SAMPLED, FakeStudy, accept, amend

TABLES = ("main", "fidelity", "runtime", "regions", "positivity", "decisions", "ranks")
PARTS = {"paper.tex", "numbers.tex", "verdict.tex", "methods.tex", "results.tex", "references.bib"}
needs_tex = pytest.mark.skipif(shutil.which("latexmk") is None, reason="no LaTeX on this machine")


def paper(study: FakeStudy) -> int:
    results = study.root / "results"
    made = [results / "tables" / f"{name}.csv" for name in (*TABLES, "samplers")]
    words = [results / "paper", *made, results / "figures" / "ablation.png"]
    return cli.main(["paper", *map(str, words)])


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> FakeStudy:
    study = FakeStudy(tmp_path_factory.mktemp("a paper"), subjects=6)  # a folder with a space
    study.evaluate_all()
    samplings = study.evaluate_samplings()
    for name in ("rela", "unet"):
        entry = {"inputs": ["T1w"], "class": {"rela": "relad.methods.reladiff:RelADiffusion"}.get(
            name, "baselines.unet:RegressionUNet")}  # fmt: skip
        amend(study.model(name) / "train.json", entry=entry)
    floor = {"inputs": ["T1w", "FLAIR"], "class": "baselines.template:MeanTemplate"}
    amend(study.model("template") / "train.json", entry=floor)
    for step, names in (("tables", TABLES), ("figures", ("ablation",))):
        only = [word for name in names for word in ("--only", name)]
        assert study.summarize(step, study.root / "results" / step, *only) == 0
    tables = study.root / "results" / "tables"
    assert study.call("tables", tables, samplings, "--only", "samplers") == 0
    assert paper(study) == 0
    return study


def text(study: FakeStudy, name: str) -> str:
    return (study.root / "results" / "paper" / name).read_text(encoding="utf-8")


def test_it_consists_of_a_skeleton_and_of_what_it_inputs(study):
    assert {file.name for file in (study.root / "results/paper").iterdir()} == PARTS
    for name in ("numbers", "verdict", "methods", "results"):
        assert rf"\input{{{name}}}" in text(study, "paper.tex")
    for table in (*TABLES, "samplers"):
        assert rf"\input{{../tables/{table}.tex}}" in text(study, "results.tex")
    assert "{../figures/ablation.pdf}" in text(study, "results.tex")


def test_the_numbers_are_those_of_tables_and_records(study):
    numbers = text(study, "numbers.tex")
    for name, value in (("VoxelSize", "8"), ("Updates", "500"), ("IntervalLevel", "95"),
                        ("SubjectsStudy", "6"), ("ValidationSubjects", "1"), ("Seeds", "0"),
                        ("CodeHash", "hash"), ("FoldsRun", "1"), ("FoldsCount", "2")):  # fmt: skip
        assert rf"\newcommand{{\{name}}}{{{value}}}" in numbers
    row = next(r for r in read_table(study.root / "results/tables/main.csv")
               if (r["tracer"], r["method"]) == ("tau", "unet"))  # fmt: skip
    printed = re.search(r"relad@main/study/tau/unet/psnr\}\{([\d.]+) \[", numbers)[1]
    assert printed == f"{float(row['psnr'] or 0):.2f}"
    assert rf"relad@main/study/tau/unet/psnr_low}}{{{row['psnr_low']}}}" in numbers
    names = re.findall(r"relad@([^}]*)\}", numbers)
    assert len(names) == len(set(names)) > 100
    for row in read_table(study.root / "results/tables/samplers.csv"):
        sampling = Sampling(row["sampler"], *(int(row[k]) for k in ("steps", "samples")),
                            float(row["temperature"]))  # fmt: skip
        name = f"samplers/study/rela/{sampling.name}/evaluations"
        assert f"{name}}}{{{row['evaluations']}}}" in numbers


def test_two_numbers_of_one_name_are_refused(study, tmp_path, capsys):
    folder = study.root / "results" / "tables"
    again = shutil.copytree(folder, study.root / "results" / "again")
    tables = [str(of / "main.csv") for of in (folder, again)]
    assert cli.main(["paper", str(tmp_path / "p"), *tables]) == 2
    error = capsys.readouterr().err
    assert "again/main.csv: has a number main/study/tau/rela/" in error and error.count("\n") == 1
    assert str(folder / "main.csv") in error and not (tmp_path / "p").exists()


def test_cohorts_that_differ_in_punctuation_alone_are_refused():
    def counts(*names):
        return subject_counts([{"name": n, "included": i} for i, n in enumerate(names)])

    assert counts("adni-2", "adni-3") == {"SubjectsAdniC": 0, "SubjectsAdniD": 1}
    with pytest.raises(ReladError, match="cohorts my-centre and My-Centre: their numbers"):
        counts("my-centre", "adni-2", "My-Centre")


def test_a_row_that_the_table_for_reading_leaves_out_has_the_numbers_of_the_csv(study):
    """And those that it shows have its texts, each its own."""
    whole = origin.read(study.root / "results/tables/main.csv")
    left, *others = whole.shown["groups"]
    read = whole.shown["read"][len(left) :]
    part = replace(whole, shown={**whole.shown, "groups": others, "read": read})
    rows = read_table(whole.product)
    before, after = dict(cells(whole)), dict(cells(part))
    for number, row in enumerate(rows, start=1):
        name = f"main/study/{row['tracer']}/{row['method']}/psnr"
        assert after[name] == (before[name] if number in read else row["psnr"])
        assert "[" in before[name]


def test_the_verdict_is_that_of_the_tables(study):
    summary = read_json(study.root / "results/tables/decisions.table.json")["shown"]["summary"]
    verdict = text(study, "verdict.tex")
    assert summary == ["12 of 12 comparisons are not decided"]  # of three people
    assert f"{summary[0]}." in verdict
    assert "SIMULATED DATA" in text(study, "paper.tex")


def test_the_methods_tell_what_was_compared_and_cite_it(study):
    methods = text(study, "methods.tex")
    assert "given T1w, 500 updates, 1,234,567 parameters" in methods
    assert r"(\texttt{rela})~\cite{rela,huang2024r3gan}" in methods
    assert r"(\texttt{unet})~\cite{ronneberger2015unet}" in methods
    nothing = "nothing of the person but the outline of the brain, one pass over the data"
    assert rf"(\texttt{{template}}): given {nothing}" in methods
    assert "given what its class takes" in methods  # an ablation's record has no entry
    assert r"Intervals of means are Student's t over subjects" in methods
    tested = "cross-validated in 2 folds by subject, of which 1 was run and tested 3 subjects"
    assert f"{tested}): 6 subjects, with PET of tau (6), amyloid (5)." in methods
    assert "weights were chosen on \\ValidationSubjects{} validation subjects" in methods


def test_what_is_fitted_in_one_pass_has_no_batches_and_no_validation(study, tmp_path):
    own = study.copy(tmp_path / "own")
    for file in (own.root / "results/models").glob("*/*/train.json"):
        people = read_json(file)["subjects"]
        amend(file, subjects={**people, "validation": []})
    accept(own.root / "results")
    assert paper(own) == 0
    assert "last weights were taken, as no subjects were set aside" in text(own, "methods.tex")
    assert r"\newcommand{\ValidationSubjects}{0}" in text(own, "numbers.tex")
    for file in (own.root / "results/models").glob("*/*/train.json"):
        amend(file, single_pass=True)
    accept(own.root / "results")
    assert paper(own) == 0
    assert not re.search("batches|validation subjects|weights", text(own, "methods.tex"))
    assert r"\newcommand{\BatchSize}{none}" in text(own, "numbers.tex")


def test_folds_that_were_run_are_counted(study, tmp_path):
    """Of three folds two."""
    own = study.copy(tmp_path / "own")
    file = own.packed("study") / "subjects.tsv"
    rows = read_table(file)
    for number, row in enumerate(rows):
        row["fold"] = str(number % 3)
    write_table(file, rows, list(rows[0]))
    amend(own.model("unet") / "train.json", fold=1)
    amend(own.packed("study") / "dataset.json", folds=3)
    accept(own.root / "results")
    facts = cohorts_told(own)
    assert (
        facts == "cross-validated in 3 folds by subject, of which 2 were run and tested 4 subjects"
    )


def cohorts_told(study: FakeStudy) -> str:
    """What the text says of the folds, of the records alone: no test need agree with them."""
    origins = [origin.read(study.root / "results/tables/main.csv")]
    facts = writing._facts(runs_behind(origins), origins)["text"]
    told = filled("methods.tex.j2", cited=CITED, **facts)
    return re.search(r"cross-validated in .*? subjects", told)[0]


def test_who_was_left_out_is_told_with_where_the_reason_stands(study, tmp_path):
    own = study.copy(tmp_path / "own")
    file = own.packed("elsewhere") / "subjects.tsv"
    rows = read_table(file)
    left = {**rows[0], "subject": "left", "included": "no", "reason": "no FLAIR"}
    write_table(file, [*rows, left], list(rows[0]))
    accept(own.root / "results")
    assert paper(own) == 0
    methods = text(own, "methods.tex")
    assert r"; 1 more left out (\texttt{subjects.tsv} has the reasons)." in methods
    assert "quality control" not in methods


def test_the_methods_tell_how_was_decided_and_what_could_be_found(study, tmp_path, capsys):
    methods = text(study, "methods.tex")
    for told in (
        "in 12 comparisons; Holm's correction is over the 2 methods",
        r"Hodges--Lehmann estimates~\cite{hodges1963} with the \IntervalLevel{}\,\% interval",
        r"one-sided tests~\cite{schuirmann1987}, corrected alike",
        "that does not matter: PSNR (dB) 0.3, MAE (SUVR) 0.005.",
        "never called alike: SSIM (3D), HFEN, ",
        "With one seed, nothing is known",
        "Each method was trained once, which tells of these networks",
        "PSNR (dB) none, however large, of so few subjects",
        "correction, of normal differences simulated with the very test, from the spread",
        "over 2,000 resamples",
    ):
        assert told in methods
    assert r"\newcommand{\Power}{80}" in text(study, "numbers.tex")
    # They are those of the table, not of the configuration: another table, other numbers.
    own = study.copy(tmp_path / "own")
    file = own.root / "results/tables/decisions.csv"
    rows = read_table(file)
    for number, row in enumerate(rows):
        row |= {"margin": None, "detectable": f"{1 + number}.5", "seeds": "4", "seed_spread": "1",
                "trainings": "5"}  # fmt: skip
        row["n"] = "3" if row["metric"] == "psnr" else "21"
    next(row for row in rows if row["metric"] == "mae")["detectable"] = None
    write_table(file, rows, list(rows[0]))
    assert paper(own) == 2
    assert "decisions.csv: has changed since -- make decisions again" in capsys.readouterr().err
    accept(own.root / "results")
    assert paper(own) == 0
    methods = text(own, "methods.tex")
    assert "No margin of equivalence was stated" in methods
    assert "$n = 3$: PSNR (dB) 1.50 to 2.50." in methods
    assert "$n = 21$: SSIM (3D) 3.500 to 4.500;" in methods
    assert re.search(
        r"MAE \(SUVR\) [\d.]+, none, however large, in 1 of the 2 comparisons", methods
    )
    both = r"with the very test (up to 20 subjects) or of a $t$ test with as many subjects"
    assert both in methods and r"Wilcoxon's is worth~\cite{hodges1956}, from" in methods
    assert "over 4 seeds" in methods
    assert "that the 5 trainings do not bear out" in methods and "trained once" not in methods


def test_the_methods_tell_that_nobody_was_tested_who_had_been_seen(study, tmp_path):
    methods = text(study, "methods.tex")
    assert "(trainings: 4)" in methods
    assert f"cohort trained on: {4 + len(SAMPLED)}): none had been seen" in methods
    assert "6 people tested in elsewhere, 0 have a hash of their MRI" in methods
    own = hashed(study.copy(tmp_path / "own"), "another")
    amend(own.synthesized("elsewhere", "unet") / "synthesis.json",
          left_out={own.tested("elsewhere")[1]: "the same id"})  # fmt: skip
    accept(own.root / "results")
    assert paper(own) == 0
    assert "1 have a hash of their MRI" in text(own, "methods.tex")
    assert "in which none of these is; left out, since a model knew them by id or MRI: 1." in text(
        own, "methods.tex"
    )


def hashed(study: FakeStudy, sha256: str) -> FakeStudy:
    """A study in which one person elsewhere has this hash, and one of a model another: `mine`."""
    file = study.packed("elsewhere") / "subjects.tsv"
    rows = read_table(file)
    rows[0]["mri_sha256"] = sha256
    write_table(file, rows, list(rows[0]))
    amend(study.model("rela") / "train.json", mri_sha256={"somebody": "mine"})
    return study


def test_a_paper_of_somebody_who_had_been_seen_is_refused(study, tmp_path, capsys):
    leaked = study.copy(tmp_path / "by id")
    (person, *_) = leaked.tested("study")
    amend(leaked.model("unet") / "train.json", subjects={"validation": [person]})
    same = hashed(study.copy(tmp_path / "by hash"), "mine")
    (twin, *_) = read_table(same.packed("elsewhere") / "subjects.tsv")
    for own, name, file in (
        (leaked, person, "train.json"),
        (same, twin["subject"], "synthesis.json"),
    ):
        accept(own.root / "results")
        capsys.readouterr()
        before = text(own, "methods.tex")
        assert paper(own) == 2
        error = capsys.readouterr().err
        assert f"{file}: 1 of its people were tested by a model that had seen them: {name}" in error
        assert text(own, "methods.tex") == before


def test_the_preprocessing_is_told_where_the_packed_data_say_it(study, tmp_path):
    own = study.copy(tmp_path / "own")
    tracer = {"ligand": "AV1451", "frames_min": [80, 100], "suvr_window": [0, 4],
              "reference_region": "whole_cerebellum"}  # fmt: skip
    told = {"tracers": {"tau": tracer}, "grid": {"shape": [9, 8, 7]}, "registration": {
        "brain_extraction": "template", "motion_correction": False, "to_mni": "syn"}}  # fmt: skip
    assert "Preprocessing" not in text(study, "methods.tex")
    amend(own.packed("study") / "dataset.json", preprocessing=told)
    accept(own.root / "results")
    assert paper(own) == 0
    methods = text(own, "methods.tex")
    assert "PET frames not realigned" in methods and "deepbet" not in methods
    assert "AV1451) was averaged from 80 to 100~min" in methods and "whole cerebellum" in methods


def test_what_a_person_wrote_is_left_alone_and_the_rest_made_anew(study, tmp_path):
    own = study.copy(tmp_path / "own")
    folder = own.root / "results" / "paper"
    (folder / "ours.tex").write_text("our words")
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    assert paper(own) == 0
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_what_is_missing_is_named_and_nothing_written(study, tmp_path, capsys):
    own = study.copy(tmp_path / "own")
    shutil.rmtree(own.root / "results" / "paper")
    write_json(own.model("unet") / "train.json", {"provenance": 3})
    accept(own.root / "results")
    assert paper(own) == 2
    error = capsys.readouterr().err
    assert "train.json: is no record of `relad train`" in error and error.count("\n") == 1
    assert not (own.root / "results" / "paper").exists()


def test_a_number_that_no_table_has_stops_latex_also_where_none_is_here(study):
    numbers = (study.root / "results" / "paper" / "numbers.tex").read_text()
    otherwise = numbers.partition(r"\csname relad@#1\endcsname\else")[2]
    assert otherwise.lstrip().startswith(r"\PackageError{relad}{No table has the number #1}")


def test_everything_cited_is_in_the_bibliography():
    bibliography = (REPOSITORY / "relad/results/paper/references.bib.j2").read_text()
    keys = re.findall(r"^@\w+\{(\w+),", bibliography, re.MULTILINE)
    assert len(set(keys)) == len(keys)
    assert {key for part in CITED.values() for key in part.values()} < set(keys)
    users = re.findall(r"usedby = \{([^}]*)\}\}$", bibliography, re.MULTILINE)
    assert len(users) == len(keys)
    modules = {user for of in users for user in of.split(", ") if "." in user}
    for module in modules:
        assert (REPOSITORY / f"{module.replace('.', '/')}.py").is_file(), module
        assert keys_of(module)
    assert keys_of("nothing.of.the.kind") == []


@needs_tex
def test_latex_makes_pages_of_it(study, tmp_path):
    own = study.copy(tmp_path / "an own")
    folder = own.root / "results" / "paper"
    own_text = (folder / "paper.tex").read_text().replace(
        "% Yours to write.", r"The U-Net reaches \cell{main/study/tau/unet/psnr}.", 1
    )  # fmt: skip
    (folder / "paper.tex").write_text(own_text)

    def latex() -> subprocess.CompletedProcess[str]:
        words = ["latexmk", "-pdf", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
        return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)

    done = latex()
    assert done.returncode == 0, done.stdout[-3000:]
    assert (folder / "paper.pdf").read_bytes().startswith(b"%PDF")
    assert "undefined" not in (folder / "paper.log").read_text(errors="replace")
    (folder / "paper.tex").write_text(own_text.replace("unet/psnr", "unett/psnr"))
    assert latex().returncode != 0, "a number that no table has"
    assert "No table has the number" in Path(folder / "paper.log").read_text(errors="replace")
