"""Figure of images: which way up, which colours' range, whose brain."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from relad.results.figures import panels, style
from relad.study import paths
from tests.helpers.fake_study import entry

PANELS = entry("figure", "panels")


def images_of(figure) -> list[list]:
    """Images of the figure, row by row from the top, each row from left to right."""
    rows: dict[float, list] = {}
    for image in figure.axes[0].get_images():
        rows.setdefault(round(centre(image)[1], 3), []).append(image)
    ordered = [rows[y] for y in sorted(rows, reverse=True)]
    return [sorted(row, key=centre) for row in ordered]


def block_of(figure, number: int = 0) -> tuple[list[list], list[list]]:
    """Rows of images and rows of differences of a block, one of each per plane."""
    rows, planes = images_of(figure), len(panels.PLANES)
    first = 2 * planes * number
    return rows[first : first + planes], rows[first + planes : first + 2 * planes]


def centre(image) -> tuple[float, float]:
    """Where an image lies in the figure, in inches."""
    left, right, bottom, top = image.get_extent()
    return (left + right) / 2, (bottom + top) / 2


def values_of(image) -> np.ndarray:
    return np.ma.filled(np.ma.asarray(image.get_array(), dtype=float), np.nan)


def place_of_maximum(image) -> tuple[float, float]:
    """Where an image is brightest, in inches of the figure."""
    left, right, bottom, top = image.get_extent()
    array = values_of(image)
    row, column = np.unravel_index(np.nanargmax(array), array.shape)
    assert image.origin == "lower"
    x = left + (column + 0.5) / array.shape[1] * (right - left)
    return x, bottom + (row + 0.5) / array.shape[0] * (top - bottom)


#: Voxel axes to those of the world: as they are, to the left, to the back, and interchanged.
GRIDS = {
    "RAS": [[8, 0, 0], [0, 8, 0], [0, 0, 8]],
    "LAS": [[-8, 0, 0], [0, 8, 0], [0, 0, 8]],
    "LPS": [[-8, 0, 0], [0, -8, 0], [0, 0, 8]],
    "IRP": [[0, 8, 0], [0, 0, -8], [-8, 0, 0]],
}
#: Plane -> a spot in it (mm in MNI space), and what it is near to: side, and whether upwards.
SPOTS = {
    "axial": ((-28, 30, 8), "L", True),
    "coronal": ((28, -20, -26), "R", False),
    "sagittal": ((-26, 30, -26), "A", False),
}


@pytest.mark.parametrize("plane", SPOTS)
@pytest.mark.parametrize("grid", GRIDS)
def test_the_letters_name_the_side_on_which_a_lesion_is(study, fake, plane, grid):
    """A spot at a place in MNI space is drawn beside the letter of its side, however voxels run."""
    at, side, upwards = SPOTS[plane]
    dataset = study.packed["study"]
    turned = np.eye(4)
    turned[:3, :3] = GRIDS[grid]
    turned[:3, 3] = 1 - turned[:3, :3] @ (np.array(fake.shape) - 1) / 2  # 1, 1, 1 in the middle
    dataset.affine = turned
    voxel = np.round(np.linalg.inv(turned) @ [*at, 1]).astype(int)[:3]
    mri = np.full(dataset.mri.shape, -1.0, np.float32)
    mri[:, 0, *voxel] = 1.0
    dataset.mri, dataset.mask = mri, np.ones(dataset.mask.shape, bool)
    figure = panels.draw(study, PANELS)
    number = [p.name for p in panels.PLANES].index(plane)
    image = block_of(figure)[0][number][0]
    x, y = place_of_maximum(image)
    left, right, bottom, top = image.get_extent()
    letters = [t for t in figure.axes[0].texts if bottom < t.get_position()[1] < top]
    nearest = min(letters, key=lambda text: abs(text.get_position()[0] - x))
    assert nearest.get_text().strip() == side
    assert abs(x - (left + right) / 2) > 0.1 * (right - left), "the spot is in the middle"
    assert (y > centre(image)[1]) == upwards


def test_the_slices_lie_where_the_figure_says(study):
    figure = panels.draw(study, PANELS)
    (told, *_) = [t.get_text() for t in figure.axes[0].texts if "axial" in t.get_text()]
    # The voxels of 8 mm that are nearest to the planes.
    assert "axial z = 5 mm" in told
    assert "coronal y = -21 mm" in told
    assert "sagittal x = -28 mm" in told


@pytest.mark.parametrize(
    ("odd", "of_pet", "of_errors"),
    [(1.0, "neither", "neither"), (3.5, "max", "max"), (-0.5, "min", "min")],
)
def test_a_colour_bar_is_pointed_where_values_lie_beyond_it(
    study, monkeypatch, odd, of_pet, of_errors
):
    """One voxel of 400 of one of two methods."""
    even = tuple(np.ones((20, 20), np.float32) for _ in panels.PLANES)
    other = tuple(slices.copy() for slices in even)
    other[2][3, 4] = odd
    mask = tuple(slices > 0 for slices in even)
    block = panels.Block("study", "tau", "A", 1, "", (8.0, -20.0, -26.0), {"T1w": even}, even,
                         {"rela": even, "unet": other}, mask)  # fmt: skip
    monkeypatch.setattr(panels, "_block", lambda *given: block if given[3] == "tau" else None)
    images = panels.draw(study, PANELS).axes[0].get_images()
    assert [i.colorbar.extend for i in images if i.colorbar is not None] == [of_pet, of_errors]


def test_a_grid_that_runs_to_the_left_is_turned(study, fake):
    expected = [values_of(row[2]) for row in block_of(panels.draw(study, PANELS))[0]]
    for dataset in study.packed.values():
        flip = np.diag([-1.0, 1, 1, 1])
        flip[0, 3] = fake.shape[0] - 1
        dataset.affine = dataset.affine @ flip
        for name in ("mri", "pet", "mask"):
            setattr(dataset, name, np.array(getattr(dataset, name))[..., ::-1, :, :])
    shown = [values_of(row[2]) for row in block_of(panels.draw(study, PANELS))[0]]
    assert len(shown) == 3
    for ours, theirs in zip(shown, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_block_shares_one_range_and_the_difference_is_synthetic_minus_real(study):
    upper, lower = block_of(panels.draw(study, PANELS))
    assert len({image.get_clim() for row in upper for image in row[2:]}) == 1
    assert len({image.get_clim() for row in lower for image in row}) == 1
    low, high = lower[0][0].get_clim()
    assert low == -high
    for (_, _, real, *synthetic), errors in zip(upper, lower, strict=True):
        for image, error in zip(synthetic, errors, strict=True):
            difference = np.ma.masked_invalid(values_of(error))
            assert np.ma.allclose(difference, values_of(image) - values_of(real), atol=1e-6)
            assert difference.count() > 10
        # The largest error was put into the template.
        assert np.nanstd(values_of(errors[2])) > np.nanstd(values_of(errors[0]))


def test_an_image_stands_above_its_difference_and_keeps_its_shape(study):
    upper, lower = block_of(panels.draw(study, PANELS))
    for row, errors in zip(upper, lower, strict=True):
        assert [centre(i)[0] for i in errors] == [centre(i)[0] for i in row[3:]]
    for image in (image for row in (*upper, *lower) for image in row):
        left, right, bottom, top = image.get_extent()
        tall, wide = values_of(image).shape
        assert (top - bottom) / (right - left) == pytest.approx(tall / wide)


def test_images_do_not_overlap(study):
    whole = [image.get_extent() for row in images_of(panels.draw(study, PANELS)) for image in row]
    for k, (left, right, bottom, top) in enumerate(whole):
        assert 0 <= left < right <= style.WIDTH - style.BESIDE_PANELS
        for other in whole[:k]:
            apart = right <= other[0] or other[1] <= left or top <= other[2] or other[3] <= bottom
            assert apart


def test_the_median_subject_is_shown(study):
    values = study.values(PANELS, ["rela", "unet", "template"])
    means = values[values["tracer"] == "tau"].groupby("subject")["psnr"].mean()
    shown = [text.get_text() for ax in panels.draw(study, PANELS).axes for text in ax.texts]
    (of_tau, *_) = [text for text in shown if "subject" in text]
    subject = of_tau.split("subject ")[1].split(",")[0]
    assert f"n = {len(means)}" in of_tau and len(means) == 4
    assert sorted(means).index(means[subject]) == 1  # the lower median of four


def test_of_two_medians_and_of_equals_the_first_is_taken(tmp_path):
    values = pd.DataFrame({"subject": list("DCBA"), "psnr": [20.0, 20.0, 30.0, 10.0]})
    for subject in "ABCD":
        (tmp_path / paths.synthetic_pet(subject, "tau")).touch()
    assert panels._median_subject(values, "tau", {"unet": tmp_path}) == ("C", 4)
    (tmp_path / paths.synthetic_pet("C", "tau")).unlink()
    assert panels._median_subject(values, "tau", {"unet": tmp_path}) == ("D", 3)


def test_of_several_runs_the_one_that_is_shown_is_named(study, monkeypatch):
    def texts() -> str:
        return " ".join(t.get_text() for ax in panels.draw(study, PANELS).axes for t in ax.texts)

    assert "fold" not in texts()
    first = next(s for s in study.synthesized if s.cohort == "study")
    monkeypatch.setattr(study, "synthesized", [replace(first, seed=1), *study.synthesized])
    assert "(fold 0, seed\n0)" in texts() or "(fold 0, seed 0)" in texts()


def test_ablations_are_left_out(study):
    titles = [text.get_text() for text in panels.draw(study, PANELS).axes[0].texts]
    assert "Mean template" in titles
    assert not any("T1w" in t and "w/o" in t for t in titles)


def test_cohorts_of_the_other_role_are_left_out(study):
    external = panels.draw(study, entry("figure", "panels_external"))
    shown = " ".join(text.get_text() for ax in external.axes for text in ax.texts)
    assert "elsewhere" in shown and "study\n" not in shown


def test_without_images_nothing_is_drawn(study):
    study.packed = {}
    assert panels.draw(study, PANELS) is None


def test_brain_that_a_pet_does_not_show_is_blank_in_every_image(study):
    whole = block_of(panels.draw(study, PANELS))
    dataset = study.packed["study"]
    half = np.arange(dataset.shape[1]) < dataset.shape[1] // 2
    there = np.array(dataset.mask)[:, None] & half[:, None]
    dataset.pet = np.where(there, np.float32(np.nan), dataset.pet)
    cut = block_of(panels.draw(study, PANELS))
    for plane in range(3):  # the coronal slice has moved into what the PET shows
        upper = [values_of(image) for image in cut[0][plane] if image]
        lower = [values_of(image) for image in cut[1][plane] if image]
        blank = np.isnan(upper[2])
        assert not blank.all() and len(upper) == 6 and len(lower) == 3
        for image in upper:  # MRI, true PET and every method's
            np.testing.assert_array_equal(np.isnan(image), blank)
        assert all(np.isnan(error[blank]).all() and np.isfinite(error).any() for error in lower)
    # The ranges are those of what is shown, and the frame is that of the brain that is compared.
    assert cut[0][0][2].get_clim()[1] > 1 and cut[1][0][0].get_clim()[1] > 0.2
    assert values_of(cut[0][0][2]).shape[0] < values_of(whole[0][0][2]).shape[0]
    block = panels._block(study, PANELS, "study", "tau", ["rela"])
    for slices, mask in zip(block.real, block.mask, strict=True):
        assert not mask[np.isnan(slices)].any(), "the range is also of what cannot be compared"
