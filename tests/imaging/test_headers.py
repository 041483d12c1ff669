"""NIfTI headers of public reports (docs/ingest_cases.md) and others: the right place, or an error.

Commands that read images are held to the same checks in tests/steps/test_image_checks.py.
"""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

from relad.errors import DataError
from relad.imaging.labels import read_labels
from relad.imaging.nifti import check_output, load_exact, load_nifti
from relad.registration import engine

SHAPE = (9, 8, 7)
DATA = np.random.default_rng(0).integers(1, 900, SHAPE).astype(np.int16)
PLACE = np.array([[-2.0, 0, 0, 30], [0, 2.5, 0, -20], [0, 0, 3, -10], [0, 0, 0, 1]])


def write(
    file: Path,
    *,
    data: np.ndarray = DATA,
    q: tuple[np.ndarray, int] = (PLACE, 1),
    s: tuple[np.ndarray, int] = (PLACE, 1),
    **fields: Any,
) -> Path:
    """An image with two forms (affine, code); ``fields`` are set raw at last."""
    image = nib.Nifti1Image(data, PLACE)
    image.set_qform(*q)
    image.set_sform(*s)
    raw = image.to_bytes()
    header = nib.Nifti1Header(raw[:348], check=False)
    for key, value in fields.items():
        header[key] = value
    raw = header.binaryblock + raw[348:]
    file.write_bytes(gzip.compress(raw) if file.suffix == ".gz" else raw)
    return file


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a.nii"


def refused(file: Path, said: str, **options: Any) -> None:
    with pytest.raises(DataError) as error:
        load_nifti(file, **options)
    assert str(error.value).startswith(str(file)) and said in str(error.value)
    assert "\n" not in str(error.value)


def unharmed(file: Path, affine: np.ndarray = PLACE, **options: Any) -> None:
    image = load_nifti(file, **options)
    np.testing.assert_array_equal(np.asarray(image.dataobj), DATA)
    np.testing.assert_allclose(image.affine, affine, atol=1e-4)


# --- where the head lies --------------------------------------------------------------------------

MIRRORED = np.diag([-1.0, 1, 1, 1]) @ PLACE
#: 12 % larger and turned, as an affine to a template is.
TO_MNI = np.array([[1.12, 0.03, 0, 3], [-0.02, 1.05, 0.08, -12], [0.01, -0.07, 1.15, 9],
                   [0, 0, 0, 1]]) @ PLACE  # fmt: skip


def turned(degrees: float) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = nib.eulerangles.euler2mat(np.radians(degrees), 0, 0)
    return matrix @ PLACE


def test_one_form_is_enough(file) -> None:
    unharmed(write(file, q=(PLACE, 0)))
    unharmed(write(file, s=(PLACE, 0)))


def test_no_form_is_no_place(file) -> None:
    """nipreps/fmriprep#581 and bids-standard/legacy-validator#292."""
    refused(write(file, q=(PLACE, 0), s=(PLACE, 0)), "states no orientation")


@pytest.mark.parametrize("codes", [(1, 1), (1, 2), (1, 4), (2, 1), (4, 4)])
def test_forms_that_swap_left_and_right(file, codes: tuple[int, int]) -> None:
    """MRtrix3/mrtrix3#94; whatever the codes, no map between spaces mirrors a head."""
    q, s = codes
    refused(write(file, q=(PLACE, q), s=(MIRRORED, s)), "qform and sform contradict each other")
    write(file, q=(PLACE, q), s=(PLACE, s), pixdim=[0, 2, 2.5, 3, 0, 0, 0, 0])  # 0 counts as 1
    refused(file, "qform and sform contradict each other")


def test_a_qfac_of_0_counts_as_1(file) -> None:
    """As the standard says; nibabel would log that it mends it, or raise."""
    right = np.diag([-1.0, 1, 1, 1]) @ PLACE  # of positive determinant
    write(file, q=(right, 1), s=(right, 0))
    header = nib.load(file).header
    assert header["pixdim"][0] == 1
    unharmed(write(file, q=(right, 1), s=(right, 0), pixdim=[0, *header["pixdim"][1:]]), right)
    refused(write(file, pixdim=[3, *header["pixdim"][1:]]), "its qform is no rotation")


@pytest.mark.parametrize("degrees", [1, 10])
def test_forms_of_one_space_that_lie_apart(file, degrees: float) -> None:
    """A turn by 1 degree moves this small image's corner by 0.3 mm, which rounding does too."""
    write(file, q=(PLACE, 1), s=(turned(degrees), 1))
    unharmed(file, turned(degrees)) if degrees == 1 else refused(file, "contradict each other")


def test_a_realigned_scan_lies_where_its_sform_says(file) -> None:
    """ANTsX/ANTsPy#854: SPM leaves the qform (code 1) and writes a turned sform (code 2)."""
    q = np.array([[-0.71875, 0, 0, 104.014832], [0, 0.717170, -0.430780, -105.223618],
                  [0, 0.047634, 6.485710, -32.814976], [0, 0, 0, 1]])  # fmt: skip
    s = np.array([[-0.718684, -0.004877, 0.076098, 99.941406],
                  [-0.005401, 0.717286, -0.411707, -126.472618],
                  [0.008089, 0.045584, 6.486502, -61.172062], [0, 0, 0, 1]])  # fmt: skip
    unharmed(write(file, q=(q, 1), s=(s, 2)), s)
    scaled = s @ np.diag([1.2, 1, 1, 1])  # no realignment makes a head larger
    refused(write(file, q=(q, 1), s=(scaled, 2)), "contradict each other")


def test_an_affine_to_a_template_is_no_place_of_the_head(file) -> None:
    unharmed(write(file, s=(TO_MNI, 4)), PLACE)
    unharmed(write(file, q=(PLACE, 4), s=(PLACE, 1)), PLACE)
    refused(write(file, q=(PLACE, 0), s=(TO_MNI, 4)), "contradict its affine's")


def test_labels_of_a_template_lie_where_the_template_does(file) -> None:
    s = PLACE + np.array([[0, 0, 0, 7], [0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    write(file, s=(s, 4))
    assert read_labels(file, standard=True)[1][0, 3] == 37
    assert read_labels(file)[1][0, 3] == 30
    write(file, s=(TO_MNI, 4))
    np.testing.assert_allclose(read_labels(file, standard=True)[1], TO_MNI, atol=1e-4)


def test_rounding_is_no_shear(file) -> None:
    """ANTsX/ANTs#1675: ITK refuses this sform, whose axes are at right angles up to 3e-7."""
    s = np.array([[0.995191, -0.009849, 0.097461, -95.062607],
                  [0.047470, 0.918793, -0.391875, -52.154037],
                  [-0.085687, 0.394617, 0.914842, -189.548813], [0, 0, 0, 1]])  # fmt: skip
    write(file, q=(s, 0), s=(s, 1), pixdim=[1, 1, 1, 1, 0, 0, 0, 0])
    unharmed(file, s)
    image = load_nifti(file)
    held = engine.affine_of(engine.to_ants(np.asarray(image.dataobj), image.affine))
    np.testing.assert_allclose(held, s, atol=1e-4)


def test_a_shear_is_named(file) -> None:
    sheared = PLACE.copy()
    sheared[1, 2] = 1.0
    size = np.linalg.norm(sheared[:3, :3], axis=0)
    write(file, q=(PLACE, 0), s=(sheared, 1), pixdim=[1, *size, 0, 0, 0, 0])
    refused(file, "not at right angles (a shear)")


@pytest.mark.parametrize(("code", "mm"), [(1, 1000.0), (3, 0.001), (2, 1.0), (0, 1.0)])
def test_lengths_are_read_in_their_unit(file, code: int, mm: float) -> None:
    """InsightSoftwareConsortium/ITK#4595: headers in metres or microns."""
    place = np.diag([1 / mm, 1 / mm, 1 / mm, 1]) @ PLACE
    unharmed(write(file, q=(place, 1), s=(place, 1), xyzt_units=code))


def test_what_is_1000_times_too_small_or_large_is_refused(file) -> None:
    """MagneticResonanceImaging/MRIReco.jl#126: metres, and a header that says mm."""
    place = np.diag([1e-3, 1e-3, 1e-3, 1]) @ PLACE
    refused(write(file, q=(place, 1), s=(place, 1), xyzt_units=2), "mm cannot be")
    refused(write(file, xyzt_units=3), "mm cannot be")
    refused(write(file, xyzt_units=5), "unit of length has the code 5")


# --- what the voxels are --------------------------------------------------------------------------


@pytest.mark.parametrize("slope", [0.0, np.nan])
def test_no_slope_is_no_scaling(file, slope: float) -> None:
    """JuliaNeuroscience/NIfTI.jl#14 and layerfMRI/LAYNII#88 (0), nipreps/fmriprep#2507 (NaN)."""
    unharmed(write(file, scl_slope=slope, scl_inter=np.nan))
    refused(write(file, scl_slope=np.inf), "its scale is infinite")
    refused(write(file, scl_slope=2, scl_inter=np.inf), "its header cannot be read")


def test_a_scale_holds_and_small_integers_stay_integers(file) -> None:
    image = load_nifti(write(file, scl_slope=0.25, scl_inter=-3))
    np.testing.assert_array_equal(np.asarray(image.dataobj), DATA * 0.25 - 3)
    assert load_exact(file).get_data_dtype() == np.float32
    assert load_exact(write(file)).get_data_dtype() == np.int16


@pytest.mark.parametrize("kind", [np.complex64, [("R", "u1"), ("G", "u1"), ("B", "u1")]])
def test_voxels_of_several_numbers(file, kind: Any) -> None:
    """nipy/nibabel#979 (colours), nipy/nibabel#975 (complex, its imaginary part dropped)."""
    data = np.zeros(SHAPE, kind)
    nib.Nifti1Image(data, PLACE).to_filename(file)
    said = "complex values" if kind is np.complex64 else "holds colours"
    refused(file, said, allow_constant=True)


def test_no_values(file) -> None:
    """nipy/nibabel#1002: an image that is NaN alone."""
    write(file, data=np.full(SHAPE, np.nan, np.float32))
    refused(file, "it holds no values: all voxels are NaN", allow_constant=True)


@pytest.mark.parametrize("shape", [(9, 8, 1), (2, 1, 1), (9, 8, 3), (9, 8)])
def test_pictures_and_localisers_are_no_volumes(file, shape: tuple[int, ...]) -> None:
    write(file, data=np.arange(np.prod(shape), dtype=np.int16).reshape(shape))
    refused(file, "which is no volume")


def test_an_atlas_of_too_large_labels(file) -> None:
    data = DATA.astype(np.int32)
    data[0, 0, 0] = (1 << 24) + 1  # float32 would make 16777216 of it
    with pytest.raises(DataError, match="holds a label of 1677721"):
        read_labels(write(file, data=data))


# --- what the file is -----------------------------------------------------------------------------


def test_damage_in_the_last_bytes_counts(tmp_path) -> None:
    """wasserth/TotalSegmentator#24: nibabel tells it of the last voxel alone, if that is read."""
    file = write(tmp_path / "a.nii.gz")
    raw = bytearray(file.read_bytes())
    raw[-6] ^= 1
    file.write_bytes(raw)
    refused(file, "damaged or not readable (CRC check failed")
    file.write_bytes(gzip.compress(gzip.decompress(write(file).read_bytes()) + b"more"))
    refused(file, "longer than its header says")


def test_names_that_are_not_what_they_say(tmp_path) -> None:
    """nipy/nibabel#898: a plain file that is called .nii.gz; and the reverse."""
    plain, packed = write(tmp_path / "a.nii"), write(tmp_path / "a.nii.gz")
    raw = plain.read_bytes()
    plain.write_bytes(packed.read_bytes())
    packed.write_bytes(raw)
    refused(packed, "its name ends in .gz, but it is not packed")
    refused(plain, "its header cannot be read")


@pytest.mark.parametrize("name", ["a.nii.gz", "a.nii"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"<!DOCTYPE html><html>", "it is a web page and no image -- download it again"),
        (b"\n<html>", "is a web page"),
        (b"PK\x03\x04" + bytes(40), "it is a zip archive and no image -- unpack it"),
        (b"/annex/objects/MD5E-s1--a\n", "it is a pointer of git-annex and no image"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS and no image"),
    ],
)  # fmt: skip
def test_what_came_in_place_of_an_image_is_named(tmp_path, name: str, content, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    refused(tmp_path / name, said)


def test_bytes_behind_what_is_packed_are_named(tmp_path) -> None:
    packed = write(tmp_path / "a.nii.gz")
    packed.write_bytes(packed.read_bytes() + b"more")
    refused(packed, "behind its packed content stand bytes of something else -- fetch")


@pytest.mark.parametrize("name", ["a.gii", "a.img", "a.dcm", "a", "a.nii.bz2"])
def test_other_formats(tmp_path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\0" * 400)
    refused(tmp_path / name, "is not a NIfTI file, by its name")


def test_analyze_does_not_tell_left_from_right(file) -> None:
    file.write_bytes(nib.AnalyzeImage(DATA, PLACE).header.binaryblock + DATA.tobytes())
    refused(file, "Analyze does not tell left from right")


def test_a_folder_and_a_link_to_nowhere(tmp_path) -> None:
    (tmp_path / "a.nii").mkdir()
    refused(tmp_path / "a.nii", "is a folder")
    (tmp_path / "b.nii").symlink_to("gone.nii")
    refused(tmp_path / "b.nii", "the link leads nowhere")
    (tmp_path / "c.nii").symlink_to("../.git/annex/objects/x/c.nii")
    refused(tmp_path / "c.nii", "the link leads nowhere -- get the image: git annex get")


def test_cifti_is_no_volume(file) -> None:
    refused(write(file, intent_code=3001), "is CIFTI")


def test_freesurfers_images_are_read_where_they_are_oriented(tmp_path) -> None:
    file = tmp_path / "a.mgz"
    nib.MGHImage(DATA, PLACE).to_filename(file)
    unharmed(file)
    raw = bytearray(gzip.decompress(file.read_bytes()))
    raw[28:30] = b"\0\0"  # goodRASFlag; nibabel would make up an orientation
    file.write_bytes(gzip.compress(raw))
    refused(file, "states no orientation")
    file.write_bytes(file.read_bytes()[:-40])
    refused(file, "damaged or not readable")


def test_what_is_written_replaces_no_input(tmp_path) -> None:
    with pytest.raises(Exception, match=r"must end in \.nii"):
        check_output(tmp_path / "a.mgz", [])
    with pytest.raises(Exception, match="would replace an image it is made from"):
        check_output(tmp_path / "a.nii", [None, tmp_path / "x" / ".." / "a.nii"])
