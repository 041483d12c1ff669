"""What the uptake of a brain follows from, whoever's brain it is: a phantom's or a person's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from relad.cohort.phantom import anatomy as person
from relad.cohort.phantom import template as head
from relad.imaging import atlas


@dataclass(frozen=True)
class Brain:
    """Tissue and regions of a brain on a grid; n is the number of its voxels.

    Attributes
    ----------
    inside, affine
        (x, y, z) boolean brain and the (4, 4) map from its voxels to mm.
    tissue
        (3, n) shares of grey, healthy white and lesion; what is left of 1 is CSF.
    perfused
        (2, n) shares of grey and white as blood flow sees them.
    grey_share, white_share
        (regions, n) smooth membership in :data:`relad.cohort.phantom.template.GREY_REGIONS` and
        ``WHITE_REGIONS``.
    right
        (n,) -1 in the left hemisphere, 1 in the right, smooth across the midline.
    atrophy
        (n,) loss of cortex, about 0 (young) to 1.
    lesion
        (x, y, z) share of each voxel that is lesion, whatever its tissue.
    reference
        Mask (x, y, z) of a key of :data:`relad.imaging.atlas.REFERENCE_REGIONS`.
    """

    inside: np.ndarray
    affine: np.ndarray
    tissue: np.ndarray
    perfused: np.ndarray
    grey_share: np.ndarray
    white_share: np.ndarray
    right: np.ndarray
    atrophy: np.ndarray
    lesion: np.ndarray
    reference: Callable[[str], np.ndarray]

    def volume(self, values: np.ndarray) -> np.ndarray:
        """Values (n,) of the brain as an image (x, y, z), 0 around it."""
        out = np.zeros(self.inside.shape, np.float32)
        out[self.inside] = values
        return out


def of_template(anatomy: person.Anatomy) -> Brain:
    """Brain of a phantom, on the SUVR grid in MNI space."""
    base = head.template()
    atrophy = anatomy.atrophy[base.inside]
    tissue = person.tissue(base.tissue_2mm, atrophy, anatomy.lesion[base.inside])
    return Brain(
        inside=base.inside,
        affine=head.SUVR_AFFINE,
        tissue=np.stack(tissue),
        perfused=base.tissue_2mm[:2],
        grey_share=base.grey_share,
        white_share=base.white_share,
        right=base.right,
        atrophy=atrophy,
        lesion=anatomy.lesion,
        reference=_reference,
    )


_REFERENCES: dict[str, np.ndarray] = {}


def _reference(region: str) -> np.ndarray:
    if region not in _REFERENCES:
        _REFERENCES[region] = atlas.region_mask(region, head.SUVR_SHAPE, head.SUVR_AFFINE)
    return _REFERENCES[region]
