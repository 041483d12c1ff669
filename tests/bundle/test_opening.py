"""A bundle gives back the model that was put into it, or a reason why not."""

from __future__ import annotations

import json
import pickle
import shutil
from collections import namedtuple
from pathlib import Path

import pytest
import torch

from relad import cli
from relad.bundle import model_folder, open_model
from relad.bundle.form import CARD, MANIFEST, PARTS
from relad.bundle.writing import export
from relad.errors import ReladError
from tests.helpers.bundles import PREPROCESSING
from tests.helpers.settings import file_of, study
from tests.helpers.trainings import train


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_model_s_files_come_back_to_the_bit(model: Path, bundle: Path, tmp_path: Path) -> None:
    there = files_of(open_model(bundle, tmp_path / "new" / "model"))
    assert there.keys() - files_of(model).keys() == {MANIFEST, CARD}
    assert {name: there[name] for name in files_of(model)} == files_of(model)


@pytest.mark.parametrize("method", ["rela", "template"])
def test_a_bundle_synthesises_as_its_model_does(
    method: str, model: Path, packed: Path, tmp_path: Path
) -> None:
    """To the bit, and a mean template too, whose buffers take their size from the first batch."""
    if method != "rela":
        model = tmp_path / method
        assert train(packed, model, method) == 0
    export(model, tmp_path / "model.zip", license_="CC0-1.0")
    options = ["--settings", file_of(study()), "--sampler", "ddpm", "--steps", "3"]
    for given, out in ((model, "of-folder"), (tmp_path / "model.zip", "of-bundle")):
        words = ["synthesize", str(given), str(packed), str(tmp_path / out), *options]
        assert cli.main(words) == 0
    images = {name: c for name, c in files_of(tmp_path / "of-folder").items() if "nii" in name}
    assert len(images) == 6
    made = files_of(tmp_path / "of-bundle")
    assert {name: made[name] for name in images} == images


def test_what_only_continues_a_training_stays_behind_and_is_named(
    model: Path, tmp_path: Path
) -> None:
    shutil.copytree(model, tmp_path / "model")
    (tmp_path / "model" / "checkpoint.pt").write_bytes(b"a pickle")
    done = export(tmp_path / "model", tmp_path / "b.zip", license_="x")
    assert set(PARTS) - set(done.files) == {"scores.csv"}
    assert done.left == ("checkpoint.pt",)


def test_a_command_for_brain_extraction_stays_behind_and_is_named(
    model: Path, tmp_path: Path
) -> None:
    shutil.copytree(model, tmp_path / "model")
    file = tmp_path / "model" / "train.json"
    command = "mri_synthstrip -i {t1w} -m {mask}"
    registration = {**PREPROCESSING["registration"], "brain_extraction": command}
    told = {"preprocessing": {**PREPROCESSING, "registration": registration}}
    file.write_text(json.dumps(json.loads(file.read_text()) | told))
    done = export(tmp_path / "model", tmp_path / "b.zip", license_="x")
    assert done.command == command
    there = open_model(tmp_path / "b.zip", tmp_path / "there")
    assert command not in (there / "train.json").read_text()
    assert "masks that you bring" in (there / CARD).read_text()


def test_the_same_model_gives_the_same_bytes(model: Path, bundle: Path, tmp_path: Path) -> None:
    shutil.copytree(model, tmp_path / "model")  # with other times
    export(tmp_path / "model", tmp_path / "again.zip", license_="CC0-1.0")
    assert (tmp_path / "again.zip").read_bytes() == bundle.read_bytes()


def test_only_what_came_from_a_bundle_is_replaced(
    model: Path, bundle: Path, tmp_path: Path
) -> None:
    shutil.copytree(model, tmp_path / "trained")
    before = files_of(tmp_path / "trained")
    with pytest.raises(ReladError, match="not a result of this step"):
        open_model(bundle, tmp_path / "trained")
    assert files_of(tmp_path / "trained") == before
    open_model(bundle, tmp_path / "opened")
    open_model(bundle, tmp_path / "opened")


def test_a_folder_is_taken_as_it_is_and_a_bundle_leaves_nothing(
    model: Path, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with model_folder(model) as folder:
        assert folder == model
    with model_folder(bundle) as folder:
        assert (folder / "model.safetensors").is_file() and folder.is_relative_to(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_no_pickle_is_read_on_the_way_to_images(
    bundle: Path, packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise AssertionError("read a pickle")

    for owner, name in (
        (torch, "load"),
        (pickle, "load"),
        (pickle, "loads"),
        (pickle, "Unpickler"),
    ):
        monkeypatch.setattr(owner, name, refuse)
    words = ["synthesize", str(bundle), str(packed), str(tmp_path / "out"), "--steps", "1"]
    settings = file_of(study())
    assert cli.main([*words, "--sampler", "ddpm", "--settings", settings]) == 0


def test_a_disk_too_small_is_said_before_it_is_full(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage(10, 0, 10))
    with pytest.raises(ReladError, match="has room for 10 -- make room"):
        open_model(bundle, tmp_path / "a" / "model")
    assert list(tmp_path.iterdir()) == []


def test_another_version_says_which_it_was_written_by(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A method that takes other parameters by now is no damage."""
    monkeypatch.setattr("relad.bundle.model.__version__", "9.0.0")
    open_model(bundle, tmp_path / "fits")

    def without(self: object, *, inputs: int, tracers: int) -> None: ...

    monkeypatch.setattr("relad.methods.reladiff.RelADiffusion.__init__", without)
    with pytest.raises(ReladError, match=r"this relad, 9\.0\.0 \(written by relad 0\.1\.0\)"):
        open_model(bundle, tmp_path / "model")


def test_the_card_s_face_is_that_of_the_data(model: Path, tmp_path: Path) -> None:
    for kind, mark in (
        ("real", "REAL DATA"),
        ("hybrid", "REAL MRI, SIMULATED PET"),
        ("simulated", "SIMULATED DATA"),
    ):
        folder = tmp_path / kind
        shutil.copytree(model, folder)
        told = json.loads((folder / "train.json").read_text())
        told |= {"kind": kind, "preprocessing": PREPROCESSING if kind == "real" else None}
        (folder / "train.json").write_text(json.dumps(told))
        export(folder, tmp_path / f"{kind}.zip", license_="unspecified")
        there = open_model(tmp_path / f"{kind}.zip", tmp_path / f"{kind}-there")
        card = (there / CARD).read_text()
        assert f"> **{mark}" in card and "Research use only" in card
        assert "its maker has stated none" in card
        # Who does not know the preprocessing cannot bring a person's scans to the model.
        assert ("relad predict BUNDLE --t1 T1w.nii.gz --flair" in card) == (kind == "real")
        assert "relad synthesize BUNDLE" in card
        assert json.loads((there / MANIFEST).read_text())["mark"].startswith(mark)
