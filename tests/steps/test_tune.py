"""``relad search`` and ``relad tune``, up to the study that takes what they found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from relad import cli
from relad.data.dataset import PackedDataset
from relad.errors import ReladError
from relad.fileio import read_json, read_table, write_json
from relad.study import config
from relad.study.settings import of_job
from relad.tuning import findings
from tests.helpers.searches import settings
from tests.helpers.settings import file_of
from tests.helpers.trainings import train


@pytest.fixture(scope="module")
def out(packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Searches of two methods, and what was found by them together."""
    folder = tmp_path_factory.mktemp("tuned")
    part = settings()
    part["methods"]["unet"]["params"]["lr"] = 0.1  # so that something better is found
    given = ["--settings", file_of(part)]
    for method in ("unet", "ddpm"):
        words = ["search", str(packed), str(folder / method), "--method", method, "--fold", "0"]
        assert cli.main([*words, *given]) == 0
    searches = [str(folder / method) for method in ("unet", "ddpm")]
    assert cli.main(["tune", *searches, "--out", str(folder), *given]) == 0
    return folder


def test_trials_and_effort_are_written(packed: Path, out: Path) -> None:
    trials = read_table(out / "unet" / "trials.csv")
    assert [row["number"] for row in trials] == ["0", "1", "2"]
    record = read_json(out / "unet" / "search.json")
    best = max(trials, key=lambda row: float(row["psnr"]))
    assert (str(record["trial"]), str(record["psnr"])) == (best["number"], best["psnr"])
    assert record["seconds"] == pytest.approx(sum(float(row["seconds"]) for row in trials), abs=0.1)
    assert record["data"] == PackedDataset(packed).fingerprint
    assert record["provenance"]["settings"]["tuning"]["trials"] == 3
    assert record["provenance"]["versions"]["optuna"] != "not installed"
    of_test = {r["subject"] for r in PackedDataset(packed).subjects if r["fold"] == 0}
    assert len(record["subjects"]["validation"]) == 1
    assert not of_test & {s for part in record["subjects"].values() for s in part}


def test_the_table_states_the_effort_of_each_and_who_was_not_searched(out: Path) -> None:
    rows = {row["method"]: row for row in read_table(out / "tuning.csv")}
    assert list(rows) == ["unet", "ddpm", "rela", "template", "subject-template"]
    assert [row["trials"] for row in rows.values()] == ["3", "3", "0", "0", "0"]
    for name in ("unet", "ddpm"):
        row = rows[name]
        assert (row["fold"], row["updates"], row["failed"], row["data"]) == (
            "0",
            "3",
            "0",
            "simulated",
        )
        for key in ("parameters", "seconds", "peak_memory_mb", "psnr", "psnr_configured"):
            assert float(row[key]) > 0, key
    assert float(rows["unet"]["psnr"]) > float(rows["unet"]["psnr_configured"])
    assert rows["unet"]["searched"] == "lr network.channels"


def raw(packed: Path, tuned: Path | None) -> dict[str, Any]:
    """A study of the toy cohort."""
    whole = config.read_yaml(config.DEFAULT)
    whole["cohorts"] = {"toy": {"role": "train", "source": "packed", "path": str(packed)}}
    whole["tuned"] = None if tuned is None else str(tuned)
    return whole


@pytest.mark.parametrize("name", [".", "unet"])
def test_a_study_takes_what_was_found(packed: Path, out: Path, name: str) -> None:
    file = out / name / "tuned.yaml"
    assert file.read_text(encoding="utf-8").startswith("# SIMULATED DATA")
    study = config.resolve(raw(packed, file))
    plain = config.resolve(raw(packed, None))
    found = read_json(out / "unet" / "search.json")["found"]
    assert set(found) == {"lr", "network.channels"}
    trained = of_job("train", study, method="unet", fold="0")
    assert trained.methods["unet"].params == config.with_values(
        plain["methods"]["unet"]["params"], found
    )
    assert trained.tuned_on == PackedDataset(packed).fingerprint
    # The search itself starts from what is configured, whatever it found before.
    same = of_job("search", plain, method="unet", fold="0")
    assert of_job("search", study, method="unet", fold="0") == same


def test_a_value_that_has_no_place_is_named_with_its_file(
    packed: Path, out: Path, tmp_path: Path
) -> None:
    told = config.read_yaml(out / "tuned.yaml")
    told["folds"]["0"]["unet"] = {"network.channels.0": 8}
    (tmp_path / "tuned.yaml").write_text(json.dumps(told))
    said = r"tuned\.yaml: unet: network\.channels\.0: channels is \[.*\], which has no parameters"
    with pytest.raises(ReladError, match=said):
        config.resolve(raw(packed, tmp_path / "tuned.yaml"))


def test_training_refuses_parameters_of_other_data(
    packed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    part = settings() | {"tuned_on": "0123"}
    assert train(packed, tmp_path, "unet", part) == 2
    assert "tuned parameters were found on other data" in capsys.readouterr().err
    part["tuned_on"] = PackedDataset(packed).fingerprint
    part["training"]["updates"] = 1
    assert train(packed, tmp_path, "unet", part) == 0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("trials", 4),
        ("updates", 9),
        ("data", "0123"),
        ("subjects", {"train": []}),
        ("cohort", "x"),
        ("code", "0123"),
    ],
)
def test_searches_of_another_effort_are_not_put_together(
    out: Path, tmp_path: Path, key: str, value: Any
) -> None:
    searches = [findings.read(out / name) for name in ("unet", "ddpm")]
    searches[1] |= {key: value}
    with pytest.raises(
        ReladError, match=f"of ddpm, fold 0, and unet, fold 0, differ in their {key}"
    ):
        findings.write_together(tmp_path, searches, [])
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(("section", "key"), [("training", "ema_decay"), ("tuning", "seed")])
def test_searches_of_other_settings_are_not_put_together(
    out: Path, tmp_path: Path, section: str, key: str
) -> None:
    searches = [findings.read(out / name) for name in ("unet", "ddpm")]
    searches[1]["provenance"]["settings"][section][key] = 0.5
    with pytest.raises(ReladError, match=rf"differ in their {section}\.{key} -- "):
        findings.write_together(tmp_path, searches, [])


def test_every_method_is_searched_once_on_every_fold(out: Path, tmp_path: Path) -> None:
    searches = [findings.read(out / name) for name in ("unet", "ddpm")]
    # Of another fold there are other people.
    more = [{**search, "fold": 1, "subjects": {"train": ["A"]}} for search in searches]
    findings.write_together(tmp_path / "both", [*searches, *more], [])
    assert set(config.read_yaml(tmp_path / "both" / "tuned.yaml")["folds"]) == {"0", "1"}
    for given, said in (
        ([*searches, *more[:1]], "^ddpm was not searched on fold 1, others were -- "),
        ([*searches, searches[0]], "^there are 2 searches of unet, fold 0 -- give the one"),
    ):
        with pytest.raises(ReladError, match=said):
            findings.write_together(tmp_path, given, [])
    assert [path.name for path in tmp_path.iterdir()] == ["both"]


def test_what_is_no_search_is_named(out: Path, tmp_path: Path, capsys: Any) -> None:
    given = ["--out", str(tmp_path), "--settings", file_of(settings())]
    assert cli.main(["tune", *given]) == 2
    assert "there is no search to put together -- declare" in capsys.readouterr().err
    write_json(tmp_path / "search.json", {"method": "unet"})
    assert cli.main(["tune", str(tmp_path), *given]) == 2
    assert "search.json: is no search of this version (no batch_size" in capsys.readouterr().err
    words = ["search", str(tmp_path), str(tmp_path), "--method", "nope", "--fold", "0"]
    assert cli.main([*words, "--settings", file_of(settings())]) == 2
    assert "no method 'nope' -- known: rela" in capsys.readouterr().err
