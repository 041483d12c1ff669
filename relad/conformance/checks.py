"""The checks, in the order in which they are made; see :mod:`relad.conformance`.

A docstring's first line is what holds. What follows is printed where it does not: what would be
wrong, and what to do. A new check is a function in one of these modules, and an entry here.
"""

from __future__ import annotations

from relad.conformance.dependence import evaluations, mri, names, noise, time, tracer
from relad.conformance.images import images, new_tracer, odd_sizes, one_mri, one_tracer, one_volume
from relad.conformance.independence import cuda, global_random, history, neighbours, outline, target
from relad.conformance.learning import fits, in_place, learns, optimizers
from relad.conformance.processes import shares
from relad.conformance.updates import (
    builds,
    descends,
    field_of_view,
    leaves,
    reloads,
    repeats,
    resumes,
    trains,
)

CHECKS = (
    builds,
    trains,
    repeats,
    resumes,
    leaves,
    learns,
    optimizers,
    descends,
    field_of_view,
    shares,
    reloads,
    images,
    odd_sizes,
    one_volume,
    one_mri,
    one_tracer,
    fits,
    in_place,
    new_tracer,
    tracer,
    mri,
    noise,
    time,
    evaluations,
    names,
    target,
    outline,
    neighbours,
    history,
    global_random,
    cuda,
)
