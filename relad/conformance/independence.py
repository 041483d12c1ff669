"""The checks of what an image may not depend on: its truth, others, and anything global."""

from __future__ import annotations

from dataclasses import fields, replace

import torch
import torch.nn.functional as F

from relad.conformance.candidate import ROUNDING, Candidate, Failure, Skip
from relad.conformance.images import require_image
from relad.conformance.watching import (
    change,
    copied,
    global_seed,
    global_states,
    same,
    without_mixing,
)
from relad.data.batch import Batch
from relad.data.scaling import KINDS

#: Largest change inside the brain where its outline loses a voxel, a third of so small a brain.
#: Local averages over the brain change by 0.13, diffusion, which sets the outside, by 0.01, one
#: whose filters reach across the brain by 0.41; division by the brain's volume makes 1.
OUTLINE = 0.6


def target(of: Candidate) -> None:
    """Images do not depend on the true PET.

    synthesize is given a Condition, which has no PET, and must not look for one: where a batch with
    its PET is passed, the image must be that of its condition alone.
    """
    for scaling, training in of.each():
        batch = training.test()
        for pet in (batch.pet, batch.pet.flip(0)):
            if not same(training.images(batch.condition), training.images(replace(batch, pet=pet))):
                raise Failure(f"{scaling}: the image changes where the true PET is passed along")


def outline(of: Candidate) -> None:
    """The outline of the brain tells where the image ends, and little else.

    Tools of brain extraction draw it differently by a voxel. Inside, an image may not hang on the
    number or the place of the mask's voxels: use the mask to leave out the background, not as an
    input.
    """
    for scaling, training in of.each():
        given = training.test().condition
        smaller = F.avg_pool3d(given.mask.float(), 3, 1, 1) > 1 - 1e-3
        a, b = training.images(given), training.images(replace(given, mask=smaller))
        if not (off := change(a, b, smaller)) < OUTLINE:
            raise Failure(
                f"{scaling}: with a mask one voxel narrower the image inside changes by {off:.2g} "
                f"of its sd (at most {OUTLINE:g})"
            )


def neighbours(of: Candidate) -> None:
    """An image is the same alone and beside others.

    Nothing may be computed over the batch in synthesis: normalisations over it run on their stored
    statistics (eval mode, which is set before synthesize), and every volume draws from its own
    generator of the sequence random.
    """
    for scaling, training in of.each():
        given = training.test().condition
        with training.in_float32():
            together = training.images(given)
            apart = [
                training.images(given.sample(i), samples=range(i, i + 1))
                for i in range(len(together))
            ]
        for i, alone in enumerate(apart):
            off = change(together[i : i + 1], alone, given.mask[i : i + 1])
            if not off < ROUNDING:
                raise Failure(f"{scaling}: alone an image differs by {off:.2g} of its sd")


def history(of: Candidate) -> None:
    """Synthesis changes nothing: neither the method nor what it is given, and nor does an update.

    An image must not depend on which were made before it, and others use the tensors of a batch
    too. Copy before an operation in place; keep nothing of a batch on self, and return a new
    tensor for every image.
    """
    for scaling, training in of.each():
        batch = training.test()
        given, method = batch.condition, training.twin()
        state, kept = copied(method.state_dict()), _copy(batch)
        for i in range(len(given.tracer)):
            method, one = training.twin(), given.sample(i)
            returned = training.returned(one, method)
            first = returned.clone()
            # Other people, and one with brighter scans: running ranges and means would show.
            for others in (given.sample(1 - i), given, replace(given, mri=2 * given.mri)):
                training.images(others, method)
            if not same(first, returned):
                raise Failure(f"{scaling}: an image that was returned changes with the next")
            if not same(first, training.images(one, method)):
                raise Failure(f"{scaling}: an image differs after others were made")
        if not same(state, method.state_dict()):
            raise Failure(f"{scaling}: synthesis changes the state of the method")
        training.update(method, batch)
        if not same(vars(kept), vars(batch)):
            changed = [
                f.name
                for f in fields(batch)
                if not same(*(getattr(b, f.name) for b in (kept, batch)))
            ]
            raise Failure(f"{scaling}: {', '.join(changed)} of the batch is changed in place")


def _copy(batch: Batch) -> Batch:
    return replace(batch, **{name: value.clone() for name, value in vars(batch).items()})


def global_random(of: Candidate) -> None:
    """Nothing is drawn from the global random state.

    It is not the same in a training that is resumed, in another order of images, or in several
    processes; and who seeds it sets it for all. Draw with relad.compute.randomness (rand, randn)
    from the argument random. Dropout may stay, as a module: the training loop seeds it.
    """
    training = of.trained(KINDS[0])
    states, made = [], []
    for seed in (1, 2):
        method = training.twin()
        without_mixing(method)
        batch = training.batch()
        with global_seed(seed):
            before = global_states()
            made.append(training.images(batch.condition, method))
            training.update(method, batch)
            after = global_states()
        states.append(method.state_dict())
    if not same(*made):
        raise Failure("images change with the global seed")
    if not same(*states):
        raise Failure("updates change with the global seed")
    if changed := [kind for kind in before if not same(before[kind], after[kind])]:
        raise Failure(f"the global random state of {' and '.join(changed)} is another afterwards")


def cuda(of: Candidate) -> None:
    """The method trains and synthesises on a GPU.

    Create tensors on the device of what they meet (device=batch.pet.device) and register constants
    as buffers, so that they move with the method.
    """
    training = of.trained(KINDS[0])
    if not torch.cuda.is_available():
        raise Skip("no CUDA device here")
    batch = training.batch()
    batch = replace(batch, **{name: value.cuda() for name, value in vars(batch).items()})
    method = training.twin("cuda")
    for name, value in training.update(method, batch).items():
        if not torch.isfinite(value):
            raise Failure(f"loss {name!r} is {float(value)}")
    image = training.images(batch.condition, method)
    if image.device != batch.pet.device:
        raise Failure(f"images lie on {image.device}")
    require_image(image, batch.condition, "cuda")
