"""The phantom's parts: geometry, anatomy and the truth of its PET, without any scan."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from relad.cohort.phantom import anatomy as person
from relad.cohort.phantom import geometry, pet
from relad.cohort.phantom import template as head
from relad.cohort.phantom.brain import of_template
from relad.cohort.phantom.scanners import scanner
from relad.imaging import atlas

REFERENCE = {
    "tau": "inferior_cerebellar_grey",
    "amyloid": "whole_cerebellum",
    "tspo": "whole_cerebellum",
}


@pytest.fixture(scope="module")
def people() -> dict[str, person.Anatomy]:
    """Six subjects of one cohort, spread over the disease."""
    return {ptid: person.build(0, "sim", ptid) for ptid in (f"941_S_{n:04d}" for n in range(1, 7))}


def _brain_points() -> np.ndarray:
    affine = atlas.grid_affine((24, 28, 24), 8.0)
    index = np.argwhere(atlas.brain_mask((24, 28, 24), affine))
    return geometry.apply(affine, index.astype(float))


def test_rotation_turns_right_handed():
    quarter = geometry.rotation(np.array([0.0, 0.0, 90.0]))
    assert np.allclose(quarter @ [1, 0, 0], [0, 1, 0])
    assert np.allclose(quarter @ quarter.T, np.eye(3))


def test_rigid_turns_about_its_centre():
    centre = np.array([3.0, -5.0, 7.0])
    matrix = geometry.rigid(np.array([5.0, -8.0, 2.0]), np.array([1.0, 2.0, 3.0]), centre)
    assert np.allclose(geometry.apply(matrix, centre), centre + np.arange(1, 4))


def test_refine_is_exact_for_a_linear_map():
    grid = geometry.Grid.centred((13, 8, 10), (1.5, 2, 3), geometry.SAGITTAL, np.array([1.0, 2, 3]))
    fine = geometry.refine(grid.points(3), grid.shape, 3)
    assert np.allclose(fine, grid.points(), atol=1e-4)
    middle = geometry.apply(grid.affine, (np.array(grid.shape) - 1) / 2)
    assert np.allclose(middle, [1, 2, 3], atol=1e-4)


def test_maps_to_and_from_mni_are_inverse(people):
    points = _brain_points()
    for anatomy in people.values():
        there_and_back = anatomy.to_mni(anatomy.to_head(points))
        error = np.linalg.norm(there_and_back - points, axis=-1)
        assert error.mean() < 0.02 and error.max() < 0.5


def test_a_person_depends_on_seed_cohort_and_id_alone(people):
    ptid = "941_S_0003"
    again = person.build(0, "sim", ptid)
    assert again.latent == people[ptid].latent
    assert np.array_equal(again.forward, people[ptid].forward)
    others = [person.draw_latent(1, "sim", ptid), person.draw_latent(0, "other", ptid)]
    assert all(other != again.latent for other in others)


def test_ventricles_and_cortex_follow_the_stage(people):
    # Head-frame voxels of 4 mm are enough to measure 15 to 50 ml.
    grid = geometry.Grid.centred((52, 60, 52), (4.0, 4.0, 4.0), np.eye(3), np.zeros(3))
    base = head.template()
    stages, ventricles, cortex = [], [], []
    temporal = base.grey_share[head.GREY_REGIONS.index("medial_temporal")] > 0.5
    for anatomy in people.values():
        points = anatomy.mni_points(grid, np.eye(4), stride=2)
        ventricle = geometry.sample([base.ventricle], head.SUVR_AFFINE, points).sum()
        brain = geometry.sample([base.brain], base.tissue_affine, points).sum()
        assert 1000 < brain * 0.064 < 2100  # ml
        grey, _, _ = person.tissue(
            base.tissue_2mm[:, temporal], anatomy.atrophy[base.inside][temporal], 0.0
        )
        stages.append(anatomy.latent.stage)
        ventricles.append(ventricle / brain)
        cortex.append(grey.mean())
    assert np.corrcoef(stages, ventricles)[0, 1] > 0.8
    assert np.corrcoef(stages, cortex)[0, 1] < -0.9
    assert max(ventricles) > 1.4 * min(ventricles)


def test_lesions_lie_in_white_matter_with_the_wanted_volume(people):
    base = head.template()
    for anatomy in people.values():
        volume_ml = anatomy.lesion.sum() * 0.008
        assert volume_ml == pytest.approx(anatomy.latent.lesion_load_ml, rel=0.02)
        core = anatomy.lesion[base.inside] > 0.9
        assert base.tissue_2mm[1][core].mean() > 0.8


@pytest.mark.parametrize("tracer", pet.TRACERS)
def test_reference_region_is_one_at_every_stage(people, tracer):
    region = REFERENCE[tracer]
    reference = atlas.region_mask(region, head.SUVR_SHAPE, head.SUVR_AFFINE)
    for ptid, anatomy in people.items():
        image = pet.uptake(
            tracer,
            region,
            of_template(anatomy),
            anatomy.latent,
            person.stream(0, "sim", ptid, tracer),
        )
        assert image.suvr[reference].mean() == pytest.approx(1, abs=1e-4)
        assert image.predictable[reference].mean() == pytest.approx(1, abs=1e-4)


def test_tau_and_amyloid_rise_with_disease_and_part_is_hidden_from_mri(people):
    labels = atlas.region_labels(head.SUVR_SHAPE, head.SUVR_AFFINE)
    cortex = np.isin(labels, [atlas.REGIONS["lateral_temporal"], atlas.REGIONS["parietal"]])
    for tracer in ("tau", "amyloid"):
        pairs = []
        for ptid, anatomy in people.items():
            rng = person.stream(0, "sim", ptid, tracer)
            image = pet.uptake(tracer, REFERENCE[tracer], of_template(anatomy), anatomy.latent, rng)
            pairs.append((anatomy.latent.stage, image.suvr[cortex].mean()))
            hidden = np.abs(image.suvr - image.predictable)[cortex].mean()
            assert 0.005 < hidden < 0.6
        by_stage = [uptake for _, uptake in sorted(pairs)]
        assert by_stage[-1] > 1.5 * by_stage[0]


def test_tspo_is_high_around_lesions(people):
    anatomy = max(people.values(), key=lambda one: one.latent.lesion_load_ml)
    base = head.template()
    image = pet.uptake(
        "tspo", "whole_cerebellum", of_template(anatomy), anatomy.latent, person.stream(0, "x")
    )
    white = (base.tissue_2mm[1] > 0.9) & (base.white_share[0] > 0.9)
    lesion = anatomy.lesion[base.inside] > 0.5
    values = image.suvr[base.inside]
    assert values[white & lesion].mean() > 1.5 * values[white & ~lesion].mean()


def test_a_scan_without_noise_is_what_scans_are_about(people):
    """Of many counts the frames of the window have it as their mean, in any pose."""
    ptid, anatomy = next(iter(people.items()))
    body = pet.Body.of_template(anatomy)
    rng = person.stream(0, "sim", ptid, "tau")
    image = pet.uptake("tau", REFERENCE["tau"], of_template(anatomy), anatomy.latent, rng)
    tomograph = replace(scanner("alpha").pet, counts=5e3)
    pose = geometry.random_rigid(rng, 8, 12, head.HEAD_CENTRE)
    middle = geometry.apply(pose, head.HEAD_CENTRE)
    grid = geometry.Grid.centred(tomograph.shape, tomograph.voxel_mm, geometry.AXIAL, middle)
    schedule = pet.frames((80, 100))
    frames = pet.scan(body, image, tomograph, grid, [pose] * 6, schedule, 6586.2, rng)
    clean = pet.noise_free(body, image.suvr, tomograph, grid, pose)
    inside = clean > 0.5
    off = np.mean(frames[1:5], axis=0) - clean
    assert np.abs(off[inside]).mean() < 0.01 and abs(off[inside].mean()) < 1e-3
    hidden = pet.noise_free(body, image.predictable, tomograph, grid, pose) - clean
    assert np.abs(hidden[inside]).mean() > 0.02


@pytest.mark.parametrize("window", [(80, 100), (60, 90)])
def test_frames_in_the_window_have_the_true_mean(window):
    schedule = pet.frames(window)
    inside = [
        frame
        for frame in schedule
        if frame.start_s >= 60 * window[0] and frame.start_s + frame.duration_s <= 60 * window[1]
    ]
    assert len(inside) == 4 and len(schedule) == 6
    assert sum(frame.duration_s for frame in inside) == 60 * (window[1] - window[0])
    assert np.mean([f.level for f in inside]) == pytest.approx(1)
    assert np.mean([f.level * f.contrast for f in inside]) == pytest.approx(1, abs=1e-3)
    assert schedule[0].contrast < 0.5
