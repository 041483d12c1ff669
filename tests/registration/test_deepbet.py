"""What is done about a network that knows upright heads only; the network itself: test_heads.py."""

from __future__ import annotations

from collections.abc import Callable

import nibabel as nib
import numpy as np
import pytest
from nibabel.affines import apply_affine
from scipy.spatial.transform import Rotation

from relad.errors import DataError
from relad.imaging import atlas
from relad.imaging.resample import grid_points, sample
from relad.imaging.similarity import rigid
from relad.registration import brain, deepbet, engine

SHAPE, VOXEL_MM = (64, 72, 64), 4.0
AFFINE = atlas.grid_affine(SHAPE, VOXEL_MM)


def pitched(degrees: float) -> np.ndarray:
    """Map of MNI points to those of a head that is pitched about its middle."""
    return rigid(np.array([degrees, 0, 0]), np.array([2.0, -3, 4]), np.array([0.0, -17, 5]))


def posed(kind: str, pose: np.ndarray, affine: np.ndarray = AFFINE) -> np.ndarray:
    """A map of the template in a pose."""
    points = apply_affine(np.linalg.inv(pose), grid_points(SHAPE, affine))
    source = atlas.grid_affine(atlas.SHAPE, atlas.VOXEL_MM)
    return sample(atlas.resample_map(kind, atlas.SHAPE, source), source, points)


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * (one & other).sum() / (one.sum() + other.sum())


class Network:
    """Finds the brain of a head whose tilt it stands, else a box; counts how often it is asked."""

    def __init__(self, pose: np.ndarray, stands: Callable[[float], bool]):
        self.pose, self.stands, self.asked = pose, stands, 0

    def predict(self, image: nib.Nifti1Image) -> np.ndarray:
        self.asked += 1
        tilt = deepbet.tilt_deg(image.affine, self.pose)
        truth = posed("brain", self.pose, image.affine) > 0.5
        return truth if self.stands(tilt) else np.roll(truth, 14, axis=2)

    def find_pose(self, image: nib.Nifti1Image, mask: np.ndarray) -> tuple[np.ndarray, float]:
        """The true pose, scored by how good the mask is."""
        return self.pose, 1 + 0.12 * dice(mask, posed("brain", self.pose, image.affine) > 0.5)


@pytest.fixture
def extract(monkeypatch) -> Callable[[Network], np.ndarray]:
    def of(network: Network) -> np.ndarray:
        monkeypatch.setattr(deepbet, "_predict", network.predict)
        image = nib.Nifti1Image(posed("t1", network.pose), AFFINE)
        return deepbet.extract(image, network.find_pose)

    return of


@pytest.mark.parametrize("degrees", [45.0, -45.0])
def test_other_pitches_are_tried_where_the_brain_does_not_fit(extract, degrees: float) -> None:
    network = Network(pitched(degrees), lambda tilt: tilt < 15)
    truth = posed("brain", network.pose) > 0.5
    assert dice(network.predict(nib.Nifti1Image(truth.astype(np.uint8), AFFINE)), truth) < 0.8
    assert dice(extract(network), truth) > 0.95


def test_a_tilted_head_is_set_upright_although_its_brain_fits(extract) -> None:
    """What fits may still hold some neck: the better of both is kept."""
    network = Network(pitched(30), lambda tilt: tilt < 5)
    network.find_pose = lambda image, mask: (
        network.pose,
        deepbet.SURE + Network.find_pose(network, image, mask)[1],
    )
    assert dice(extract(network), posed("brain", network.pose) > 0.5) > 0.95
    assert network.asked == 2


def test_an_upright_head_is_extracted_once_and_as_it_lies(extract) -> None:
    network = Network(pitched(10), lambda tilt: True)
    np.testing.assert_array_equal(extract(network), posed("brain", network.pose) > 0.5)
    assert network.asked == 1


def test_where_the_second_try_finds_nothing_the_first_is_kept(extract) -> None:
    network = Network(pitched(30), lambda tilt: True)
    first = network.predict

    def only_once(image: nib.Nifti1Image) -> np.ndarray:
        if network.asked:
            raise DataError("finds no brain")
        return first(image)

    network.predict = only_once
    np.testing.assert_array_equal(extract(network), posed("brain", network.pose) > 0.5)


@pytest.mark.parametrize("best", [1, 3])
def test_of_several_poor_fits_the_best_is_kept(extract, best: int) -> None:
    """Whenever it was found: here at the first or at the third of the pitches tried."""
    network = Network(pitched(0), lambda tilt: network.asked == best)
    fits = network.find_pose
    network.find_pose = lambda image, mask: (network.pose, fits(image, mask)[1] - 0.03)
    assert dice(extract(network), posed("brain", network.pose) > 0.5) > 0.95
    assert network.asked >= len(deepbet.PITCHES_DEG)


def test_where_no_pitch_shows_a_brain_the_first_reason_is_told(extract) -> None:
    network = Network(pitched(0), lambda tilt: True)

    def never(image: nib.Nifti1Image) -> np.ndarray:
        network.asked += 1
        raise DataError(f"no brain, time {network.asked}")

    network.predict = never
    with pytest.raises(DataError, match="no brain, time 1"):
        extract(network)
    assert network.asked == len(deepbet.PITCHES_DEG)


@pytest.mark.parametrize("degrees", [55.0, -55.0])
def test_a_pitched_brain_is_found(degrees: float) -> None:
    """Its pose, from which it is registered to MNI."""
    wanted = pitched(degrees)
    image = engine.to_ants(posed("t1", wanted), AFFINE)
    found, score = brain.find_pose(image)
    turn = Rotation.from_matrix(wanted[:3, :3].T @ found[:3, :3]).magnitude()
    assert np.rad2deg(turn) < 10 and score >= deepbet.SURE
