"""The checks of the images that a method makes: of which sizes, people, MRI and tracers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from relad.conformance.candidate import (
    GRID,
    ODD_GRID,
    ODD_WIDE_GRID,
    WIDE_GRID,
    Candidate,
    Failure,
    NoImage,
    Skip,
)
from relad.conformance.cohort import PET, UNSEEN
from relad.conformance.errors import attempt
from relad.conformance.watching import undisturbed
from relad.data.batch import Condition
from relad.data.scaling import KINDS
from relad.study.sampling import SAMPLERS, Sampling


def images(of: Candidate) -> None:
    """Images have the shape of PET, are finite in the brain, and carry no gradient, by any sampler.

    synthesize returns y of relad.data.scaling as one tensor (b, 1, x, y, z) in floating point,
    under torch.no_grad(). What lies outside the brain is not used.
    """
    for scaling, training in of.each():
        given = training.test().condition
        for sampler in SAMPLERS:
            where = f"{scaling}, {sampler}"
            try:
                image = training.images(given, sampling=Sampling(sampler, 2))
            except NoImage as found:
                raise Failure(f"{where}: synthesize returns a {found.returned}") from None
            if not image.is_floating_point():
                raise Failure(f"{where}: {image.dtype} is no floating point")
            if image.requires_grad:
                raise Failure(f"{where}: the image carries a gradient")
            require_image(image, given, where)


def require_image(image: Tensor, given: Condition, where: str) -> None:
    if image.shape != given.mask.shape:
        raise Failure(f"{where}: shape {tuple(image.shape)} for {tuple(given.mask.shape)}")
    if not torch.isfinite(image[given.mask]).all():
        raise Failure(f"{where}: not finite in the brain")


def require_finite(losses: Mapping[str, Tensor], where: str) -> None:
    for name, value in losses.items():
        if not torch.isfinite(value):
            raise Failure(f"{where}: loss {name!r} is {float(value)}")


def odd_sizes(of: Candidate) -> None:
    """Volumes may have any number of voxels along each axis.

    A study chooses its grid. Networks with strides pad their input to a multiple of these and crop
    their output, as relad.methods.networks.blocks.padded does.
    """
    training = of.trained(KINDS[0])
    for grid in (ODD_GRID, GRID) if of.grid() == GRID else (ODD_WIDE_GRID, WIDE_GRID):
        trainer = of.trainer(KINDS[0], grid=grid)
        where = " x ".join(map(str, grid))
        with attempt(where), undisturbed():
            trainer.step()
            given = trainer.loader.load(0).condition
            image = training.images(given, trainer.method)
        require_image(image, given, where)


def one_volume(of: Candidate) -> None:
    """A batch may hold a single volume.

    training.batch_size may be 1, and an epoch's last batch may be shorter than the others. No
    squeeze() may take away the axis of the batch, and no statistic may need two samples.
    """
    training = of.trained(KINDS[0])
    method, one = training.twin(), training.batch(slice(1))
    with attempt("one volume"):
        losses, image = training.update(method, one), training.images(one.condition, method)
    require_finite(losses, "one volume")
    require_image(image, one.condition, "one volume")


def one_mri(of: Candidate) -> None:
    """A single MRI may be all that a method is given.

    The entry's inputs may name T1w or FLAIR alone. Build networks for as many channels as inputs
    says, and take none of batch.mri by a number that is written into the code.
    """
    given_mri = of.settings.methods[of.name].inputs
    if len(given_mri) == 1:
        raise Skip("its entry gives it one")
    for scaling, training in of.each():
        where = f"{scaling}: {given_mri[0]} alone"
        with attempt(where), undisturbed():
            trainer = of.trainer(scaling, inputs=given_mri[:1])
            trainer.step()
            given = trainer.loader.load(0).condition
            image = training.images(given, trainer.method)
        require_image(image, given, where)


def one_tracer(of: Candidate) -> None:
    """A study may have a single tracer.

    Build networks for as many tracers as tracers says, which may be 1: a contrast of tracers, or an
    embedding of all but one, then has no entry, and a standard deviation over tracers no value.
    """
    name = next(iter(PET))
    for scaling, training in of.each():
        where = f"{scaling}: one tracer"
        with attempt(where), undisturbed():
            trainer = of.trainer(scaling, tracers=(name,))
            losses = trainer.step()
            given = trainer.loader.load(0).condition
            image = training.images(given, trainer.method)
        require_finite(losses, where)
        require_image(image, given, where)


def new_tracer(of: Candidate) -> None:
    """A tracer of the study that no training PET was of makes no image fail.

    Folds may leave a rare tracer without training PET. Its images mean nothing and are not used,
    but those of the same batch are: the method must go on and give finite values, so nothing may be
    divided by a tracer's count of zero.
    """
    for scaling, training in of.each():
        given = training.test().condition
        mixed = replace(given, tracer=torch.tensor([int(given.tracer[0]), UNSEEN]))
        with attempt(scaling):
            image = training.images(mixed)
        require_image(image, mixed, scaling)
