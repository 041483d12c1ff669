"""``relad explain``: a cell names what it is made of, and what is named gives the cell."""

from __future__ import annotations

import csv
import re
import shutil
from copy import deepcopy
from dataclasses import replace
from itertools import combinations_with_replacement
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from relad import cli
from relad.data.dataset import PackedDataset
from relad.fileio import read_json, read_table, sha256_of, write_json, write_table, write_text
from relad.imaging import atlas
from relad.results import origin
from relad.results.discrimination import youden_cut
from relad.results.explain.cell import choose, made_again, metric_rows, same, subject_values
from relad.results.scores import COLUMNS
from relad.study import paths
from tests.helpers.fake_study import FakeStudy, amend


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> FakeStudy:
    """Two seeds at home, all tables, the samplers' too."""
    study = FakeStudy(tmp_path_factory.mktemp("explain"), subjects=6)
    study.evaluate_all()
    home = [run for run in study.runs if run[0] == "study"]
    for run in home:
        study.synthesize(*run, seed=1)
        assert study.evaluate(*run, seed=1) == 0
    tables = study.root / "results" / "tables"
    every = [study.metrics(*run) for run in study.runs]
    every += [study.metrics(*run, seed=1) for run in home]
    assert study.call("tables", tables, every) == 0
    assert study.call("tables", tables, study.evaluate_samplings(), "--only", "samplers") == 0
    return study


@pytest.fixture
def own(study: FakeStudy, tmp_path: Path) -> FakeStudy:
    """A copy elsewhere, to be spoilt."""
    return study.copy(tmp_path / "own")


def explain(study: FakeStudy, name: str, row: str, column: str, *options: str) -> int:
    table = study.root / "results" / "tables" / f"{name}.csv"
    return cli.main(["explain", str(table), "--row", row, "--column", column, *options])


def cell(study: FakeStudy, name: str, row: int, column: str) -> str | None:
    return read_table(study.root / "results" / "tables" / f"{name}.csv")[row - 1][column]


def values(text: str) -> dict[str, float]:
    """Subject -> value, read from the rows that the explanation names."""
    found: dict[str, list[float]] = {}
    for file, numbers in re.findall(r"(\S+\.csv):([\d,]+)", text):
        with Path(file).open(newline="", encoding="utf-8") as lines:
            rows = list(csv.reader(lines))
        for number in map(int, numbers.split(",")):
            row = dict(zip(rows[0], rows[number - 1], strict=True))
            found.setdefault(row["subject"], []).append(float(row["value"]))
    return {subject: float(np.mean(numbers)) for subject, numbers in found.items()}


@pytest.mark.parametrize(
    ("first", "second", "agree"),
    [
        ("20.000001", "20.000000", True),
        ("20.000002", "20.000000", False),
        ("1.73472e-18", "1.73471e-18", True),
        ("1.00000e-12", "1.73472e-18", False),
        ("0.000000", "1.73472e-18", False),
        ("4", "3", False),
        ("inf", "inf", True),
        ("1.000000", "inf", False),
        (None, "1.000000", False),
        ("better", "better", True),
    ],
)
def test_cells_are_the_same_to_the_digits_that_are_written(first, second, agree):
    assert same(first, second) == agree


@pytest.mark.parametrize("name", ["main", "external", "ablation", "fidelity"])
def test_the_rows_that_are_named_give_the_cell(study, capsys, name):
    for row in (1, 2, 4):
        for metric in ("psnr", "mae"):
            for end in ("", "_low", "_high"):
                assert explain(study, name, str(row), metric + end) == 0
                said = capsys.readouterr().out
                numbers = list(values(said).values())
                assert len(numbers) == int(cell(study, name, row, "n") or 0)
                interval = stats.t.interval(
                    0.95, len(numbers) - 1, np.mean(numbers), stats.sem(numbers)
                )
                expected = {"": np.mean(numbers), "_low": interval[0], "_high": interval[1]}[end]
                assert float(cell(study, name, row, metric + end) or 0) == pytest.approx(
                    expected, abs=1e-6
                )
                assert "as the cell says" in said and "The cell agrees" in said


def test_seeds_are_averaged_and_both_their_rows_named(study, capsys):
    assert explain(study, "main", "cohort=study,tracer=tau,method=unet", "psnr") == 0
    said = capsys.readouterr().out
    assert "Subjects: 3, of 6 metric rows" in said
    assert said.count("fold-0_seed-0.csv:") == said.count("fold-0_seed-1.csv:") == 3


def test_a_table_of_samplers_names_the_rows_of_that_sampling(study, capsys):
    for temperature, name in ((1, "ddim-10x4"), (1.5, "ddim-10-t1.5x4")):
        row = f"sampler=ddim,steps=10,temperature={temperature:.6f},samples=4"
        assert explain(study, "samplers", row, "psnr") == 0
        said = capsys.readouterr().out
        assert set(re.findall(r"/(ddim-[^/]*)/fold-0_seed-0.csv", said)) == {name}
        assert "as the cell says" in said  # a mean over tracers, then over subjects


def people(study: FakeStudy, row: dict[str, str | None]) -> set[str]:
    """Subjects that a row of the tables of use is of, by the PET they were packed with."""
    cut = study.settings["tracers"][row["tracer"]]["positivity"]
    inside = study.mask & atlas.region_mask(row["region"], study.shape, study.affine)
    above = {
        subject: study.truth[row["cohort"], subject, row["tracer"]][inside].mean() >= cut["suvr"]
        for subject in study.tested(row["cohort"])
    }
    return {s for s, is_above in above.items() if is_above == (row["group"] == "positive")}


def test_a_group_names_its_own_people_and_the_region_that_each_number_is_of(study, capsys):
    file = study.root / "results/tables/positivity.csv"
    table, seen = origin.read(file), set()
    for number, row in enumerate(read_table(file), start=1):
        seen.add((row["group"], row["n"] != "0"))
        for column in ("psnr", "mae", "bias", "n"):
            found = metric_rows(choose(table, str(number), column))
            assert set(found["subject"]) == people(study, row), (row, column)
            assert len(set(found["subject"])) == int(row["n"])
            if not len(found):
                continue
            of_brain = column in ("psnr", "mae")
            assert set(found["region"]) == {"brain" if of_brain else "thalamus"}
            assert set(found["metric"]) == ({column} if of_brain else {"suvr", "suvr_true"})
            mean = found.groupby("metric")["number"].mean()
            expected = mean[column] if of_brain else mean["suvr"] - mean["suvr_true"]
            if column != "n":
                assert float(row[column] or 0) == pytest.approx(expected, abs=1e-6)
    assert {("positive", True), ("negative", True)} <= seen
    with_people = next(k for k, r in enumerate(read_table(file), start=1) if r["n"] != "0")
    assert explain(study, "positivity", str(with_people), "psnr") == 0
    said = capsys.readouterr().out
    assert f"group {cell(study, 'positivity', with_people, 'group')}" in said
    assert "as the cell says" in said


@pytest.mark.parametrize("name", ["real-pet", "mri-only"])
def test_what_is_no_method_is_told_by_everybodys_rows(study, capsys, name):
    for row in (r for r in read_table(study.root / "results/tables/downstream.csv")):
        if row["method"] == name:
            where = f"cohort={row['cohort']},tracer={row['tracer']},method={name}"
            assert explain(study, "downstream", where, "n_positive") == 0
            of = metric_rows(choose(
                origin.read(study.root / "results/tables/downstream.csv"), where, "n_positive"
            ))  # fmt: skip
            assert set(of["region"]) == {"thalamus"} and set(of["cohort"]) == {row["cohort"]}
            assert set(of["metric"]) == {"suvr_true"}
            assert set(of["subject"]) == set(study.tested(row["cohort"]))
            said = capsys.readouterr().out
            fitted = f"fitted on  {study.packed('study')}/dataset.json"
            assert "The cell agrees" in said and (fitted in said) == (name == "mri-only")


def test_a_cut_that_was_chosen_elsewhere_names_the_rows_that_it_was_chosen_on(own):
    inside = own.mask & atlas.region_mask("thalamus", own.shape, own.affine)
    cut = np.mean([own.truth["study", s, "tau"][inside].mean() for s in own.tested("study")])
    own.settings = deepcopy(own.settings)  # by which there are people of both classes at home
    own.settings["tracers"]["tau"]["positivity"]["suvr"] = round(float(cut), 3)
    file, seen = own.root / "results/tables/downstream.csv", 0
    every = [own.metrics(*run) for run in own.runs]
    assert own.call("tables", file.parent, every, "--only", "downstream") == 0
    table = origin.read(file)
    for row in read_table(file):
        if row["cohort"] != "elsewhere" or row["method"] not in own.errors:
            continue
        where = f"cohort=elsewhere,tracer=tau,method={row['method']}"
        assert set(metric_rows(choose(table, where, "auc"))["cohort"]) == {"elsewhere"}
        for column in ("cut_trained", "sensitivity_trained", "specificity_trained_high"):
            rows = metric_rows(choose(table, where, column))
            assert set(rows["cohort"]) == {"elsewhere", "study"}
            assert set(rows["method"]) == {row["method"]}
        if row["cut_trained"] is None:
            continue
        seen += 1
        home = rows[rows["cohort"] == "study"]
        of = home.pivot_table(values="number", index="subject", columns="metric")
        near = float(row["cut_suvr"])
        own_cut = youden_cut(of["suvr"].to_numpy(), of["suvr_true"].to_numpy() >= near, near)
        assert float(row["cut_trained"]) == pytest.approx(own_cut, abs=1e-6)
    assert seen


def test_a_subject_of_two_cohorts_is_two(study):
    where = "cohort=elsewhere,tracer=tau,method=unet"
    table = origin.read(study.root / "results/tables/downstream.csv")
    rows = metric_rows(choose(table, where, "cut_trained")).assign(subject="one")
    assert len(subject_values(rows)) == 4


def test_what_no_rows_are_named_of_does_not_agree(study, capsys, monkeypatch):
    from relad.results.explain import cell as cells

    monkeypatch.setattr(cells, "metric_rows", lambda cell: cells._frame([]))
    assert explain(study, "main", "tracer=tau,method=unet", "psnr") == 0
    said = capsys.readouterr().out
    assert "agrees" not in said and "but no metric rows of it are named above" in said


def test_a_number_of_a_family_names_the_rows_of_all_its_methods(study):
    """Holm's correction and ranks are of every method that is compared, a p and a value are not."""
    tables = study.root / "results/tables"
    family = {"rela", "unet", "template"}
    for name, where, columns in (
        ("decisions", "metric=psnr,method=unet,cohort=study", {
            "p_holm": family, "p_alike": family, "detectable": family, "verdict": family,
            "p": {"rela", "unet"}, "difference_low": {"rela", "unet"}}),
        ("ranks", "metric=psnr,method=unet,cohort=study", {
            "rank": family, "rank_low": family, "first": family, "n": {"unet"}}),
        ("main", "tracer=tau,method=unet,cohort=study", {"psnr": {"unet"}}),
    ):  # fmt: skip
        for column, methods in columns.items():
            rows = metric_rows(choose(origin.read(tables / f"{name}.csv"), where, column))
            assert set(rows["method"]) == methods, (name, column)
            assert set(rows["metric"]) == {"psnr"} and set(rows["cohort"]) == {"study"}


def test_a_decision_on_a_right_value_tells_how_far_each_subject_misses_it(study, capsys):
    """Two seeds, one above 0 dB and one below, do not make up for one another."""
    row = "metric=spectral_high,method=unet,cohort=study"
    assert explain(study, "decisions", row, "difference") == 0
    missed: dict[str, dict[str, float]] = {}
    shown = re.findall(
        r"^  (\S+)  \S+ of (\S+)  \S+ \(missing 0 by (\S+)\)", capsys.readouterr().out, re.M
    )
    for subject, method, by in shown:
        missed.setdefault(method, {})[subject] = float(by)
    differences = [missed["unet"][s] - missed["rela"][s] for s in study.tested("study")]
    walsh = [np.mean(p) for p in combinations_with_replacement(differences, 2)]
    table = read_table(study.root / "results/tables/decisions.csv")
    [told] = (r for r in table if all(f"{k}={r[k]}" in row for k in ("metric", "method", "cohort")))
    assert float(told["difference"] or 0) == pytest.approx(np.median(walsh), abs=2e-6)
    assert explain(study, "fidelity", "1", "spectral_high") == 0
    assert "missing" not in capsys.readouterr().out  # that column is of the values themselves


def test_the_way_names_floor_and_ceiling_too(own):
    own.know_ceiling("study")
    every = [*(own.metrics(*run) for run in own.runs), own.root / paths.ceiling("study")]
    tables = own.root / "results" / "tables"
    assert own.call("tables", tables, every, "--only", "main") == 0
    table = origin.read(tables / "main.csv")
    for method, column, methods in (
        ("unet", "way", {"unet", "template", "ceiling"}),
        ("unet", "way_low", {"unet", "template", "ceiling"}),
        ("template", "way", {"template", "ceiling"}),
        ("ceiling", "way", {"template", "ceiling"}),
        ("ceiling", "psnr", {"ceiling"}),
    ):
        chosen = choose(table, f"tracer=tau,cohort=study,method={method}", column)
        rows = metric_rows(chosen)
        assert set(rows["method"]) == methods and set(rows["metric"]) == {"psnr"}
        assert set(rows["subject"]) == set(own.tested("study"))
        assert same(chosen.text, made_again(chosen)[column])


@pytest.mark.parametrize("column", ["method", "n", "sampler", "data"])
def test_whatever_is_changed_of_a_row_is_told(own, capsys, column):
    """Not the asked cell alone: a row that was renamed has the right number of another method."""
    file = own.root / "results/tables/main.csv"
    rows = read_table(file)
    first, second = (n for n, r in enumerate(rows) if (r["tracer"], r["cohort"]) == ("tau", "study")
                     and r["method"] in ("unet", "template"))  # fmt: skip
    changed = {"method": rows[second]["method"], "n": "50", "sampler": "ddim-9", "data": "real"}
    rows[first] |= {column: changed[column]}
    write_table(file, rows, list(rows[0]))
    assert explain(own, "main", str(first + 1), "psnr") == 1
    told = capsys.readouterr()
    assert f"row {first + 1}, {column} is {changed[column]}, made again" in told.err
    assert "does NOT follow" in told.out


def test_a_row_is_chosen_by_an_empty_cell_too(study, capsys):
    rows = read_table(study.root / "results/tables/regions.csv")
    number = next(n for n, row in enumerate(rows, 1) if row["note"] is None)
    wanted = [f"{k}={rows[number - 1][k]}" for k in ("cohort", "tracer", "method", "region")]
    assert explain(study, "regions", ",".join([*wanted, "note="]), "n") == 0
    assert f"row {number}, column n" in capsys.readouterr().out


def test_an_empty_cell_is_as_it_was_made(study, capsys):
    for name in ("positivity", "regions", "downstream"):
        rows = read_table(study.root / f"results/tables/{name}.csv")
        for column in rows[0]:
            number = next((n for n, row in enumerate(rows, 1) if row[column] is None), None)
            if number is not None:
                assert explain(study, name, str(number), column) == 0, (name, column)


def test_a_row_that_nothing_is_behind_has_no_metric_rows(study):
    chosen = choose(
        origin.read(study.root / "results/tables/main.csv"), "tracer=tau,method=unet", "psnr"
    )
    rows = metric_rows(replace(chosen, row={**chosen.row, "cohort": "gone"}))
    assert rows.empty and {*COLUMNS, "number", "file", "line"} == set(rows)


def test_a_table_that_makes_something_else_of_its_metrics_still_names_rows(study):
    """Such as one of regions, whose columns and metrics have no name in common."""
    file = study.root / "results/tables/main.csv"
    cell = choose(origin.read(file), "tracer=tau,method=unet", "n")
    other = replace(cell.origin.result, metrics=("slope",), region="nowhere")
    rows = metric_rows(replace(cell, origin=replace(cell.origin, result=other)))
    assert set(rows["method"]) == {"unet"} and set(rows["tracer"]) == {"tau"}
    assert len(set(rows["metric"])) > 3


def test_a_cell_that_is_not_of_metric_rows_names_its_runs(study, capsys):
    assert explain(study, "runtime", "method=unet", "updates") == 0
    said = capsys.readouterr().out
    assert "Metric rows: none" in said and "models/unet/fold-0_seed-0/train.json" in said
    assert "it is 500." in said


def test_runs_models_versions_and_images_are_named(study, capsys):
    assert explain(study, "main", "tracer=tau,method=unet", "psnr") == 0
    said = capsys.readouterr().out
    for file in (
        "metrics/study/unet/fold-0_seed-0.json",
        "synthesized/study/unet/fold-0_seed-0/synthesis.json",
        "models/unet/fold-0_seed-0/train.json",
        "packed/study/dataset.json",
        "tables/main.table.json",
        f"unet/fold-0_seed-0/{paths.synthetic_pet('941S0004', 'tau')}",
    ):
        assert file in said
    assert "500 updates on train 2, validation 1, test 3" in said
    assert "code hash, relad 0.1.0, numpy 2.0; settings in the file: grid" in said
    assert "pet.npy  [3], fold 0" in said


def test_it_goes_down_to_the_raw_series_where_these_lie_beside(own, capsys):
    """Folders of the steps before packing, as the workflow lays them."""
    results = own.root / "results"
    image = "sub-941S0004/ses-a/pet/sub-941S0004_ses-a_trc-AV1451_pet.nii.gz"
    status = {
        "subject": "941S0004", "session": "a", "status": "ok", "reason": None, "mri": {},
        "tracers": {}, "inputs": {"tau": image}, "qc": {}, "brain_mask_from": None,
        "segmentation": {"status": "missing", "reason": None, "simulated": False},
    }  # fmt: skip
    write_json(results / "normalized/study/sub-941S0004/status.json", status)
    write_table(
        results / "bids/study/ingest.tsv",
        [{"image_id": "I7", "description": "AV1451", "n_files": 9, "status": "kept",
          "output": image}],
        ("image_id", "description", "n_files", "status", "output"),
    )  # fmt: skip
    (results / "raw/study/loni/941_S_0004/AV1451/2014/I7").mkdir(parents=True)
    assert explain(own, "main", "tracer=tau,method=unet", "psnr") == 0
    said = capsys.readouterr().out
    assert re.search(rf"BIDS, tau +\S+/bids/study/{image}  \(no longer there\)", said)
    assert re.search(r"raw I7 +\S+/loni/941_S_0004/AV1451/2014/I7  AV1451, 9 files\n", said)


def test_values_are_measured_again_of_the_images(own, capsys):
    assert explain(own, "main", "tracer=tau,method=unet", "psnr", "--voxels") == 0
    assert "Measured again, all 6 values are as their rows" in capsys.readouterr().out
    # Rows that nobody measured, a record that is made to fit, and a table that follows from them.
    file = own.metrics("study", "unet")
    text = file.read_text()
    value = re.search(r"941S0004,tau,brain,psnr,(\S+)", text)[1]
    write_text(file, text.replace(f"941S0004,tau,brain,psnr,{value}", "941S0004,tau,brain,psnr,55"))
    amend(file.with_suffix(".json"), table_sha256=sha256_of(file))
    every = [own.metrics(*run) for run in own.runs]
    tables = own.root / "results" / "tables"
    assert own.call("tables", tables, every, "--only", "main") == 0
    assert explain(own, "main", "tracer=tau,method=unet", "psnr") == 0
    assert explain(own, "main", "tracer=tau,method=unet", "psnr", "--voxels") == 1
    assert f"line 2 says 55.0, measured again it is {value[:9]}" in capsys.readouterr().err


def test_a_cell_that_somebody_changed_does_not_agree(own, capsys):
    file = own.root / "results/tables/main.csv"
    value = cell(own, "main", 2, "psnr")
    write_text(file, file.read_text().replace(f",{value},", ",31.000000,"))
    assert explain(own, "main", "2", "psnr") == 1
    told = capsys.readouterr()
    assert f"main.csv: row 2, psnr is 31.000000, made again {value} -- " in told.err
    assert "does NOT follow" in told.out and "as the cell says" not in told.out
    assert explain(own, "main", "2", "ssim") == 0


def image(study: FakeStudy, subject: str) -> Path:
    return study.synthesized("study", "unet") / paths.synthetic_pet(subject, "tau")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda s: image(s, "941S0005").unlink(), "has vanished since it was compared"),
        (lambda s: shutil.copy(image(s, "941S0004"), image(s, "941S0005")),
         "has changed since it was compared -- run `relad synthesize`"),
        (lambda s: amend(s.synthesized("study", "unet") / "synthesis.json", seconds_per_volume=9),
         "synthesis.json: has changed since -- run `relad evaluate` again"),
        (lambda s: (s.model("unet") / "model.safetensors").unlink(),
         "model.safetensors: has vanished -- run `relad train` again"),
        (lambda s: (s.model("unet") / "model.safetensors").write_bytes(b"other weights"),
         "model.safetensors: has changed since it was trained -- run `relad train` again"),
        (lambda s: amend(s.packed("study") / "dataset.json", kind="hybrid"),
         "dataset.json: has changed since -- pack the cohort again"),
    ],
)  # fmt: skip
def test_what_changed_behind_the_rows_is_told(own, capsys, spoil, said):
    spoil(own)
    assert explain(own, "main", "tracer=tau,method=unet", "psnr") == 1
    told = capsys.readouterr()
    assert said in told.err and len(told.err.splitlines()) == 1
    assert "not as it was" in told.out
    assert explain(own, "external", "1", "psnr") == 0, "nothing of another run is touched"


def test_an_image_of_another_subject_or_tracer_does_not_matter(own):
    (own.synthesized("study", "unet") / paths.synthetic_pet("941S0005", "amyloid")).unlink()
    assert explain(own, "main", "tracer=tau,method=unet", "psnr") == 0


def test_a_cohort_packed_again_to_the_same_data_is_the_same(own):
    dataset = own.packed("study")
    data = PackedDataset(dataset).fingerprint
    for seed in (0, 1):
        folder = own.synthesized("study", "unet", seed)
        amend(folder / "synthesis.json", data=data)
        assert own.evaluate("study", "unet", seed) == 0
    every = [own.metrics(*run) for run in own.runs]
    tables = own.root / "results/tables"
    assert own.call("tables", tables, every, "--only", "main") == 0
    amend(dataset / "dataset.json", provenance={"code": "a later version"})
    assert explain(own, "main", "tracer=amyloid,method=rela", "psnr") == 1  # says no fingerprint
    assert explain(own, "main", "tracer=tau,method=unet", "psnr") == 0


def test_images_of_a_model_that_was_trained_anew_are_told(own, capsys):
    folder = own.synthesized("study", "unet")
    amend(folder / "synthesis.json", model={"data": "what it was trained on before"})
    assert own.evaluate("study", "unet") == 0
    tables = own.root / "results/tables"
    assert own.call("tables", tables, [own.metrics(*run) for run in own.runs]) == 0
    assert explain(own, "main", "tracer=tau,method=unet", "psnr") == 1
    assert "train.json: was trained on other data than the model" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("row", "column", "said"),
    [
        ("1", "nope", "has no column 'nope' -- its columns: cohort, tracer"),
        ("0", "psnr", "has no row 0 -- its rows: 1 to 6"),
        ("7", "psnr", "has no row 7"),
        ("method=unet", "psnr", "2 rows have method=unet -- choose one: 2 (tracer=tau); 5 (tracer"),
        ("method=u-net", "psnr", "no rows have method=u-net -- there are method: rela, unet"),
        ("method", "psnr", "--row 'method' is no COLUMN=VALUE of this table, nor a row's number"),
        ("colour=red", "psnr", "--row 'colour=red' is no COLUMN=VALUE of this table"),
    ],
)
def test_a_cell_that_is_none_or_several_is_refused_with_what_there_is(
    study, capsys, row, column, said
):
    assert explain(study, "main", row, column) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda s: s.metrics("study", "rela").unlink(), "has vanished since -- make main again"),
        (lambda s: s.metrics("study", "rela").open("a").write("\n"), "has changed since -- make"),
        (lambda s: amend(s.model("rela") / "train.json", seed=1), "train.json: has changed since"),
        (lambda s: (s.root / "results/tables/main.table.json").unlink(), "is no table or figure"),
        (lambda s: amend(s.root / "results/tables/main.table.json", result={"region": "x"}),
         "this version of relad makes main otherwise"),
        (lambda s: write_text(s.root / "results/tables/main.csv", ""), "has no column 'psnr'"),
        (lambda s: s.metrics("study", "unet").with_suffix(".json").unlink(), "no such file"),
        (lambda s: write_json(s.metrics("study", "unet").with_suffix(".json"),
                              {"made_of": 3, "provenance": 1}), "is no record of `relad evaluate`"),
        (lambda s: write_json(s.metrics("study", "unet").with_suffix(".json"), {"provenance": 1}),
         "(KeyError: 'made_of') -- run `relad evaluate` again"),
    ],
)  # fmt: skip
def test_a_table_whose_rows_are_not_what_they_were_is_refused(own, capsys, spoil, said):
    spoil(own)
    assert explain(own, "main", "tracer=tau,method=unet", "psnr") == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1


def test_records_name_files_by_their_place_from_them(study):
    """So that results which are moved as a whole still hold."""
    record = read_json(study.root / "results/tables/main.table.json")
    files = [made["path"] for part in record["files"].values() for made in part]
    assert "../metrics/study/rela/fold-0_seed-0.csv" in files
    assert all(file.startswith("../") for file in files)


def test_a_cell_of_the_ceiling_names_what_it_is_of(own, capsys):
    """Those people whom methods were tested on, of all whose ceiling is known; and no model."""
    ceiling = own.know_ceiling("study")
    own.evaluate_all()
    every = [*(own.metrics(*run) for run in own.runs), ceiling]
    assert own.call("tables", own.root / "results/tables", every, "--only", "main") == 0
    for column in ("psnr", "way"):
        row = "method=ceiling,tracer=tau"
        capsys.readouterr()
        assert explain(own, "main", row, column, "--voxels") == 0
        said = capsys.readouterr().out
        assert "model      none: it is what anatomy determines" in said
        assert "The cell agrees" in said and "Measured again" in said
        assert len(values(said)) == 3
    assert explain(own, "main", "method=unet,tracer=tau", "way") == 0
