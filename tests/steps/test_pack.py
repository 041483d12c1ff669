"""Packing: invertible windows, folds without leaks, a row for everybody."""

from __future__ import annotations

import hashlib
import shutil

import numpy as np
import pytest

from relad import cli
from relad.data.dataset import PackedDataset
from relad.data.intensity import standardized_mri
from relad.data.window import to_suvr
from relad.errors import DataError
from relad.fileio import read_table, write_json, write_table
from relad.imaging import atlas
from relad.imaging.nifti import load_nifti, save_nifti
from relad.status import ScanStatus, State, SubjectStatus
from relad.study import paths
from relad.study.settings import PreprocessSettings, typed
from tests.helpers.settings import file_of, study
from tests.helpers.settings import tracer as tracer_entry

SHAPE, VOXEL_MM = (12, 14, 12), 16.0
AFFINE = atlas.grid_affine(SHAPE, VOXEL_MM)
TRACERS = {"tau": [0.0, 4.0], "tspo": [0.0, 2.0]}


def settings(role="train", action="exclude", regions=None) -> dict:
    return study(
        segmentation={"regions": regions or {}},
        seed=3,
        tracers={name: tracer_entry("X", suvr_window=window) for name, window in TRACERS.items()},
        grid={"shape": list(SHAPE), "voxel_mm": VOXEL_MM},
        folds={"count": 2},
        cohorts={"toy": {"role": role}},
        qc={"action": action},
    )


def write_subject(
    root, label, *, tracers=("tau", "tspo"), status="ok", reason=None, flair="ok", simulated=True,
    override=None,
):  # fmt: skip
    folder = root / f"sub-{label}"
    folder.mkdir(parents=True)
    random = np.random.default_rng(int(label[1:]))
    missing = State.MISSING
    SubjectStatus(
        label,
        session="bl",
        state=State(status),
        reason=reason,
        mri={
            "T1w": ScanStatus(State.OK, simulated=simulated),
            "FLAIR": ScanStatus(
                State(flair), None if flair == "ok" else "no FLAIR there", simulated
            ),
        },
        pet={k: ScanStatus(State.OK if k in tracers else missing) for k in TRACERS},
        override=override,
    ).write(folder)
    if status != "ok":
        return folder
    mask = np.zeros(SHAPE, bool)
    mask[3:9, 3:11, 3:9] = True
    save_nifti(folder / paths.brain_mask(label), mask, AFFINE)
    for modality in ("T1w", "FLAIR"):
        data = random.normal(500, 100, SHAPE).astype(np.float32)
        save_nifti(folder / paths.preprocessed_mri(label, modality), data, AFFINE)
    for tracer in tracers:
        data = random.uniform(0, 5, SHAPE).astype(np.float32)  # beyond both windows
        save_nifti(folder / paths.preprocessed_pet(label, tracer), data, AFFINE)
        save_nifti(folder / paths.field_of_view(label, tracer), np.ones(SHAPE, bool), AFFINE)
    return folder


@pytest.fixture
def cohort(tmp_path):
    """Four complete subjects, one without TSPO, one excluded, one without PET."""
    root = tmp_path / "normalized"
    folders = [write_subject(root, f"S{i}") for i in range(4)]
    folders.append(write_subject(root, "S4", tracers=("tau",)))
    folders.append(write_subject(root, "S5", status="excluded", reason="T1w is truncated"))
    folders.append(write_subject(root, "S6", tracers=()))
    bids = tmp_path / "bids"
    write_table(
        bids / "participants.tsv",
        [
            {"participant_id": f"sub-S{i}", "age": 60 + i, "sex": "F", "group": "CN"}
            for i in range(7)
        ],
        ["participant_id", "age", "sex", "group"],
    )
    return folders, bids


def pack(out, cohort, role="train", action="exclude", regions=None):
    folders, bids = cohort
    quality = out.with_name(f"{out.name}-qc")
    verdicts = {folder: SubjectStatus.read(folder).as_dict() for folder in folders}
    write_json(quality / "subjects.json", list(verdicts.values()))
    named = ["--bids", str(bids), "--qc", str(quality), "--cohort", "toy"]
    named += ["--settings", file_of(settings(role, action, regions))]
    return cli.main(["pack", str(out), *map(str, folders), *named])


def test_suvr_comes_back_and_everybody_has_a_row(cohort, tmp_path):
    import nibabel as nib

    assert pack(tmp_path / "packed", cohort) == 0
    data = PackedDataset(tmp_path / "packed")
    assert [row["subject"] for row in data.subjects] == ["S0", "S1", "S2", "S3", "S4"]
    reasons = {row["subject"]: row["reason"] for row in data.excluded}
    assert reasons["S5"] == "T1w is truncated"
    assert "no usable PET" in reasons["S6"]
    for row in data.subjects:
        i, label = row["index"], row["subject"]
        for k, tracer in enumerate(data.tracers):
            if tracer not in row["tracers"]:
                assert np.isnan(data.pet[i, k]).all()
                continue
            file = cohort[0][i] / paths.preprocessed_pet(label, tracer)
            expected = np.where(data.mask[i], nib.load(file).get_fdata(), 0)
            np.testing.assert_allclose(
                to_suvr(data.pet[i, k], data.windows[tracer]), expected, atol=1e-6
            )
    assert (4, 1) not in data.pairs(part="all")
    assert data.subjects[2]["age"] == 62


def test_an_age_in_words_is_unknown_and_said(cohort, tmp_path, capsys):
    """HIPAA lets nobody of 90 years or more be told apart: 89+."""
    table = cohort[1] / "participants.tsv"
    table.write_text(table.read_text().replace("sub-S1\t61", "sub-S1\t89+"))
    assert pack(tmp_path / "packed", cohort) == 0
    assert "sub-S1: age '89+' is no number of years: unknown\n" in capsys.readouterr().err
    ages = {row["subject"]: row["age"] for row in PackedDataset(tmp_path / "packed").subjects}
    assert ages["S1"] is None and ages["S2"] == 62


def test_brain_that_a_pet_does_not_show_is_not_known(cohort, tmp_path):
    assert pack(tmp_path / "whole", cohort) == 0
    seen = np.ones(SHAPE, bool)
    seen[..., 7:] = False
    save_nifti(cohort[0][1] / paths.field_of_view("S1", "tau"), seen, AFFINE)
    assert pack(tmp_path / "cut", cohort) == 0
    whole, cut = PackedDataset(tmp_path / "whole"), PackedDataset(tmp_path / "cut")
    unknown = cut.mask[1] & ~seen
    assert unknown.any() and np.array_equal(cut.mask, whole.mask)
    assert np.array_equal(np.isnan(cut.pet[1, 0]), unknown)
    assert np.array_equal(cut.pair_mask(1, 0), cut.mask[1] & seen)
    # Nothing else has changed, the background included, and whole PET is kept as it ever was.
    filled = np.array(cut.pet)
    filled[1, 0][unknown] = whole.pet[1, 0][unknown]
    assert np.array_equal(filled, whole.pet, equal_nan=True)
    assert np.array_equal(whole.pair_mask(1, 0), whole.mask[1])


def test_what_anatomy_determines_is_packed_beside_the_pet(cohort, tmp_path, capsys):
    assert pack(tmp_path / "none", cohort) == 0
    images = {}
    for folder in cohort[0][:5]:
        label = folder.name.removeprefix("sub-")
        for tracer in TRACERS if label != "S4" else ["tau"]:
            image = np.random.default_rng(len(images)).uniform(0, 3, SHAPE).astype(np.float32)
            images[label, tracer] = image
            save_nifti(folder / paths.predictable_pet(label, tracer), image, AFFINE)
    seen = np.ones(SHAPE, bool)
    seen[..., 7:] = False
    save_nifti(cohort[0][1] / paths.field_of_view("S1", "tau"), seen, AFFINE)
    assert pack(tmp_path / "known", cohort) == 0
    none, known = PackedDataset(tmp_path / "none"), PackedDataset(tmp_path / "known")
    assert (none.has_ceiling, known.has_ceiling) == (False, True)
    assert not (none.path / "ceiling.npy").exists()
    ceiling = known.ceiling()
    assert np.array_equal(np.isnan(ceiling), np.isnan(known.pet))
    for (label, tracer), image in images.items():
        i = [row["subject"] for row in known.subjects].index(label)
        k = known.tracers.index(tracer)
        mask = known.pair_mask(i, k)
        back = to_suvr(ceiling[i, k], known.windows[tracer])
        np.testing.assert_allclose(back[mask], image[mask], atol=1e-6)
        np.testing.assert_allclose(back[~known.mask[i]], 0, atol=1e-6)
    # Of some people alone: whose tables would they stand in?
    file = cohort[0][2] / paths.predictable_pet("S2", "tspo")
    file.unlink()
    assert pack(tmp_path / "some", cohort) == 2
    said = capsys.readouterr().err
    assert str(file) in said and "8 other PET of the cohort have theirs" in said
    assert pack(tmp_path / "apply", cohort, role="apply") == 0
    assert not (tmp_path / "apply" / "ceiling.npy").exists()


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (None, "this version keeps every PET's field of view -- run `relad normalize` again"),
        (np.zeros(SHAPE, bool), "the tau PET of S1 shows nothing of the brain"),
        (np.ones((8, 8, 8), bool), "is not on the configured grid"),
    ],
)
def test_a_field_of_view_that_cannot_be_used_is_told(cohort, tmp_path, capsys, seen, said):
    file = cohort[0][1] / paths.field_of_view("S1", "tau")
    file.unlink()
    if seen is not None:
        save_nifti(file, seen, AFFINE)
    assert pack(tmp_path / "packed", cohort) == 2
    told = capsys.readouterr().err
    assert str(file) in told and said in told
    assert not (tmp_path / "packed").exists()


def test_people_to_whom_models_are_applied_need_no_pet_and_none_is_read(cohort, tmp_path):
    for tracer in TRACERS:  # S6 has none; that of S0 could not even be read
        (cohort[0][0] / paths.preprocessed_pet("S0", tracer)).write_bytes(b"broken")
    assert pack(tmp_path / "packed", cohort, role="apply") == 0
    data = PackedDataset(tmp_path / "packed")
    assert [row["subject"] for row in data.subjects] == ["S0", "S1", "S2", "S3", "S4", "S6"]
    assert [row["reason"] for row in data.excluded] == ["T1w is truncated"]
    assert not (tmp_path / "packed" / "pet.npy").exists()
    assert {row["tracers"] for row in data.subjects} == {()}


def test_how_people_were_preprocessed_and_what_they_are_goes_along(cohort, tmp_path):
    bids = cohort[1]
    for folder in cohort[0]:
        status = SubjectStatus.read(folder)
        status.inputs = {"T1w": f"sub-{status.subject}_T1w.nii.gz"}
        status.numbers = {"brain_volume_ml": 1234.5}
        status.write(folder)
    told = {"Manufacturer": "Siemens", "ManufacturersModelName": "Prisma"}
    write_json(bids / "sub-S1_T1w.json", told | {"MagneticFieldStrength": 2.89})
    assert pack(tmp_path / "packed", cohort) == 0
    data = PackedDataset(tmp_path / "packed")
    assert [row["scanner"] for row in data.subjects[:2]] == [None, "Siemens Prisma 2.9 T"]
    assert data.subjects[0]["brain_volume_ml"] == 1234.5
    kept = typed(PreprocessSettings, data.preprocessing)
    assert (kept.grid.voxel_mm, kept.seed) == (VOXEL_MM, 3)
    assert kept.tracers["tspo"].suvr_window == (0.0, 2.0)
    assert kept.registration.to_mni == "syn" and kept.qc.min_coverage > 0


def test_folds_share_no_subject_and_cover_all(cohort, tmp_path):
    assert pack(tmp_path / "packed", cohort) == 0
    data = PackedDataset(tmp_path / "packed")
    parts = [{i for i, _ in data.pairs(fold, "test")} for fold in (0, 1)]
    assert not parts[0] & parts[1]
    assert parts[0] | parts[1] == {0, 1, 2, 3, 4}
    for fold in (0, 1):
        assert not parts[fold] & {i for i, _ in data.pairs(fold, "train")}


def test_an_external_cohort_has_no_folds(cohort, tmp_path):
    assert pack(tmp_path / "packed", cohort, role="external") == 0
    assert {row["fold"] for row in PackedDataset(tmp_path / "packed").subjects} == {None}


def test_same_input_same_bytes(cohort, tmp_path):
    for name in "ab":
        assert pack(tmp_path / name, cohort) == 0
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


def test_nobody_usable_and_a_foreign_grid_are_one_line(cohort, tmp_path, capsys):
    folders, bids = cohort
    assert pack(tmp_path / "packed", (folders[5:], bids)) == 2
    error = capsys.readouterr().err
    assert "T1w is truncated" in error
    assert len(error.strip().splitlines()) == 1
    file = folders[1] / paths.preprocessed_mri("S1", "FLAIR")
    save_nifti(file, np.random.default_rng(0).random((8, 8, 8)), AFFINE)
    assert pack(tmp_path / "packed", cohort) == 2
    assert file.name in capsys.readouterr().err
    assert not (tmp_path / "packed").exists()


def test_a_subject_given_twice_is_refused(cohort, tmp_path, capsys):
    folders, bids = cohort
    assert pack(tmp_path / "packed", ([*folders, folders[0]], bids)) == 2
    assert "S0 is given twice" in capsys.readouterr().err


def copy_mri(folders, source, twin):
    """Give one subject another's T1w, FLAIR and brain mask."""
    for name in (
        lambda label: paths.preprocessed_mri(label, "T1w"),
        lambda label: paths.preprocessed_mri(label, "FLAIR"),
        paths.brain_mask,
    ):
        shutil.copyfile(folders[source] / name(f"S{source}"), folders[twin] / name(f"S{twin}"))


@pytest.mark.parametrize("role", ["train", "external"])
def test_one_person_under_two_ids_is_refused(cohort, tmp_path, capsys, role):
    copy_mri(cohort[0], 1, 2)
    assert pack(tmp_path / "packed", cohort, role=role) == 2
    said = capsys.readouterr().err
    assert "S1 and S2 have the same MRI: one person under two ids, who would count twice" in said
    assert not (tmp_path / "packed").exists()


def test_a_model_may_be_applied_to_one_person_twice(cohort, tmp_path):
    copy_mri(cohort[0], 1, 2)
    assert pack(tmp_path / "packed", cohort, role="apply") == 0
    of = {row["subject"]: row["mri_sha256"] for row in PackedDataset(tmp_path / "packed").subjects}
    assert of["S1"] == of["S2"] and len(set(of.values())) == len(of) - 1


def test_a_persons_mri_is_recognised_in_another_cohort_under_another_label(cohort, tmp_path):
    folders, bids = cohort
    other = tmp_path / "elsewhere" / "sub-S9"
    shutil.copytree(folders[0], other)
    for file in sorted(other.iterdir()):
        file.rename(other / file.name.replace("S0", "S9"))
    status = SubjectStatus.read(other)
    status.subject = "S9"
    status.write(other)
    assert pack(tmp_path / "here", cohort) == 0
    assert pack(tmp_path / "there", ([other], bids), role="external") == 0
    here, there = (PackedDataset(tmp_path / name) for name in ("here", "there"))
    hashes = [row["mri_sha256"] for row in here.subjects]
    assert there.subjects[0]["subject"] == "S9"
    assert there.subjects[0]["mri_sha256"] == hashes[0]
    assert len(set(hashes)) == len(here)
    for row, volumes in zip(here.subjects, here.mri, strict=True):
        expected = hashlib.sha256(np.ascontiguousarray(volumes).tobytes()).hexdigest()
        assert expected.startswith(row["mri_sha256"]) and len(row["mri_sha256"]) == 16


def test_a_subject_in_two_folds_is_refused_by_the_reader(cohort, tmp_path):
    assert pack(tmp_path / "packed", cohort) == 0
    table = tmp_path / "packed" / "subjects.tsv"
    rows = read_table(table)
    other = {**rows[0], "fold": 1 - int(rows[0]["fold"])}
    write_table(table, [*rows, other], list(rows[0]))
    with pytest.raises(Exception, match=r"S0 stands in two rows, in folds"):
        PackedDataset(tmp_path / "packed")


def test_mri_is_standardised_inside_the_brain_and_clipped():
    mask = np.zeros((8, 8, 8), bool)
    mask[2:6, 2:6, 2:6] = True
    data = np.random.default_rng(0).normal(300, 40, mask.shape)
    data[3, 3, 3] = 1e6
    a = standardized_mri(data, mask)
    assert (a[~mask] == -1).all()
    assert a[3, 3, 3] == 1
    assert abs(np.median(a[mask])) < 1e-3
    np.testing.assert_allclose(a, standardized_mri(7 * data + 100, mask), atol=1e-5)
    with pytest.raises(DataError, match="one intensity"):
        standardized_mri(np.full(mask.shape, 5.0), mask)


def test_every_modality_stands_in_its_channel(cohort, tmp_path):
    assert pack(tmp_path / "packed", cohort) == 0
    data = PackedDataset(tmp_path / "packed")
    for row in data.subjects:
        i, label = row["index"], row["subject"]
        for j, modality in enumerate(data.modalities):
            image = load_nifti(cohort[0][i] / paths.preprocessed_mri(label, modality))
            expected = standardized_mri(np.asarray(image.dataobj), data.mask[i])
            np.testing.assert_array_equal(data.mri[i, j], expected)


def test_a_subject_without_flair_has_a_row_with_its_reason(cohort, tmp_path):
    folders, bids = cohort
    alone = write_subject(tmp_path / "normalized", "S7", flair="missing")
    assert pack(tmp_path / "packed", ([*folders, alone], bids)) == 0
    (row,) = [r for r in PackedDataset(tmp_path / "packed").excluded if r["subject"] == "S7"]
    assert row["reason"] == "methods need T1w and FLAIR; FLAIR missing: no FLAIR there"


def test_a_failed_scan_stops_the_cohort_where_that_is_asked_for(cohort, tmp_path, capsys):
    folders, bids = cohort
    assert pack(tmp_path / "packed", cohort, action="fail") == 2
    said = capsys.readouterr().err
    assert "1 scans of cohort toy failed (S5: T1w is truncated)" in said
    assert not (tmp_path / "packed").exists()
    # What is not there has not failed.
    assert pack(tmp_path / "packed", (folders[:5] + folders[6:], bids), action="fail") == 0


def test_what_a_person_decided_stands_in_subjects_tsv(cohort, tmp_path):
    folders, bids = cohort
    by = {"who": "XY", "why": "seen"}
    kept = {**by, "decision": "keep", "note": "kept by XY although the brain is small: seen"}
    dropped = {**by, "decision": "drop", "note": "dropped by XY: seen"}
    root = tmp_path / "normalized"
    more = [
        write_subject(root, "S7", override=kept),
        write_subject(root, "S8", status="excluded", reason=dropped["note"], override=dropped),
    ]
    # Who was dropped by hand has not failed: nothing is left to be looked at.
    some = ([*folders[:5], *folders[6:], *more], bids)
    assert pack(tmp_path / "packed", some, action="fail") == 0
    rows = {row["subject"]: row for row in read_table(tmp_path / "packed" / "subjects.tsv")}
    assert (rows["S7"]["included"], rows["S7"]["reason"]) == ("yes", None)
    assert rows["S7"]["override"] == kept["note"]
    assert (rows["S8"]["included"], rows["S8"]["reason"]) == ("no", dropped["note"])
    assert rows["S8"]["override"] == dropped["note"] and rows["S0"]["override"] is None


def test_the_kind_of_the_data_comes_from_the_scans_not_from_the_settings(cohort, tmp_path, capsys):
    folders, bids = cohort
    assert pack(tmp_path / "packed", cohort) == 0
    assert PackedDataset(tmp_path / "packed").kind == "simulated"
    real = write_subject(tmp_path / "other", "S8", simulated=False)
    assert pack(tmp_path / "real", ([real], bids), role="external") == 0
    assert PackedDataset(tmp_path / "real").kind == "real"
    assert pack(tmp_path / "mixed", ([*folders, real], bids)) == 2
    assert "people of different kinds of data" in capsys.readouterr().err


def test_a_cohort_is_packed_from_the_folder_that_holds_its_people(cohort, tmp_path):
    folders, bids = cohort
    assert pack(tmp_path / "a", cohort) == 0
    named = ["--bids", str(bids), "--qc", str(tmp_path / "a-qc"), "--cohort", "toy"]
    named += ["--settings", file_of(settings())]
    (tmp_path / "words.txt").write_text("".join(f"{folder}\n" for folder in folders))
    assert cli.main(["pack", str(tmp_path / "b"), str(folders[0].parent), *named]) == 0
    assert cli.main(["pack", str(tmp_path / "c"), f"@{tmp_path / 'words.txt'}", *named]) == 0
    for other in "bc":
        for file in (tmp_path / "a").iterdir():
            assert file.read_bytes() == (tmp_path / other / file.name).read_bytes()


def test_a_subject_that_was_not_judged_is_refused(cohort, tmp_path, capsys):
    assert pack(tmp_path / "packed", cohort) == 0
    new = write_subject(tmp_path / "normalized", "S9")
    quality = tmp_path / "packed-qc"
    named = ["--bids", str(cohort[1]), "--qc", str(quality), "--cohort", "toy"]
    words = ["pack", str(tmp_path / "again"), str(new), *named, "--settings", file_of(settings())]
    assert cli.main(words) == 2
    assert "subject S9 was not judged -- run `relad qc` on it" in capsys.readouterr().err


# --- regions of people's own segmentations -------------------------------------------------------

OWN = {"hippocampus": ["Left-Hippocampus", "Right-Hippocampus"], "mine": ["Left-Hippocampus"]}


def write_regions(folder, *, reason=None, regions=OWN):
    """Regions as `relad normalize` writes them, or why there are none; returns their masks."""
    status = SubjectStatus.read(folder)
    state = State.EXCLUDED if reason else State.OK
    status.segmentation = ScanStatus(state, reason)
    status.write(folder)
    if reason:
        return None
    file = folder / paths.own_regions(status.subject)
    masks = np.random.default_rng(int(status.subject[1:])).random((*SHAPE, len(regions))) < 0.3
    save_nifti(file, masks, AFFINE)
    write_json(file.with_name(file.name.replace(".nii.gz", ".json")), {"Regions": regions})
    return masks


def test_everybodys_own_regions_are_packed_or_they_are_not_included(cohort, tmp_path):
    folders, _ = cohort
    masks = {f"S{i}": write_regions(folders[i]) for i in (0, 1, 3, 4)}
    write_regions(folders[2], reason="has no region 'Left-Hippocampus'")
    assert pack(tmp_path / "packed", cohort, regions=OWN) == 0
    data = PackedDataset(tmp_path / "packed")
    assert [row["subject"] for row in data.subjects] == list(masks)
    assert data.own_regions == ["hippocampus", "mine"]
    assert data.regions.dtype == bool and isinstance(data.regions, np.memmap)
    for row in data.subjects:
        expected = np.moveaxis(masks[row["subject"]], -1, 0)
        np.testing.assert_array_equal(data.regions[row["index"]], expected)
    (left_out,) = [row for row in data.excluded if row["subject"] == "S2"]
    assert left_out["reason"] == (
        "segmentation.regions asks for regions of the person's own: "
        "has no region 'Left-Hippocampus'"
    )
    digest = hashlib.sha256((tmp_path / "packed" / "regions.npy").read_bytes()).hexdigest()
    assert data.info["sha256"]["regions"] == digest
    assert data.info["regions"] == OWN


def test_labels_that_failed_stop_the_cohort_where_they_are_needed(cohort, tmp_path, capsys):
    folders, bids = cohort
    whole = folders[:2], bids
    write_regions(folders[0])
    write_regions(folders[1], reason="lies elsewhere")
    assert pack(tmp_path / "a", whole, role="external", action="fail", regions=OWN) == 2
    assert "(S1: segmentation: lies elsewhere)" in capsys.readouterr().err
    assert pack(tmp_path / "b", whole, role="external", action="fail") == 0


def test_without_such_regions_nobody_needs_a_segmentation(cohort, tmp_path):
    write_regions(cohort[0][2], reason="it is broken")
    assert pack(tmp_path / "packed", cohort) == 0
    data = PackedDataset(tmp_path / "packed")
    assert len(data) == 5 and data.own_regions == []
    assert data.regions.shape == (5, 0, *SHAPE)
    # As before there were any: what was trained on such a folder stays its own.
    assert "regions" not in data.info and "regions" not in data.info["sha256"]


def test_regions_of_the_evaluation_make_no_model_another_ones(cohort, tmp_path):
    for folder in cohort[0][:5]:
        write_regions(folder)
    assert pack(tmp_path / "a", cohort) == pack(tmp_path / "b", cohort, regions=OWN) == 0
    a, b = (PackedDataset(tmp_path / name) for name in "ab")
    assert len(a) == len(b) == 5 and b.own_regions
    assert a.fingerprint == b.fingerprint


@pytest.mark.parametrize("left", [{}, {"hippocampus": ["Other"], "mine": ["Left-Hippocampus"]}])
def test_regions_of_other_settings_are_refused(cohort, tmp_path, capsys, left):
    for folder in cohort[0][:5]:
        write_regions(folder, regions=left or OWN)
    if not left:
        for file in cohort[0][1].glob("*desc-regions*"):
            file.unlink()
    assert pack(tmp_path / "packed", cohort, regions=OWN) == 2
    said = capsys.readouterr().err
    assert "does not hold the study's regions hippocampus, mine -- run `relad normalize`" in said
