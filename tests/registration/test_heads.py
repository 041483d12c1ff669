"""`relad preprocess` on made-up scans: no head, part of the data, somebody else's brain mask."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine

from relad import cli
from relad.errors import DataError, ReladError
from relad.fileio import read_json, write_json
from relad.imaging import atlas
from relad.imaging.nifti import load_nifti, save_nifti
from relad.imaging.resample import grid_points, sample
from relad.registration import brain, deepbet, engine, extraction
from relad.registration.inputs import Session, check_tracer
from relad.registration.subject import Subject, report
from relad.registration.transforms import names
from relad.status import State
from relad.study.settings import PreprocessSettings, QcSettings, RegisterSettings, typed
from tests.helpers.registered import pose
from tests.helpers.settings import file_of, of, study

SHAPE, VOXEL_MM = (60, 70, 60), 4.0
AFFINE = atlas.grid_affine(SHAPE, VOXEL_MM)
POINTS = grid_points(SHAPE, AFFINE)


@pytest.fixture(scope="module", autouse=True)
def threads() -> None:
    engine.configure(1, 0)


@pytest.fixture(scope="module")
def settings() -> dict:
    return study(registration={"working_voxel_mm": 4.0, "to_mni": "affine"})


def noisy(data: np.ndarray) -> np.ndarray:
    random = np.random.default_rng(0)
    return np.abs(data + random.normal(0, 8, SHAPE)).astype(np.float32)


def ellipsoid(centre: tuple, axes: tuple) -> np.ndarray:
    return (((POINTS - np.array(centre)) / np.array(axes)) ** 2).sum(-1) < 1


def head(mni_to_scan: np.ndarray) -> np.ndarray:
    """The template with skull and scalp, wider than it is, in a pose."""
    template = brain.template()
    points = apply_affine(np.linalg.inv(mni_to_scan @ np.diag([1.06, 0.97, 1.02, 1])), POINTS)
    return noisy(500 * sample(template.head.numpy(), template.affine, points))


def abdomen() -> np.ndarray:
    image = 300.0 * ellipsoid((0, 0, 0), (110, 80, 200))
    image[ellipsoid((0, 0, 0), (100, 70, 200))] = 150
    image[ellipsoid((-40, 10, 20), (45, 40, 60))] = 420  # liver
    image[ellipsoid((45, 15, 30), (28, 22, 35))] = 380  # spleen
    image[ellipsoid((0, -45, 0), (18, 16, 200))] = 520  # spine
    return noisy(image)


SCANS = {
    "sphere": lambda: noisy(500.0 * ellipsoid((0, -17, 5), (75, 75, 75))),
    "noise": lambda: noisy(
        np.random.default_rng(1).uniform(0, 500, SHAPE) * (np.abs(POINTS) < 70).all(-1)
    ),
    "abdomen": abdomen,
    # Rotations by half a turn, as a wrong orientation code makes them.
    "upside down": lambda: head(np.diag([-1.0, 1, -1, 1])),
    "back to front": lambda: head(np.diag([-1.0, -1, 1, 1])),
}
POSED = pose(8, (5, -6, 9))


def preprocess(out: Path, settings: dict, *words: object) -> int:
    return cli.main(["preprocess", *map(str, words), str(out), "--settings", file_of(settings)])


@pytest.mark.parametrize("name", SCANS)
def test_what_is_no_head_is_caught(tmp_path, settings, capsys, name: str) -> None:
    save_nifti(tmp_path / "t1.nii.gz", SCANS[name](), AFFINE)
    assert preprocess(tmp_path / "out", settings, "--t1", tmp_path / "t1.nii.gz") == 1
    status = read_json(tmp_path / "out" / "status.json")
    assert status["status"] == "excluded"
    assert "no head" in status["reason"] or "orientation codes" in status["reason"]
    assert status["reason"] in capsys.readouterr().err
    # The picture shows it; no image of it is handed on.
    assert (tmp_path / "out" / "sub-one_qc.png").exists()
    assert not list((tmp_path / "out").glob("*.nii.gz"))


@pytest.fixture(scope="module")
def t1(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("head") / "ein Kopf.nii.gz"
    save_nifti(path, head(POSED), AFFINE)
    return path


@pytest.fixture(scope="module")
def one(t1, settings, tmp_path_factory) -> Path:
    """A head with a static PET that nothing times, and one that its sidecar times too early."""
    out = tmp_path_factory.mktemp("one") / "out"
    pet, early = out.parent / "pet.nii.gz", out.parent / "early.nii.gz"
    grey = atlas.resample_map("grey", atlas.SHAPE, brain.template().affine)
    uptake = 500 * atlas.resample_map("brain", atlas.SHAPE, brain.template().affine) + 800 * grey
    there = pose(-6, (9, 4, -8)) @ POSED @ np.diag([1.06, 0.97, 1.02, 1])
    points = apply_affine(np.linalg.inv(there), POINTS)
    for file in (pet, early):
        save_nifti(file, sample(uptake, brain.template().affine, points), AFFINE)
    meta = {"InjectionStart": 0, "FrameTimesStart": [0], "FrameDuration": [600]}
    write_json(out.parent / "early.json", meta)
    words = ["--t1", t1, "--pet-window-already-averaged"]
    other = out.parent / "florbetapir.nii.gz"
    shutil.copyfile(pet, other)
    write_json(out.parent / "florbetapir.json", {"TracerName": "Florbetapir"})
    # Something was given that cannot be used: status 1, the rest is there.
    words += ["--pet", f"amyloid={pet}", f"tau={early}", f"tspo={other}"]
    assert preprocess(out, settings, *words) == 1
    return out


def test_a_head_with_one_tracer_and_no_flair_is_used(one) -> None:
    status = read_json(one / "status.json")
    assert status["status"] == "ok"
    assert status["mri"]["FLAIR"]["status"] == "missing"
    assert status["tracers"]["amyloid"]["timing"] == "stated by the user"
    assert status["tracers"]["amyloid"]["margin"] > 0.01
    assert status["tracers"]["tspo"]["status"] == "excluded"
    assert "its sidecar says TracerName 'Florbetapir'" in status["tracers"]["tspo"]["reason"]
    found = {file.name for file in one.glob("*.nii.gz")}
    assert found == {
        "sub-one_space-MNI_desc-preproc_T1w.nii.gz",
        "sub-one_space-MNI_desc-brain_mask.nii.gz",
        "sub-one_trc-amyloid_space-MNI_desc-suvr_pet.nii.gz",
        "sub-one_trc-amyloid_space-MNI_desc-fov_mask.nii.gz",
    }
    record = read_json(one / "sub-one_trc-amyloid_space-MNI_desc-suvr_pet.json")
    assert record["WindowMinutes"] == [50, 70]


def test_the_statement_does_not_overrule_a_sidecar(one) -> None:
    entry = read_json(one / "status.json")["tracers"]["tau"]
    assert entry["status"] == "excluded"
    assert "no frame lies within 80 to 100 min" in entry["reason"]


@pytest.mark.parametrize(
    ("meta", "said"),
    [
        ({"TracerName": "[18F]Florbetapir"}, "is given as tau, but its sidecar says TracerName"),
        ({"Modality": "MR"}, "is an MRI and no PET"),
    ],
)
def test_a_pet_of_another_name_is_refused(meta: dict, said: str) -> None:
    tracers = of(RegisterSettings).tracers
    with pytest.raises(DataError, match=said):
        check_tracer(meta, "tau", tracers)
    check_tracer({"TracerName": "Flortaucipir"}, "tau", tracers)
    check_tracer({"TracerName": "unknown"}, "tau", tracers)


# --- the brain mask ------------------------------------------------------------------------------


def extractor(folder: Path, body: str) -> str:
    """A command like those of brain extractors: reads {t1w}, writes {mask}."""
    script = folder / "extract.py"
    script.write_text("import sys, nibabel as nib, numpy as np\nt1w, mask = sys.argv[1:]\n" + body)
    return f"'{sys.executable}' '{script}' {{t1w}} {{mask}}"


GOOD = """
image = nib.load(t1w)
data = image.get_fdata()
inside = np.zeros(data.shape, np.uint8)
inside[18:42, 16:50, 18:44] = 1
nib.save(nib.Nifti1Image(inside, image.affine), mask)
"""


@pytest.fixture
def image(t1) -> nib.Nifti1Image:
    return load_nifti(t1)


def extract(setting: str, image: nib.Nifti1Image, derivative: Path | None, scratch: Path):
    low = engine.working_copy(image, 4.0)
    return extraction.extract(setting, image, low, derivative, scratch, seed=0)


def test_an_external_extractor_is_used(image, tmp_path) -> None:
    mask = extract(extractor(tmp_path, GOOD), image, None, tmp_path).mask
    assert mask.shape == SHAPE and mask.sum() == 24 * 34 * 26


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("sys.exit('no licence')", r"failed \(status 1\): no licence"),
        ("print('nothing to do')", "wrote no mask"),
        (GOOD.replace("= 1", "= 0"), "no voxel is above 0.5"),
        (GOOD.replace("image.affine", "2 * image.affine"), "their affines differ"),
        (GOOD.replace("(inside,", "(inside[1:],"), "59 x 70 x 60 voxels, not 60 x 70 x 60"),
    ],
)
def test_an_extractor_that_fails_is_named(image, tmp_path, body: str, said: str) -> None:
    with pytest.raises(DataError, match=said):
        extract(extractor(tmp_path, body), image, None, tmp_path)


def test_a_mask_in_another_order_of_axes_is_brought_to_the_image(image, tmp_path) -> None:
    mask = extract(extractor(tmp_path, GOOD), image, None, tmp_path).mask
    stored = nib.Nifti1Image(mask.astype(np.uint8), image.affine)
    file = tmp_path / "reoriented.nii.gz"
    turned = nib.orientations.axcodes2ornt("PSR")
    now = nib.io_orientation(stored.affine)
    stored.as_reoriented(nib.orientations.ornt_transform(now, turned)).to_filename(file)
    assert nib.load(file).shape != image.shape
    found = extract("auto", image, file, tmp_path)
    assert found.origin == "derivatives"
    np.testing.assert_array_equal(found.mask, mask)


def test_an_extractor_that_is_not_there_stops_everything(t1, settings, tmp_path, capsys) -> None:
    registration = {**settings["registration"], "brain_extraction": "nowhere {t1w} {mask}"}
    changed = {**settings, "registration": registration}
    assert preprocess(tmp_path / "out", changed, "--t1", t1) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("relad preprocess: error: the brain extraction command 'nowhere' cannot")
    assert not (tmp_path / "out").exists()


def truth(image: nib.Nifti1Image) -> np.ndarray:
    """The brain of :func:`head` in its pose."""
    points = apply_affine(np.linalg.inv(POSED @ np.diag([1.06, 0.97, 1.02, 1])), POINTS)
    return sample(brain.template().brain.astype(np.float32), brain.template().affine, points) > 0.5


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * (one & other).sum() / (one.sum() + other.sum())


@pytest.mark.parametrize("setting", ["auto", "deepbet", "template"])
def test_where_the_mask_comes_from_is_a_setting(image, tmp_path, setting: str) -> None:
    found = extract(setting, image, None, tmp_path)
    assert found.origin == ("deepbet" if setting == "auto" else setting)
    assert dice(found.mask, truth(image)) > 0.9


def test_without_the_network_the_template_gives_the_mask(image, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(deepbet, "available", lambda: False)
    assert extract("auto", image, None, tmp_path).origin == "template"
    with pytest.raises(ReladError, match="is not installed -- pip install deepbet"):
        extract("deepbet", image, None, tmp_path)


def test_a_mask_of_the_derivatives_that_is_none(image, tmp_path) -> None:
    save_nifti(tmp_path / "mask.nii.gz", np.zeros(SHAPE, np.uint8), AFFINE)
    found = extract("auto", image, tmp_path / "mask.nii.gz", tmp_path)
    assert found.origin == "deepbet" and "no voxel is above 0.5" in str(found.unfit)
    with pytest.raises(DataError, match="no voxel"):
        extract("derivatives", image, tmp_path / "mask.nii.gz", tmp_path)
    with pytest.raises(DataError, match="no brain mask among the derivatives"):
        extract("derivatives", image, None, tmp_path)


def test_the_network_needs_no_gui_toolkit() -> None:
    code = "import sys; from relad.registration import deepbet; deepbet._network(); "
    code += "print([m for m in ('customtkinter', 'tkinter') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_tilt_of_a_head_is_told_from_that_of_its_header() -> None:
    """Only against the voxels' axes does a network see it."""
    turned = pose(30, (5, 6, 7))
    assert deepbet.tilt_deg(AFFINE, turned) == pytest.approx(deepbet.tilt_deg(np.eye(4), turned))
    assert deepbet.tilt_deg(AFFINE, turned) > 25
    assert deepbet.tilt_deg(turned @ AFFINE, turned) == pytest.approx(0, abs=1e-4)
    other = AFFINE @ np.array([[0, 0, 1, 0], [-1, 0, 0, 9], [0, -1, 0, 9], [0, 0, 0, 1.0]])
    assert deepbet.tilt_deg(turned @ other, turned) == pytest.approx(0, abs=1e-4)


def test_ones_own_mask(one, t1, settings, tmp_path, capsys) -> None:
    mask = np.zeros(SHAPE, np.uint8)
    mask[18:42, 16:50, 18:44] = 1
    save_nifti(tmp_path / "mask.nii.gz", mask, AFFINE)
    words = ["--t1", t1, "--brain-mask", tmp_path / "mask.nii.gz"]
    preprocess(tmp_path / "out", settings, *words)
    assert read_json(tmp_path / "out" / "status.json")["brain_mask_from"] == "derivatives"
    registered = tmp_path / "out" / "registered"
    used = nib.load(registered / names("one")["brain_mask"]).get_fdata()
    assert used.sum() == mask.sum()
    # The same scan gives the same bytes, whatever mask comes with it.
    name = names("one")["t1w"]
    assert (one / "registered" / name).read_bytes() == (registered / name).read_bytes()
    save_nifti(tmp_path / "mask.nii.gz", mask[:-1], AFFINE)
    assert preprocess(tmp_path / "no", settings, *words) == 2
    assert "mask.nii.gz: is not on the grid" in capsys.readouterr().err


def test_a_mask_that_is_wrong_is_told_by_the_head_around_it(image, t1, settings, tmp_path) -> None:
    """The head's own affine has no part in the mask, so it contradicts one that lies elsewhere."""
    found = {}
    for name, mask in (("right", truth(image)), ("half", truth(image) & (POINTS[..., 1] < -17))):
        save_nifti(tmp_path / "mask.nii.gz", mask, AFFINE)
        words = ["--t1", t1, "--brain-mask", tmp_path / "mask.nii.gz"]
        preprocess(tmp_path / name, settings, *words)
        found[name] = read_json(tmp_path / name / "status.json")["qc"]["brain_overlap_dice"]
    limit = of(QcSettings).qc.min_brain_overlap_dice
    assert found["half"] < limit < found["right"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--pet", "nope=x.nii.gz"], "'nope' is not one of the tracers -- known tracers: tau"),
        (["--pet", "tau=x.nii.gz"], "x.nii.gz: no such image"),
        (["--pet", "tau=a", "tau=b"], "--pet names tau twice"),
        (["--subject", "a_b"], "--subject takes letters and digits"),
    ],
)
def test_bad_words_are_named(t1, settings, tmp_path, capsys, words: list, said: str) -> None:
    words = ["--t1", t1, *words]
    assert preprocess(tmp_path / "out", settings, *words) == 2
    assert said in capsys.readouterr().err


def test_labels_of_the_studys_pattern_that_are_not_there_are_missing(
    tmp_path, settings, t1
) -> None:
    labels = tmp_path / "S1" / "aparc+aseg.mgz"
    step = Subject(tmp_path, "S1", typed(PreprocessSettings, settings))
    own = {"segmentation": labels, "segmentation_table": tmp_path / "lut.txt"}
    (tmp_path / "out").mkdir()
    step.write(tmp_path / "out", lambda: Session(None, t1, None, {}, None, **own))
    assert step.status.ok and step.status.segmentation.state is State.MISSING
    assert step.status.segmentation.reason == f"there is no {labels}"
    assert "segmentation" not in step.status.inputs
    assert report(step.status) == []


def test_what_is_wrong_with_given_labels_is_one_line(tmp_path, settings, t1, capsys) -> None:
    labels = tmp_path / "labels.nii.gz"
    for words, said in (
        (["--segmentation", labels], "labels.nii.gz: no such image"),
        (["--segmentation-table", t1], "--segmentation-table needs --segmentation"),
    ):
        assert preprocess(tmp_path / "out", settings, "--t1", t1, *words) == 2
        assert said in capsys.readouterr().err
    # No table beside it: that image alone is left out, and the exit status tells.
    save_nifti(labels, (POINTS[..., 2] > 0).astype(np.int16), AFFINE)
    assert preprocess(tmp_path / "out", settings, "--t1", t1, "--segmentation", labels) == 1
    status = read_json(tmp_path / "out" / "status.json")
    assert status["status"] == "ok" and status["segmentation"]["status"] == "excluded"
    reason = "labels.tsv: no such table of the labels' names"
    assert reason in status["segmentation"]["reason"] and reason in capsys.readouterr().err
