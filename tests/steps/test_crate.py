"""``relad crate``: what is described is there and the other way round, and no person is shown."""

from __future__ import annotations

import hashlib
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from relad import cli
from relad.fileio import read_json, write_json, write_text
from relad.status import Kind
from relad.study.catalogue import SUFFIXES, TABLE
from tests.helpers.fake_study import FakeStudy, accept, amend

LICENCE = "https://creativecommons.org/licenses/by/4.0/"
#: The third is made of packed images, and shows none.
TABLES = ("main", "runtime", "downstream")


def finish(study: FakeStudy) -> FakeStudy:
    """Add tables, figures, the page and the paper."""
    results = study.root / "results"
    study.evaluate_all()
    for step, names in (("tables", TABLES), ("figures", ("panels", "runtime"))):
        only = [word for name in names for word in ("--only", name)]
        assert study.summarize(step, results / step, *only) == 0
    publish(study)
    return study


def publish(study: FakeStudy) -> None:
    """Write the page and the paper."""
    results = study.root / "results"
    made = [*sorted(results.glob("tables/*.csv")), *sorted(results.glob("figures/*.png"))]
    for step, out in (("report", "report.html"), ("paper", "paper")):
        assert cli.main([step, *map(str, (results / out, *made))]) == 0


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> FakeStudy:
    return finish(FakeStudy(tmp_path_factory.mktemp("crate"), subjects=4))


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> FakeStudy:
    return finish(FakeStudy(tmp_path_factory.mktemp("real"), subjects=4, kind="real"))


def crate(study: FakeStudy, out: Path, *options: str) -> int:
    words = ["crate", str(study.root / "results"), str(out), "--license", LICENCE]
    return cli.main([*words, "--date", "2026-01-31", *options])


@pytest.fixture(scope="module")
def made(study: FakeStudy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("made") / "crate"
    assert crate(study, out, "--author", "A. Person") == 0
    return out


@pytest.fixture(scope="module")
def graph(made: Path) -> dict[str, dict[str, Any]]:
    entities = read_json(made / "ro-crate-metadata.json")["@graph"]
    by_id = {entity["@id"]: entity for entity in entities}
    assert len(by_id) == len(entities), "an identifier stands twice"
    return by_id


def references(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [value["@id"]] if set(value) == {"@id"} else []
    return [i for part in value for i in references(part)] if isinstance(value, list) else []


def test_every_file_is_described_with_its_hash_and_every_description_has_its_file(made, graph):
    there = {f.relative_to(made).as_posix() for f in made.rglob("*") if f.is_file()}
    there -= {"ro-crate-metadata.json"}
    files = {i for i, entity in graph.items() if "File" in entity["@type"]}
    assert files == there == {i for i in references(graph["./"]["hasPart"])}
    for name in files:
        content = (made / name).read_bytes()
        assert graph[name]["sha256"] == hashlib.sha256(content).hexdigest()
        assert graph[name]["contentSize"] == str(len(content))
        assert graph[name]["description"], name


def test_every_reference_leads_somewhere(graph):
    outside = ("https://w3id.org/ro/crate/", "https://doi.org/", "https://snakemake.")
    for entity in graph.values():
        for value in entity.values():
            for name in references(value):
                assert name in graph or name.startswith(outside), name


def test_it_is_a_workflow_run_crate(graph):
    """What the specifications of RO-Crate 1.1 and of the profile ask of every crate."""
    descriptor, root = graph["ro-crate-metadata.json"], graph["./"]
    assert descriptor["about"] == {"@id": "./"}
    assert {"@id": "https://w3id.org/ro/crate/1.1"} in descriptor["conformsTo"]
    for profile in ("process/0.5", "workflow/0.5"):
        assert f"https://w3id.org/ro/wfrun/{profile}" in references(root["conformsTo"])
    assert root["datePublished"] == "2026-01-31" and root["license"] == {"@id": LICENCE}
    assert root["name"] and root["description"].endswith(".")
    workflow = graph[root["mainEntity"]["@id"]]
    assert set(workflow["@type"]) == {"File", "SoftwareSourceCode", "ComputationalWorkflow"}
    assert graph[workflow["programmingLanguage"]["@id"]]["@type"] == "ComputerLanguage"
    actions = {i for i, e in graph.items() if e["@type"] == "CreateAction"}
    assert actions == set(references(root["mentions"]))
    whole = [i for i in actions if graph[i]["instrument"] == root["mainEntity"]]
    assert whole == ["#study"]
    for name in actions - {"#study"}:
        assert graph[graph[name]["instrument"]["@id"]]["@type"] == "SoftwareApplication"
        assert references(graph[name]["result"]), name


def test_a_table_is_traced_to_its_rows_and_these_to_their_runs(graph):
    table = graph["#tables-tables-main.table"]
    assert "tables/main.csv" in references(table["result"])
    assert "metrics/study/unet/fold-0_seed-0.csv" in references(table["object"])
    evaluation = graph["#evaluate-metrics-study-unet-fold-0_seed-0"]
    assert references(evaluation["object"]) == [
        "synthesized/study/unet/fold-0_seed-0/synthesis.json",
        "packed/study/dataset.json",
    ]
    assert "models/unet/fold-0_seed-0/log.csv" in graph
    assert "relative" not in graph["tables/main.csv"]["description"]
    assert "Main comparison: study, n = 2" in graph["tables/main.csv"]["description"]


def test_its_software_and_licences_are_told(graph):
    step = graph["#relad-evaluate"]
    requirements = [graph[i] for i in references(step["softwareRequirements"])]
    assert "scikit-image" in {package["name"] for package in requirements}
    assert all(package["softwareVersion"] for package in requirements)
    assert graph["#author-1"]["name"] == "A. Person"
    assert step["license"] == {"@id": "https://spdx.org/licenses/Apache-2.0"}


def test_no_volume_weight_or_table_of_people_goes_along(made):
    names = {file.name for file in made.rglob("*") if file.is_file()}
    assert not [n for n in names if n.endswith((".nii.gz", ".npy", ".safetensors", ".tsv"))]


def test_simulated_people_are_shown_and_real_ones_only_where_asked(made, real, tmp_path, capsys):
    pictures = ("figures/panels.png", "figures/panels.pdf", "report.html")
    assert all((made / name).is_file() for name in pictures)
    assert crate(real, tmp_path / "without") == 0
    said = capsys.readouterr().err
    for name in pictures:
        assert not (tmp_path / "without" / name).exists()
        assert f"results/{name}: shows images of people (--images" in said
    assert (tmp_path / "without" / "figures/runtime.png").is_file()
    for form in SUFFIXES[TABLE]:  # no table shows an image, whatever it was made of
        assert all((tmp_path / f"without/tables/{name}.{form}").is_file() for name in TABLES)
    root = read_json(tmp_path / "without/ro-crate-metadata.json")["@graph"][1]
    assert "Left out: panels.png (shows images of people" in root["description"]
    assert "keywords" not in root  # of real data nothing is said
    assert crate(real, tmp_path / "with", "--images") == 0
    assert all((tmp_path / "with" / name).is_file() for name in pictures)


def test_models_of_simulated_data_mark_all_that_shows_them_and_show_no_real_person(real, tmp_path):
    own = real.copy(tmp_path / "own")
    amend(own.synthesized("study", "unet") / "synthesis.json", kind="simulated")
    accept(own.root / "results")
    results, note = own.root / "results", Kind.REAL_FROM_SIMULATED.note
    publish(own)
    assert f'<p class="banner">{note}</p>' in (results / "report.html").read_text()
    assert note in (results / "paper/paper.tex").read_text()
    assert crate(own, tmp_path / "crate") == 0
    root = read_json(tmp_path / "crate/ro-crate-metadata.json")["@graph"][1]
    assert root["keywords"] == note
    assert not (tmp_path / "crate/figures/panels.png").exists()
    for name in ("report.html", "paper/paper.tex"):
        assert note not in (real.root / "results" / name).read_text()


def test_a_cell_explains_itself_there_too(made, capsys):
    table = str(made / "tables" / "main.csv")
    words = ["explain", table, "--row", "tracer=tau,method=unet", "--column", "psnr"]
    assert cli.main(words) == 0
    assert "The cell agrees" in capsys.readouterr().out


def test_what_needs_packed_data_says_there_that_they_are_not(made, tmp_path, capsys):
    """A cell that is made of them is explained, and neither confirmed nor contradicted."""
    alone = "packed/study/dataset.json: is all that a crate holds of a packed cohort -- this needs"
    row = ["--row", "cohort=study,tracer=tau,method=unet"]
    assert cli.main(["explain", str(made / "tables/downstream.csv"), *row, "--column", "auc"]) == 1
    told = capsys.readouterr()
    assert alone in told.err and "unet/fold-0_seed-0.csv:" in told.out
    assert "The cell was not made again" in told.out and "agrees" not in told.out
    voxels = ["explain", str(made / "tables/main.csv"), *row, "--column", "psnr", "--voxels"]
    for words in (voxels, ["paper", str(tmp_path / "paper"), str(made / "tables/main.csv")]):
        assert cli.main(words) == 2
        error = capsys.readouterr().err
        assert alone in error and error.count("\n") == 1
    assert not (tmp_path / "paper").exists()


def test_same_arguments_same_bytes(study, made, tmp_path):
    assert crate(study, tmp_path / "again", "--author", "A. Person") == 0
    for file in made.rglob("*"):
        if file.is_file():
            other = tmp_path / "again" / file.relative_to(made)
            assert other.read_bytes() == file.read_bytes()


@pytest.mark.parametrize(
    ("spoil", "options", "said"),
    [
        (lambda r: shutil.rmtree(r), (), "results: no such folder"),
        (lambda r: [shutil.rmtree(r / d) for d in ("tables", "figures")], (), "holds no table"),
        (lambda r: (r / "tables/main.md").unlink(), (), "main.md: has vanished since"),
        (lambda r: (r / "tables/main.csv").unlink(), (), "main.csv: no such file"),
        (lambda r: (r / "models/unet/fold-0_seed-0/log.csv").unlink(), (), "log.csv: no such file"),
        (lambda r: None, ("--date", "31.1.2026"), "--date '31.1.2026' is no date"),
        (lambda r: None, ("--license", "CC-BY"), "--license 'CC-BY' is no address"),
    ],
)  # fmt: skip
def test_what_is_missing_is_named_and_nothing_written(
    study, tmp_path, capsys, spoil, options, said
):
    own = study.copy(tmp_path / "own")
    spoil(own.root / "results")
    assert crate(own, tmp_path / "out", *options) == 2
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_study_itself_is_never_written_into(study, tmp_path, capsys):
    assert crate(study, study.root / "results" / "crate") == 2
    assert "lies in the study's results" in capsys.readouterr().err
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("")
    assert crate(study, tmp_path / "full") == 2
    assert (tmp_path / "full" / "mine").exists()


@pytest.mark.parametrize(
    ("name", "step"), [("report.html", "report"), ("paper/numbers.tex", "paper")]
)
def test_a_page_or_paper_of_other_tables_is_refused(study, tmp_path, capsys, name, step):
    own = study.copy(tmp_path / "own")
    results = own.root / "results"
    before = (results / name).read_bytes()
    some = [own.metrics(*run) for run in own.runs if run[1] != "unet"]
    assert own.call("tables", results / "tables", some, "--only", "main") == 0
    publish(own)
    assert crate(own, tmp_path / "good") == 0
    (results / name).write_bytes(before)
    capsys.readouterr()
    assert crate(own, tmp_path / "crate") == 2
    told = f"{name}: was made of main.csv, which has changed since -- make it again: relad {step}"
    assert told in capsys.readouterr().err and not (tmp_path / "crate").exists()
    (results / name).write_text(re.sub(r".*made of [0-9a-f]{64} .*\n", "", before.decode()))
    assert crate(own, tmp_path / "crate") == 2
    told = f"{name}: does not say what it was made of -- make it again: relad {step}"
    assert told in capsys.readouterr().err


def test_what_names_people_or_folders_of_this_machine_stays(study, tmp_path, capsys):
    """Settings of steps before packing: who looked at whom, when, and where labels lie."""
    own = study.copy(tmp_path / "own")
    settings = own.root / "results" / "settings"
    said = {"overrides": [{"subject": "002_S_0413", "who": "Dr A", "why": "a tumour"}]}
    for step, file in (("qc", said), ("ingest", said), ("register", {"labels": "/home/a/b.mgz"})):
        write_json(settings / step / "0123.json", file)
    assert crate(own, tmp_path / "crate") == 0
    assert "results/settings: settings of jobs name people" in capsys.readouterr().err
    for file in (tmp_path / "crate").rglob("*.json"):
        assert not re.search("002_S_0413|Dr A|tumour|/home/", file.read_text()), file


def test_what_relad_did_not_make_stays_and_is_named(study, tmp_path, capsys):
    own = study.copy(tmp_path / "own")
    results = own.root / "results"
    (results / "tables/main.table.json").unlink()
    write_text(results / "paper/mine.tex", "our draft")
    with (results / "paper/references.bib").open("ab") as file:
        file.write("% Müller".encode("latin-1"))
    assert crate(own, tmp_path / "crate") == 0
    told = capsys.readouterr().err
    root = read_json(tmp_path / "crate/ro-crate-metadata.json")["@graph"][1]
    for name in [f"tables/main.{form}" for form in SUFFIXES[TABLE]]:
        assert f"results/{name}: no record beside it says what relad made it of" in told
        assert not (tmp_path / "crate" / name).exists()
    assert "paper/mine.tex: is not of the skeleton that relad wrote" in told
    assert "mine.tex" in root["description"] and not (tmp_path / "crate/paper/mine.tex").exists()
    assert (tmp_path / "crate/paper/paper.tex").is_file()


@pytest.fixture(scope="module")
def apart(study: FakeStudy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A crate of a study whose cohorts were packed elsewhere, in folders of one name."""
    own = study.copy(tmp_path_factory.mktemp("apart") / "own")
    results = own.root / "results"
    for cohort in ("study", "elsewhere"):
        (own.root / f"of {cohort}").mkdir()
        shutil.move(results / "packed" / cohort, own.root / f"of {cohort}" / "packed")
    for record in results.rglob("*.json"):
        text = record.read_text(encoding="utf-8")
        for cohort in ("study", "elsewhere"):
            text = text.replace(f"/packed/{cohort}/", f"/../of {cohort}/packed/")
        write_text(record, text)
    accept(results)
    out = own.root / "crate"
    assert crate(own, out) == 0
    return out


def test_cohorts_that_were_packed_elsewhere_keep_their_runs(apart):
    graph = read_json(apart / "ro-crate-metadata.json")["@graph"]
    packed = [entity for entity in graph if entity.get("instrument") == {"@id": "#relad-pack"}]
    assert len(packed) == 2
    for entity in packed:
        assert "result" not in entity and "lies outside of the study" in entity["description"]
    mentioned = references(graph[1]["mentions"])
    assert len(mentioned) == len(set(mentioned)) and {e["@id"] for e in packed} <= set(mentioned)


@pytest.mark.parametrize("there", [True, False])
def test_a_cell_explains_itself_where_cohorts_were_packed_elsewhere(apart, tmp_path, capsys, there):
    """Whatever lies where the packed data lay: in a crate somebody else's."""
    folder = shutil.copytree(apart.parent if there else apart, tmp_path / "a" / "b")
    tables = (folder / "crate" if there else folder) / "tables"
    row = ["--row", "cohort=study,tracer=tau,method=unet"]
    assert cli.main(["explain", str(tables / "main.csv"), *row, "--column", "psnr"]) == 0
    told = capsys.readouterr()
    assert "The cell agrees" in told.out and not told.err and "pet.npy" not in told.out
    assert cli.main(["explain", str(tables / "downstream.csv"), *row, "--column", "auc"]) == 1
    told = capsys.readouterr()
    assert "dataset.json: was packed outside of the study's results" in told.err
    assert "The cell was not made again" in told.out
