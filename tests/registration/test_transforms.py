"""Transforms read without ants do what ants does with them."""

from __future__ import annotations

import ants
import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine

from relad.errors import DataError, ReladError
from relad.imaging.resample import grid_points, inside, sample
from relad.registration import engine
from relad.registration.transforms import MniToT1w, Warp, names, read_affine, write_affine
from tests.helpers.registered import pose


def blob(shape: tuple[int, int, int], affine: np.ndarray) -> np.ndarray:
    """Smooth image with no symmetry."""
    x, y, z = np.moveaxis(grid_points(shape, affine), -1, 0)
    return (
        np.exp(-((x - 5) ** 2 / 300 + (y + 8) ** 2 / 500 + z**2 / 200))
        + 0.5 * np.exp(-((x + 15) ** 2 + (y - 12) ** 2 + (z - 6) ** 2) / 100)
    ).astype(np.float32)


def grid(spacing: tuple[float, float, float], shape: tuple[int, int, int]) -> np.ndarray:
    """Oblique affine, first axis to the left as scanners write it, centred on zero."""
    affine = pose(12, (0, 0, 0)) @ np.diag([-spacing[0], spacing[1], spacing[2], 1.0])
    affine[:3, 3] = -affine[:3, :3] @ (np.array(shape) - 1) / 2
    return affine


MOVING_SHAPE, FIXED_SHAPE = (34, 40, 24), (30, 32, 28)
MOVING, FIXED = grid((2, 1.8, 3), MOVING_SHAPE), grid((2.5, 2.5, 2.5), FIXED_SHAPE)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """An affine and a warp as ITK writes them, and the image that ants makes with both."""
    folder = tmp_path_factory.mktemp("transforms")
    affine = folder / names("S1")["t1w_to_mni_affine"]
    matrix = pose(9, (4, -3, 2)) @ np.diag([1.05, 0.95, 1.1, 1])
    write_affine(affine, matrix)
    warp = folder / names("S1")["t1w_to_mni_warp"]
    field = ants.from_numpy(
        3 * np.stack([blob(FIXED_SHAPE, FIXED), -blob(FIXED_SHAPE, FIXED),
                      0.5 * blob(FIXED_SHAPE, FIXED)], axis=-1),
        has_components=True,
    )  # fmt: skip
    like = engine.to_ants(np.zeros(FIXED_SHAPE), FIXED)
    field.set_spacing(like.spacing)
    field.set_origin(like.origin)
    field.set_direction(like.direction)
    ants.image_write(field, str(warp))
    moving = engine.to_ants(blob(MOVING_SHAPE, MOVING), MOVING)
    by_ants = ants.apply_transforms(like, moving, [str(warp), str(affine)])
    return folder, matrix, by_ants.numpy()


@pytest.mark.parametrize("deform", [True, False])
def test_points_come_back_by_the_inverse(tmp_path, deform):
    """By the other warp of SyN; a shift here, whose inverse is known."""
    to, fro = (names("S1")[key] for key in ("t1w_to_mni_warp", "mni_to_t1w_warp"))
    write_affine(tmp_path / names("S1")["t1w_to_mni_affine"], pose(9, (4, -3, 2)))
    for name, sign in ((to, 1), (fro, -1)):
        field = sign * np.broadcast_to(np.float32([3, -2, 1]), (*FIXED_SHAPE, 1, 3))
        nib.save(nib.Nifti1Image(np.ascontiguousarray(field), FIXED), tmp_path / name)
    mapped = MniToT1w(tmp_path, "S1")
    points = np.random.default_rng(0).uniform(-20, 20, (50, 3))
    there = mapped(points, deform=deform)
    np.testing.assert_allclose(mapped.inverse(there, deform=deform), points, atol=1e-9)
    assert np.abs(mapped.inverse(there, deform=not deform) - points).max() > 2


def test_images_and_affines_pass_to_ants_and_back() -> None:
    np.testing.assert_allclose(
        engine.affine_of(engine.to_ants(np.zeros(MOVING_SHAPE), MOVING)), MOVING, atol=1e-6
    )


def test_a_sheared_affine_is_refused() -> None:
    sheared = MOVING.copy()
    sheared[0, 1] += 0.5
    with pytest.raises(DataError, match="shears"):
        engine.to_ants(np.zeros(MOVING_SHAPE), sheared)


def test_points_go_where_ants_takes_them(files) -> None:
    folder, matrix, by_ants = files
    np.testing.assert_allclose(read_affine(folder / names("S1")["t1w_to_mni_affine"]), matrix)
    points = MniToT1w(folder, "S1")(grid_points(FIXED_SHAPE, FIXED))
    ours = sample(blob(MOVING_SHAPE, MOVING), MOVING, points)
    # ants repeats the outermost voxel for half a voxel more; relad does not.
    within = inside(MOVING_SHAPE, MOVING, points)
    assert within.mean() > 0.3
    np.testing.assert_allclose(ours[within], by_ants[within], atol=2e-3)
    # Without the warp, which moves points by up to 4.5 mm, the images differ visibly.
    straight = MniToT1w(folder, "S1")(grid_points(FIXED_SHAPE, FIXED), deform=False)
    unbent = sample(blob(MOVING_SHAPE, MOVING), MOVING, straight)
    assert np.abs(unbent - by_ants)[within].max() > 0.05


def test_what_antsregistration_writes_can_be_read(tmp_path) -> None:
    """Its files hold float32 under another name than those of ``ants.write_transform``."""
    true = pose(4, (3, -2, 4))
    fixed = blob(FIXED_SHAPE, FIXED)
    points = apply_affine(np.linalg.inv(true), grid_points(MOVING_SHAPE, MOVING))
    moving = sample(fixed, FIXED, points)
    for name in "ab":
        engine.register(
            engine.to_ants(fixed, FIXED),
            engine.to_ants(moving, MOVING),
            [
                engine.Stage("Rigid[0.1]", (60,), (1,), (0,)),
                engine.Stage("SyN[0.2,3,0]", (5,), (2,), (1,)),
            ],
            tmp_path / name,
            seed=0,
        )
    inner = np.stack(np.meshgrid(*[np.linspace(-20, 20, 5)] * 3, indexing="ij"), axis=-1)
    found = apply_affine(read_affine(tmp_path / "a0GenericAffine.mat"), inner)
    assert np.linalg.norm(found - apply_affine(true, inner), axis=-1).mean() < 1.0
    there = Warp(tmp_path / "a1Warp.nii.gz")(inner)
    back = Warp(tmp_path / "a1InverseWarp.nii.gz")(there)
    np.testing.assert_allclose(back, inner, atol=0.3)
    for name in ("0GenericAffine.mat", "1Warp.nii.gz", "1InverseWarp.nii.gz"):
        assert (tmp_path / f"a{name}").read_bytes() == (tmp_path / f"b{name}").read_bytes()


def test_what_is_no_transform_is_refused(tmp_path) -> None:
    text = tmp_path / "x.mat"
    text.write_text("hello")
    with pytest.raises(DataError, match="not an ITK affine"):
        read_affine(text)
    plain = tmp_path / "x.nii.gz"
    nib.save(nib.Nifti1Image(np.zeros((4, 4, 4), np.float32), np.eye(4)), plain)
    with pytest.raises(DataError, match="not a displacement field"):
        Warp(plain)


@pytest.mark.parametrize("suffix", [".mat", ".txt", ".tfm"])
def test_a_written_transform_is_what_ants_reads(tmp_path, suffix: str) -> None:
    true = pose(7, (3, -5, 11))
    path = tmp_path / f"x{suffix}"
    write_affine(path, true)
    np.testing.assert_allclose(read_affine(path), true, atol=1e-12)
    point = np.array([12.0, -30.0, 44.0])
    lps = ants.apply_ants_transform_to_point(ants.read_transform(str(path)), point * [-1, -1, 1])
    np.testing.assert_allclose(np.array(lps) * [-1, -1, 1], apply_affine(true, point), atol=1e-4)


def test_a_transform_of_another_suffix_is_refused(tmp_path) -> None:
    with pytest.raises(ReladError, match=r"name it \.mat, \.txt or \.tfm"):
        write_affine(tmp_path / "x.nii", np.eye(4))
