"""Real heads with simulated PET: what is real stays so, and the PET is the person's own."""

from __future__ import annotations

import csv
import gzip
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine
from scipy import ndimage

from relad import cli
from relad.cohort.phantom import anatomy as person
from relad.cohort.phantom import folder as heads_folder
from relad.cohort.phantom import heads, labels, pet
from relad.cohort.phantom.scanners import ALPHA
from relad.imaging.resample import sample
from relad.status import Kind, is_simulated
from relad.steps.phantom import simulate, with_heads
from relad.study.paths import REPOSITORY
from relad.study.settings import PhantomSettings, typed
from relad.study.subjects import cohort_subjects
from tests.helpers.heads import (
    PEOPLE,
    SHAPE,
    TRACERS,
    VOXEL_MM,
    hybrid_entry,
    hybrid_settings,
    own_scheme,
    two_heads,
    write_people,
)
from tests.helpers.settings import file_of
from tests.helpers.settings import study as settings_of

SHARED = Path(os.environ.get("RELAD_SHARED", REPOSITORY.parent / "shared")) / "data"
REAL = SHARED / "nichart_t1_flair"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Heads of two people."""
    return two_heads(tmp_path_factory.mktemp("of heads"))


@pytest.fixture
def copy(folder, tmp_path) -> Path:
    """A folder of one's own to damage."""
    return shutil.copytree(folder, tmp_path / "heads")


@pytest.fixture(scope="module")
def cohort(folder, tmp_path_factory) -> Path:
    """Their download, by the command line and two processes."""
    out = tmp_path_factory.mktemp("hybrid") / "raw"
    words = ["--cohort", "hybrid", "--jobs", "2", "--settings", file_of(hybrid_settings(folder))]
    assert cli.main(["phantom", str(out), *words]) == 0
    return out


@pytest.fixture(scope="module")
def bids(cohort, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("hybrid") / "bids"
    settings = file_of(settings_of(tracers=TRACERS))
    words = ["ingest", str(cohort), str(out), "--source", "phantom", "--settings", settings]
    assert cli.main(words) == 0
    return out


def _one(folder: Path, name: str = "old") -> heads_folder.Person:
    return next(p for p in heads_folder.people(folder, 900) if p.name == name)


def _label(name: str = "old") -> str:
    return heads_folder.ptid_of(name, 900).replace("_", "")


def _truth(cohort: Path, what: str, name: str = "old") -> nib.Nifti1Image:
    label = _label(name)
    return nib.load(cohort / "truth" / f"sub-{label}" / f"sub-{label}_{what}.nii.gz")


def _facts(cohort: Path, name: str = "old") -> dict:
    return json.loads((cohort / "truth" / f"sub-{_label(name)}" / "truth.json").read_text())


def _disease(images: heads.Images, one: heads_folder.Person) -> person.Disease:
    rng = person.stream(0, "x", one.name, "latent")
    return heads.disease(rng, one, heads.volumes_ml(images), heads.lesions_ml(images))


# --- what is written --------------------------------------------------------------------------


def test_people_are_known_from_the_folder_alone(folder):
    found = cohort_subjects("hybrid", hybrid_entry(folder))
    assert found == sorted(_label(name) for name in PEOPLE)
    entry = hybrid_entry(folder)
    entry["phantom"]["site"] = 7
    assert cohort_subjects("hybrid", entry)[0].startswith("007S")


def test_mri_is_copied_bit_by_bit_and_unmarked(folder, cohort):
    for name in PEOPLE:
        for series, source in (("T1w", "T1"), ("FLAIR", "FL")):
            (leaf,) = (cohort / "loni" / heads_folder.ptid_of(name, 900)).glob(f"{series}/*/*/*")
            assert leaf.suffix == ".nii" and not is_simulated(leaf)
            assert leaf.read_bytes() == gzip.decompress(
                (folder / f"{name}_{source}.nii.gz").read_bytes()
            )


def test_collection_lists_what_is_there_with_own_ids_and_no_diagnosis(cohort):
    with (cohort / "collection.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    on_disk = {path.name for path in (cohort / "loni").glob("*/*/*/I*")}
    assert {row["Image Data ID"] for row in rows} == on_disk and len(rows) == 2 * 4
    assert {row["Own ID"] for row in rows} == set(PEOPLE)
    assert {row["Group"] for row in rows} == {""}
    assert {(row["Own ID"], row["Age"], row["Sex"]) for row in rows} == {
        ("old", "88", "F"),
        ("Young-1", "71", "M"),
    }


def test_only_what_is_simulated_says_so(cohort):
    assert json.loads((cohort / "provenance.json").read_text())["kind"] == "hybrid"
    assert _facts(cohort)["note"] == "REAL MRI, SIMULATED PET"
    marked = {
        path.name.partition("_")[2]
        for path in (cohort / "truth" / f"sub-{_label()}").glob("*.nii.gz")
        if is_simulated(path)
    }
    assert marked == {
        f"trc-{name}_space-T1w_desc-{kind}_pet.nii.gz"
        for name in TRACERS
        for kind in ("noisefree", "predictable")
    } | {f"trc-{name}_desc-predictable_pet.nii.gz" for name in TRACERS}


def test_as_bids_it_is_a_hybrid_cohort(bids):
    label = _label()
    scans = {
        file.name.rpartition("_")[2].removesuffix(".nii.gz"): is_simulated(file)
        for file in bids.glob(f"sub-{label}/ses-bl/*/*.nii.gz")
    }
    assert scans == {"T1w": False, "FLAIR": False, "pet": True}
    assert Kind.of_scans(scans.items()) is Kind.HYBRID
    said = json.loads((bids / "dataset_description.json").read_text())
    assert said["Name"] == "REAL MRI, SIMULATED PET"


def test_a_person_depends_on_nobody_else(copy, cohort, tmp_path):
    write_people(copy, {"old": PEOPLE["old"]})
    (copy / "Young-1_T1.nii.gz").unlink()
    settings = with_heads(typed(PhantomSettings, hybrid_settings(copy)), "hybrid", str(copy))
    simulate(tmp_path / "alone", "hybrid", settings)
    for part in (f"loni/{heads_folder.ptid_of('old', 900)}", f"truth/sub-{_label()}"):
        files = sorted(p for p in (tmp_path / "alone" / part).rglob("*") if p.is_file())
        assert len(files) > 5
        for file in files:
            same = cohort / file.relative_to(tmp_path / "alone")
            assert same.read_bytes() == file.read_bytes(), file


def test_heads_go_with_anyhybrid_settings():
    settings = typed(PhantomSettings, settings_of())
    phantom = with_heads(settings, "new", "some/heads").cohorts["new"].phantom
    assert (phantom.heads, phantom.scanner, phantom.subjects) == ("some/heads", "alpha", None)
    assert (
        with_heads(settings, "sim-external", "x").cohorts["sim-external"].phantom.scanner == "beta"
    )


# --- the truth --------------------------------------------------------------------------------


def test_reference_region_is_one_and_part_is_hidden(cohort):
    region = {"tau": "InferiorCerebellarGrey", "tspo": "WholeCerebellum"}
    cortex = np.asarray(_truth(cohort, "space-T1w_dseg").dataobj)
    cortex = (cortex > 0) & (cortex <= 8)
    for name in PEOPLE:
        for trc, word in region.items():
            mask = np.asarray(_truth(cohort, f"space-T1w_label-{word}_mask", name).dataobj) > 0
            seen = [
                np.asarray(_truth(cohort, f"trc-{trc}_space-T1w_desc-{kind}_pet", name).dataobj)
                for kind in ("noisefree", "predictable")
            ]
            for suvr in seen:
                assert suvr[mask].mean() == pytest.approx(1, abs=1e-3)
            if name == "old":
                assert 0.01 < np.abs(seen[0] - seen[1])[cortex].mean() < 0.6


def test_labels_are_named_and_the_cerebellum_is_cut_level(cohort):
    dseg = _truth(cohort, "space-T1w_dseg")
    t1w = next((cohort / "loni" / heads_folder.ptid_of("old", 900)).glob("T1w/*/*/*.nii"))
    assert np.allclose(dseg.affine, nib.load(t1w).affine) and dseg.shape == SHAPE
    table = (
        cohort / "truth" / f"sub-{_label()}" / f"sub-{_label()}_space-T1w_dseg.tsv"
    ).read_text()
    names = dict(line.split("\t") for line in table.splitlines()[1:])
    assert names["9"] == "hippocampus"
    data = np.asarray(dseg.dataobj)
    heights = {
        name: apply_affine(dseg.affine, np.argwhere(data == int(index)))[:, 2]
        for index, name in names.items()
        if name.endswith("cerebellar_grey")
    }
    upper, lower = heights["superior_cerebellar_grey"], heights["inferior_cerebellar_grey"]
    assert upper.min() > lower.max()
    assert 0.35 < len(lower) / (len(lower) + len(upper)) < 0.5  # 0.41, in whole slices


def test_pet_lies_where_the_truth_says(cohort, bids):
    """On its own anatomy, not mirrored and not displaced, in every frame."""
    label = _label()
    truth = _truth(cohort, "trc-tau_space-T1w_desc-noisefree_pet")
    suvr = np.asarray(truth.dataobj)
    brain = np.asarray(_truth(cohort, "space-T1w_dseg").dataobj) > 0
    points = apply_affine(truth.affine, np.argwhere(brain).astype(float))
    middle = points.mean(axis=0)
    mirrored = points * [-1, 1, 1] + middle * [2, 0, 0]
    image = nib.load(next(bids.glob(f"sub-{label}/ses-bl/pet/*AV1451*_pet.nii.gz")))
    poses = _facts(cohort)["scans"]["tau"]["rigid_T1w_to_frame"]
    assert image.shape[3] == len(poses) == 6
    for frame in (2, 4):
        data, rigid = np.asarray(image.dataobj)[..., frame], np.array(poses[frame])

        def agreement(where, pose=rigid, data=data):
            seen = sample(data, image.affine, apply_affine(pose, where))
            return np.corrcoef(suvr[brain], seen)[0, 1]

        here = agreement(points)
        assert here > 0.75
        assert agreement(mirrored) < here - 0.05
        for shift in 4 * np.vstack([np.eye(3), -np.eye(3)]):
            assert agreement(points + shift) < here
        whole = sample(np.ones(data.shape, np.float32), image.affine,
                       apply_affine(rigid, points))  # fmt: skip
        assert (whole > 0.99).all()  # inside the field of view


def test_frames_in_the_window_give_the_true_suvr(cohort, bids):
    truth = _truth(cohort, "trc-tau_space-T1w_desc-noisefree_pet")
    image = nib.load(next(bids.glob(f"sub-{_label()}/ses-bl/pet/*AV1451*_pet.nii.gz")))
    data = np.asarray(image.dataobj)
    poses = np.array(_facts(cohort)["scans"]["tau"]["rigid_T1w_to_frame"])
    regions = np.asarray(_truth(cohort, "space-T1w_dseg").dataobj)
    fwhm_mm = np.hypot(ALPHA.pet.intrinsic_mm, ALPHA.pet.filter_mm)
    blurred = ndimage.gaussian_filter(np.asarray(truth.dataobj), fwhm_mm / 2.355 / VOXEL_MM)

    def ratio(name):
        """Measured and expected SUVR of a region."""
        told = []
        for of in (name, "inferior_cerebellar_grey"):
            mask = ndimage.binary_erosion(np.isin(regions, labels.VALUES[of]), iterations=1)
            points = apply_affine(truth.affine, np.argwhere(mask).astype(float))
            frames = [
                sample(data[..., k], image.affine, apply_affine(poses[k], points)).mean()
                for k in (1, 2, 3, 4)
            ]
            told.append((np.mean(frames), blurred[mask].mean()))
        (seen, true), (seen_reference, true_reference) = told
        return seen / seen_reference, true / true_reference

    for name in ("lateral_temporal", "cerebral_white", "basal_ganglia"):
        measured, expected = ratio(name)
        assert measured == pytest.approx(expected, rel=0.06), name


def test_lesions_lie_where_flair_has_them_though_headers_disagree(folder, cohort):
    one = _one(folder)
    images = heads.read(one)
    to_flair = np.array(_facts(cohort)["scans"]["FLAIR"]["rigid_T1w_to_scan"])
    white = images.regions == labels.VALUES["cerebral_white"]
    share = heads.lesion_share(images, to_flair)
    unmoved = heads.lesion_share(images, np.eye(4))
    t1w = np.asarray(images.t1w.dataobj)
    # Lesions are darker than white matter on T1w too, where they are.
    assert t1w[white & (share > 0.7)].mean() < 0.93 * t1w[white & (unmoved > 0.7)].mean()
    suvr = np.asarray(_truth(cohort, "trc-tspo_space-T1w_desc-noisefree_pet").dataobj)
    assert suvr[white & (share > 0.7)].mean() > 1.3 * suvr[white & (share < 0.05)].mean()


# --- what it follows from ---------------------------------------------------------------------


def test_more_atrophy_raises_the_stage_and_tau_and_empties_the_cortex(folder):
    one = _one(folder)
    images = heads.read(one)
    medial = np.isin(images.regions, [labels.VALUES[n] for n in ("medial_temporal", "hippocampus")])
    thinned = medial & (np.indices(medial.shape).sum(axis=0) % 3 == 0)
    regions = np.where(thinned, labels.VALUES["csf"], images.regions).astype(np.uint8)
    data = np.where(thinned, 250, np.asarray(images.t1w.dataobj)).astype(np.float32)
    t1w = nib.Nifti1Image(data, images.t1w.affine)
    atrophied = replace(images, t1w=t1w, regions=regions)
    before, after = _disease(images, one), _disease(atrophied, one)
    assert after.stage > before.stage + 0.05
    assert (after.tau_shift, after.tspo_gain) == (before.tau_shift, before.tspo_gain)
    # The same stage in both, and voxels of CSF in the one: partial volume alone.
    region = "inferior_cerebellar_grey"
    whole, holes = (
        pet.uptake("tau", region, heads.brain(of, np.eye(4)), before, np.random.default_rng(1)).suvr
        for of in (images, atrophied)
    )
    assert holes[medial].mean() < 0.9 * whole[medial].mean()
    # A later stage where the anatomy is the same: more tau.
    brain = heads.brain(images, np.eye(4))
    later = pet.uptake("tau", region, brain, after, np.random.default_rng(1)).suvr
    parietal = images.regions == labels.VALUES["parietal"]
    assert later[parietal].mean() > 1.1 * whole[parietal].mean()


def test_more_lesions_raise_inflammation_and_expected_amyloid(folder):
    one = _one(folder)
    images = heads.read(one)
    more = replace(images, lesions=np.roll(images.lesions, 1, axis=0) | images.lesions)
    before, after = _disease(images, one), _disease(more, one)
    assert after.lesion_load_ml > before.lesion_load_ml > 1
    assert after.vascular > before.vascular
    assert after.amyloid_expected > before.amyloid_expected
    added = np.where(images.regions == labels.VALUES["cerebral_white"], 1.0, 0.0)
    thalamus = images.regions == labels.VALUES["thalamus"]
    few, many = (
        pet.uptake("tspo", "whole_cerebellum", heads.brain(of, np.eye(4)), disease,
                   np.random.default_rng(1)).suvr
        for of, disease in ((images, before), (more, after))
    )  # fmt: skip
    assert many[thalamus].mean() > few[thalamus].mean()
    assert many[added > 0].mean() > few[added > 0].mean()


def test_age_and_nobody_else_moves_the_stage(folder):
    one = _one(folder)
    images = heads.read(one)
    stages = [_disease(images, replace(one, age=age)).stage for age in (65, 80, 95)]
    assert stages == sorted(stages) and stages[2] - stages[0] > 0.3


class _Sided:
    """Random numbers by which the right hemisphere takes up three times what the left does."""

    def normal(self, mean, spread, size):
        return np.full(size, 0.5 if spread == 0.16 else 0.0)


@pytest.mark.parametrize("axes", ["RAS", "LPS", "PIR", "ASL"])
def test_uptake_is_in_its_region_and_on_its_side_whatever_the_axes(folder, copy, axes):
    turn = nib.orientations.ornt_transform(
        nib.orientations.axcodes2ornt("RAS"), nib.orientations.axcodes2ornt(axes)
    )
    for suffix in ("T1", "T1_DLMUSE"):
        image = nib.load(folder / f"old_{suffix}.nii.gz").as_reoriented(turn)
        nib.save(image, copy / f"old_{suffix}.nii.gz")
    images = heads.read(_one(copy))
    brain = heads.brain(images, np.eye(4))
    disease = replace(_disease(images, _one(copy)), stage=0.45, amyloid_load=1.0, tau_shift=0.0)
    suvr = pet.uptake("amyloid", "whole_cerebellum", brain, disease, _Sided()).suvr
    index = np.argwhere(images.regions > 0)
    points = apply_affine(images.t1w.affine, index.astype(float))
    x = points[:, 0] - points[:, 0].mean()
    values, regions = suvr[images.regions > 0], images.regions[images.regions > 0]

    def mean(name, side):
        return values[(regions == labels.VALUES[name]) & (side * x > 8)].mean()

    for name in ("frontal", "lateral_temporal", "parietal"):
        assert mean(name, 1) > 1.3 * mean(name, -1)
    # Specific uptake in the left hemisphere is half of what it is in the tables.
    assert mean("frontal", -1) > mean("sensorimotor", -1) > mean("hippocampus", -1)
    assert mean("inferior_cerebellar_grey", 1) == pytest.approx(
        mean("inferior_cerebellar_grey", -1), rel=0.1
    )


def test_finer_voxels_change_the_pet_little(folder, tmp_path):
    """The tomograph sees the same head in a T1w of half the voxel edge."""
    one = _one(folder)
    images = heads.read(one)
    affine = images.t1w.affine @ np.diag([0.5, 0.5, 0.5, 1.0])
    affine[:3, 3] -= 0.25 * np.diag(images.t1w.affine)[:3]
    repeat = lambda a: a.repeat(2, 0).repeat(2, 1).repeat(2, 2)  # noqa: E731
    fine = replace(
        images, t1w=nib.Nifti1Image(repeat(np.asarray(images.t1w.dataobj)), affine),
        regions=repeat(images.regions), sides=repeat(images.sides),
    )  # fmt: skip
    disease = _disease(images, one)
    seen = []
    for of in (images, fine):
        brain = heads.brain(of, np.eye(4))
        image = pet.uptake("tau", "inferior_cerebellar_grey", brain, disease, _Sided())
        seen.append(heads.body(of, heads.middle(images)).activity(image.suvr, 6.0))
    inside = seen[0] > 0.6
    assert np.corrcoef(seen[0][inside], seen[1][inside])[0, 1] > 0.97
    assert seen[1][inside].mean() == pytest.approx(seen[0][inside].mean(), rel=0.05)


def test_who_has_no_flair_gets_pet_of_the_usual_load(copy, tmp_path):
    write_people(copy, {"old": PEOPLE["old"]})
    for suffix in ("FL", "FL_DLWMLS"):
        (copy / f"old_{suffix}.nii.gz").unlink()
    simulate(tmp_path / "out", "hybrid", typed(PhantomSettings, hybrid_settings(copy)))
    facts = _facts(tmp_path / "out")
    assert facts["lesion_load_ml"] is None and "FLAIR" not in facts["scans"]
    assert facts["vascular"] == pytest.approx(0.5)
    assert not list((tmp_path / "out" / "loni").glob("*/FLAIR"))


# --- another scheme of labels -------------------------------------------------------------------


def test_labels_of_another_scheme_by_a_table(folder, copy):
    write_people(copy, {"old": PEOPLE["old"]})
    own_scheme(copy)
    (copy / "old_T1_DLMUSE.nii.gz").unlink()
    ours, muse = heads.read(_one(copy)), heads.read(_one(folder))
    assert (ours.regions == muse.regions).all() and (ours.sides == muse.sides).all()


# --- heads of real people -----------------------------------------------------------------------


@pytest.mark.skipif(not REAL.is_dir(), reason=f"real heads are not at {REAL}")
def test_real_people_become_a_hybrid_cohort(tmp_path):
    chosen = tmp_path / "heads"
    chosen.mkdir()
    people = {"Subj5": (95.6, "F"), "Subj13": (72.8, "M")}  # headers 12 mm off, 1 mm off
    for name in people:
        for file in REAL.glob(f"{name}_*"):
            (chosen / file.name).symlink_to(file)
    write_people(chosen, people)
    raw, bids = tmp_path / "raw", tmp_path / "bids"
    simulate(raw, "hybrid", typed(PhantomSettings, hybrid_settings(chosen)), jobs=1)
    settings = file_of(settings_of(tracers=TRACERS))
    words = ["ingest", str(raw), str(bids), "--source", "phantom", "--settings", settings]
    assert cli.main(words) == 0
    for name in people:
        label = _label(name)
        found = {
            file.name.rpartition("_")[2].removesuffix(".nii.gz"): is_simulated(file)
            for file in bids.glob(f"sub-{label}/ses-bl/*/*.nii.gz")
        }
        assert found == {"T1w": False, "FLAIR": False, "pet": True}
        mask = np.asarray(_truth(raw, "space-T1w_label-WholeCerebellum_mask", name).dataobj) > 0
        suvr = np.asarray(_truth(raw, "trc-tspo_space-T1w_desc-noisefree_pet", name).dataobj)
        assert suvr[mask].mean() == pytest.approx(1, abs=1e-3)
        assert 80 < mask.sum() * 0.008 < 200  # ml of a cerebellum
        # Lesions are dark on T1w once FLAIR is registered.
        images = heads.read(_one(chosen, name))
        to_flair = np.array(_facts(raw, name)["scans"]["FLAIR"]["rigid_T1w_to_scan"])
        white = images.regions == labels.VALUES["cerebral_white"]
        share = heads.lesion_share(images, to_flair)
        t1w = np.asarray(images.t1w.dataobj)
        assert t1w[white & (share > 0.9)].mean() < 0.9 * t1w[white & (share < 0.01)].mean()
    # More atrophied and older: a later stage.
    assert _facts(raw, "Subj5")["stage"] > _facts(raw, "Subj13")["stage"] + 0.3


@pytest.mark.skipif(not REAL.is_dir(), reason=f"real heads are not at {REAL}")
def test_labels_are_those_that_muse_names():
    with (REAL / "muse_dict.csv").open(newline="") as file:
        names = {int(row["Index"]): row["Name"] for row in csv.DictReader(file)}
    single = {index: name for index, name in names.items() if index < 300}
    assert set(single) <= set(labels.MUSE.regions) <= set(single) | {46, 69}
    for index, name in single.items():
        side = {"_L": -1, "_R": 1}.get(name[-2:], 0)
        assert labels.MUSE.sides[index] == side, name
    said = {
        "Hippocampus": "hippocampus", "Precuneus": "posterior_cingulate_precuneus",
        "Putamen": "basal_ganglia", "MiddleTemporal": "lateral_temporal",
        "Entorhinal": "medial_temporal", "Frontal_WM": "cerebral_white",
        "CerebellarVermal": labels.CEREBELLUM, "PrecentralGyrus": "sensorimotor",
        "Ventricle": "ventricles",
    }  # fmt: skip
    for word, region in said.items():
        found = {labels.MUSE.regions[i] for i, name in single.items() if word in name}
        assert found == {region}, word
