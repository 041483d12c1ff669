"""What the quality page flips between of one person, gathered while images are made."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.affines import apply_affine

from relad.imaging import atlas
from relad.imaging.resample import limit_resolution, sample
from relad.qc.flicker import PIXEL_MM, Flicker, Pair
from relad.registration.transforms import MniToT1w


class Views:
    """Views of one person in the space of the T1w.

    Attributes
    ----------
    points
        (n, 3) in mm of the T1w, at which its images are shown.
    """

    def __init__(self, to_t1w: MniToT1w):
        self._to_t1w, self._flicker = to_t1w, Flicker()
        self.points = to_t1w(self._flicker.points, deform=False)

    def write(self, folder: Path, subject: str, title: str) -> None:
        """See :meth:`relad.qc.flicker.Flicker.write`."""
        self._flicker.write(folder, subject, title)

    def add_t1w(self, t1w: nib.Nifti1Image, brain: nib.Nifti1Image) -> None:
        """The T1w and the template to which it was registered; goes before all others."""
        show = self._flicker
        mni = atlas.mni("brain"), atlas.mni("t1")
        template, t1 = (sample(np.asarray(m.dataobj), m.affine, show.points) for m in mni)
        show.outline("brain", sample(np.asarray(brain.dataobj), brain.affine, self.points) > 0.5)
        show.outline("template", template > 0.5)
        show.view("T1w", _at(t1w, self.points))
        show.view("template", t1)
        show.pairs.append(Pair("T1w / template, affine", "T1w", "template", "template"))
        if self._to_t1w.warp is not None:
            show.view("T1w by SyN", _at(t1w, self._to_t1w(show.points)), like="T1w")
            show.pairs.append(Pair("T1w / template, SyN", "T1w by SyN", "template", "template"))

    def add_flair(self, flair: nib.Nifti1Image, matrix: np.ndarray) -> None:
        """The FLAIR; ``matrix`` (4, 4) maps points of the T1w to it."""
        there = apply_affine(matrix, self.points)
        self.add_pair("FLAIR", _at(flair, there), _at(flair, self.points))

    def add_pair(self, name: str, after: np.ndarray, before: np.ndarray) -> None:
        """An image (n,) as registered, and as its header and that of the T1w place it."""
        show = self._flicker
        show.view(name, after)
        show.view(f"{name} as headers place it", before, like=name)
        show.pairs.append(Pair(f"{name} / T1w", name, "T1w"))
        show.pairs.append(Pair(f"{name} before / after", f"{name} as headers place it", name))

    def add_motion(self, name: str, other: np.ndarray, *, corrected: bool) -> None:
        """The PET (n,) whose frames were averaged the other way."""
        word = "without" if corrected else "with"
        view = self._flicker.view(f"{name} {word} motion correction", other, like=name)
        first, second = (view, name) if corrected else (name, view)
        self._flicker.pairs.append(Pair(f"{name} motion", first, second))


def _at(image: nib.Nifti1Image, points: np.ndarray) -> np.ndarray:
    """Values (n,) of an image at points (n, 3) of its own space, without aliasing."""
    smooth = limit_resolution(np.asarray(image.dataobj), image.affine, PIXEL_MM)
    return sample(smooth, image.affine, points)
