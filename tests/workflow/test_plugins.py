"""An installed package's method joins a study by being named on the command line."""

from __future__ import annotations

import csv
import json
from importlib.util import find_spec
from pathlib import Path

import pytest

from relad.fileio import read_json, write_json
from relad.study.fingerprints import digest
from tests.helpers.packages import EXAMPLES, install
from tests.helpers.packing import WINDOWS, write_packed
from tests.helpers.small_study import Study

PLUGINS = ("--config", 'plugins=["voxelwise"]')


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """A study of a packed cohort with the mean template as its only method."""
    folder = tmp_path_factory.mktemp("plugins")
    Study.create(folder)
    study = Study(folder, "../../study.yaml")
    packed = write_packed(folder / "packed", cohort="toy")
    template = {"class": "baselines.template:MeanTemplate", "label": "Mean template"}
    write_json(folder / "methods.yaml", {"template": template})  # JSON is YAML
    write_json(folder / "ablations.yaml", {})
    write_json(
        study.configfile,
        {
            "cohorts": {"toy": {"role": "train", "source": "packed", "path": str(packed)}},
            "tracers": {
                tracer: {"ligand": ligand, "suvr_window": WINDOWS[tracer]}
                for tracer, ligand in zip(WINDOWS, ("AV1451", "AV45", "PBR28"), strict=True)
            },
            "grid": {"voxel_mm": 8.0, "shape": [16, 20, 12]},
            "folds": {"count": 3, "run": [0]},
            "training": {"updates": 4, "batch_size": 2, "device": "cpu"},
            "methods": str(folder / "methods.yaml"),
            "ablations": str(folder / "ablations.yaml"),
        },
    )
    return study


def files_of(study: Study) -> str:
    """Hash of all code, rules and configuration, the study's own included."""
    kinds = (".py", ".smk", ".yaml")
    return digest(sorted(f for f in study.folder.rglob("*") if f.suffix in kinds))


def test_a_method_of_a_package_enters_the_main_table_with_no_file_changed(
    study: Study, tmp_path: Path
) -> None:
    names = [e.name for e in EXAMPLES if find_spec("monai") or not e.name.startswith("monai")]
    installed = install(*EXAMPLES, into=tmp_path / "installed")
    env, before = {"PYTHONPATH": str(installed)}, files_of(study)
    main = ("results/tables/main.csv", "--config", f"plugins={json.dumps(names)}")
    done = study.snakemake(*main, "--cores", "1", env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert files_of(study) == before
    with (study.results / "tables/main.csv").open(newline="", encoding="utf-8") as text:
        table = list(csv.DictReader(text))
    assert {row["method"] for row in table} == {"template", *names}
    assert all(float(row["psnr"]) > 0 for row in table)
    assert ("DDPM (MONAI)" in (study.results / "tables/main.md").read_text()) == (
        "monai-ddpm" in names
    )
    record = read_json(study.results / "models/voxelwise/fold-0_seed-0/train.json")
    assert record["provenance"]["versions"]["relad-voxelwise"] == "0.1.0"
    template = read_json(study.results / "models/template/fold-0_seed-0/train.json")
    assert "relad-voxelwise" not in template["provenance"]["versions"]

    again = study.snakemake(*main, "--dry-run", env=env)
    assert "Nothing to be done" in again.stdout + again.stderr
    with (installed / "relad_voxelwise.py").open("a", encoding="utf-8") as file:
        file.write("\n# edited\n")
    plan = study.snakemake(*main, "--dry-run", env=env)
    assert "methods: train 1, synthesize 1, evaluate 1 (voxelwise)" in plan.stdout
    assert "because of code: " in plan.stdout


@pytest.mark.parametrize("arguments", [(), PLUGINS])
def test_an_installed_package_joins_only_studies_that_name_it(
    study: Study, installed: Path, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    done = study.snakemake(
        *("results/tables/main.csv", *arguments, "--forceall", "--dry-run"),
        env={"PYTHONPATH": str(installed)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert ("voxelwise" in done.stdout) == bool(arguments)


def test_a_plugin_that_is_not_installed_is_named(study: Study) -> None:
    done = study.snakemake("results/tables/main.csv", *PLUGINS, "--dry-run")
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "no installed package brings a method 'voxelwise' -- installed: none" in said
