"""Figure of images: which way up, which colours' range, whose brain."""

from __future__ import annotations

import numpy as np
import pandas as pd

from relad.results.figures import panels
from relad.study import paths
from tests.helpers.fake_study import entry

PANELS = entry("figure", "panels")


def images_of(figure) -> list[list]:
    """Images of the figure's axes, row by row, in the panels' grid."""
    rows: dict[int, list] = {}
    for ax in figure.axes:
        spec = ax.get_subplotspec()
        if spec is None or spec.get_gridspec().ncols < 4:
            continue  # a colour bar
        shown = ax.get_images()
        rows.setdefault(spec.rowspan.start, []).append(shown[0] if shown else None)
    return [rows[k] for k in sorted(rows)]


def test_left_is_on_the_left_and_anterior_up(study, fake):
    dataset = study.packed["study"]
    # Mark the voxels: value rises to the right in T1w, to the front in FLAIR.
    x, y, _ = np.indices(fake.shape)
    mri = np.array(dataset.mri)
    mri[:, 0], mri[:, 1] = x / x.max(), y / y.max()
    dataset.mri = mri
    upper = images_of(panels.draw(study, PANELS))[0]
    right = np.asarray(upper[0].get_array())
    front = np.asarray(upper[1].get_array())
    # Rows of an image are drawn upwards from the origin.
    assert upper[0].origin == upper[1].origin == "lower"
    assert (np.diff(right, axis=1) > 0).all()
    assert (np.diff(front, axis=0) > 0).all()


def test_a_grid_that_runs_to_the_left_is_turned(study, fake):
    expected = np.asarray(images_of(panels.draw(study, PANELS))[0][2].get_array())
    for dataset in study.packed.values():
        flip = np.diag([-1.0, 1, 1, 1])
        flip[0, 3] = fake.shape[0] - 1
        dataset.affine = dataset.affine @ flip
        for name in ("mri", "pet", "mask"):
            setattr(dataset, name, np.array(getattr(dataset, name))[..., ::-1, :, :])
    shown = np.asarray(images_of(panels.draw(study, PANELS))[0][2].get_array())
    np.testing.assert_array_equal(shown, expected)


def test_a_row_shares_one_range_and_the_difference_is_synthetic_minus_real(study):
    upper, lower = images_of(panels.draw(study, PANELS))[:2]
    real, *synthetic = upper[2:]
    assert {image.get_clim() for image in upper[2:]} == {real.get_clim()}
    errors = lower[3:]
    assert len({image.get_clim() for image in errors}) == 1
    assert errors[0].get_clim()[0] == -errors[0].get_clim()[1]
    difference = np.ma.masked_invalid(errors[0].get_array())
    expected = np.asarray(synthetic[0].get_array()) - np.asarray(real.get_array())
    assert np.ma.allclose(difference, expected, atol=1e-6)
    # The largest error was put into the template.
    assert np.nanstd(errors[2].get_array()) > np.nanstd(errors[0].get_array())


def test_the_median_subject_is_shown(study):
    values = study.values(PANELS, ["rela", "unet", "template"])
    means = values[values["tracer"] == "tau"].groupby("subject")["psnr"].mean()
    shown = [text.get_text() for ax in panels.draw(study, PANELS).axes for text in ax.texts]
    (of_tau, *_) = [text for text in shown if "subject" in text]
    subject = of_tau.split("subject ")[1].split("\n")[0]
    assert sorted(means).index(means[subject]) == 1  # the lower median of four


def test_of_two_medians_and_of_equals_the_first_is_taken(tmp_path):
    values = pd.DataFrame({"subject": list("DCBA"), "psnr": [20.0, 20.0, 30.0, 10.0]})
    for subject in "ABCD":
        (tmp_path / paths.synthetic_pet(subject, "tau")).touch()
    assert panels._median_subject(values, "tau", {"unet": tmp_path}) == "C"
    (tmp_path / paths.synthetic_pet("C", "tau")).unlink()
    assert panels._median_subject(values, "tau", {"unet": tmp_path}) == "D"


def test_ablations_are_left_out(study):
    titles = [ax.get_title() for ax in panels.draw(study, PANELS).axes]
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
    whole = images_of(panels.draw(study, PANELS))
    dataset = study.packed["study"]
    half = np.arange(dataset.shape[1]) < dataset.shape[1] // 2
    there = np.array(dataset.mask)[:, None] & half[:, None]
    dataset.pet = np.where(there, np.float32(np.nan), dataset.pet)
    cut = images_of(panels.draw(study, PANELS))
    upper, lower = ([np.asarray(i.get_array(), float) for i in row if i] for row in cut[:2])
    blank = np.isnan(upper[2])
    assert blank.any() and not blank.all() and len(upper) == 6 and len(lower) == 3
    for image in upper:  # MRI, true PET and every method's
        np.testing.assert_array_equal(np.isnan(image), blank)
    assert all(np.isnan(error[blank]).all() and np.isfinite(error).any() for error in lower)
    # The ranges are those of what is shown, and the frame is that of the brain that is compared.
    assert cut[0][2].get_clim()[1] > 1 and cut[1][3].get_clim()[1] > 0.2
    assert upper[2].shape[0] < whole[0][2].get_array().shape[0]
