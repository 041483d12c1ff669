"""SUVR of regions from metric rows: values per subject, who lacks a region, who is positive."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from relad.errors import ReladError
from relad.results.agreement import ROUNDING
from relad.results.metrics import regions
from relad.results.scores import file_of
from relad.results.study import Study
from relad.study.catalogue import BRAIN, Result
from relad.study.regions import REGIONS
from relad.study.settings import ComparedTracer, Positivity

#: The two values of a region: of the synthetic image and of the real one.
PAIR = ("suvr", "suvr_true")
#: Groups of people by their real PET, and whether it is positive.
GROUPS = {"positive": True, "negative": False}
#: Why a method's agreement over people has no interval, see :func:`alike`.
ONE_EACH = "each model tested one person, so that it may be one image for everybody"
#: What is said of those whom :func:`left_out` names.
LEFT_OUT = "Left out, since their brain mask holds too little of the region"
#: Regions with one SUVR in everybody from which an image is one for everybody, see :func:`alike`.
_TELLING = 2
#: Region shown of a ligand that has none of its own in the configuration.
_SHOWN = ("cortex",)


def known_regions(study: Study) -> list[str]:
    """All regions, the brain first, then those of the atlas, then people's own."""
    return list(regions(study.settings.segmentation.regions))


def shown_regions(study: Study, tracer: str) -> tuple[str, ...]:
    """Regions of a tracer that tables for reading show: its own and those of people's labels.

    Raises
    ------
    ReladError
        Where the configuration names one that there is not.
    """
    entry = study.settings.tracers[tracer]
    chosen = (*(entry.regions or _SHOWN), *study.settings.segmentation.regions)
    for region in chosen:
        require_region(study, region, f"tracers.{tracer}.regions")
    return tuple(dict.fromkeys(chosen))


def require_region(study: Study, region: str, key: str) -> None:
    """Refuse a region of the configuration that nothing is measured in."""
    if region not in (known := known_regions(study)):
        raise ReladError(
            f"{key} names {region!r}, which is no region",
            hint=f"known: {', '.join(known)}; a further one: segmentation.regions",
        )


def regional_values(study: Study, result: Result, methods: Sequence[str]) -> pd.DataFrame:
    """Synthetic and real SUVR of every subject and region, for methods that are compared.

    Returns
    -------
    One row per cohort, tracer, method, region and subject, with the columns of
    :func:`relad.results.scores.subject_values`, ``region``, ``suvr`` and ``suvr_true``; regions in
    the order of :func:`known_regions`. Empty where nobody has any.

    Raises
    ------
    ReladError
        Where one method lacks rows that another has, or methods were held against different PET.
    """
    scores = study.scores[study.scores["metric"].isin(PAIR)]
    parts = []
    for region in known_regions(study):
        of = scores[scores["region"] == region]
        if of.empty:
            continue
        values = study.values(replace(result, metrics=PAIR, region=region), methods, of)
        parts.append(values.assign(region=region))
    parts = [part for part in parts if not part.empty]
    if not parts:
        return pd.DataFrame(columns=["cohort", "tracer", "method", "subject", "region", *PAIR])
    found = pd.concat(parts, ignore_index=True)
    _require_all_methods(study, result, methods, found)
    _require_one_truth(study, found)
    return found


def _require_all_methods(
    study: Study, result: Result, methods: Sequence[str], found: pd.DataFrame
) -> None:
    """Refuse methods that have other metrics, but no SUVR in a region where another has it."""
    scores = study.scores
    keys = ["cohort", "tracer", "method"]
    given = scores[scores["cohort"].isin(study.cohorts(result)) & scores["method"].isin(methods)]
    given = given[keys].drop_duplicates()
    places = found[["cohort", "tracer", "region"]].drop_duplicates()
    there = set(found[[*keys, "region"]].itertuples(index=False, name=None))
    needed = given.merge(places, on=["cohort", "tracer"])[[*keys, "region"]]
    for cohort, tracer, method, region in needed.itertuples(index=False, name=None):
        if (cohort, tracer, method, region) not in there:
            raise ReladError(
                f"no SUVR of {method} in cohort {cohort} ({tracer}, {region}), though of other "
                "methods",
                file=file_of(scores[(scores["method"] == method) & (scores["cohort"] == cohort)]),
                hint="run `relad evaluate` of this version again for it",
            )


def _require_one_truth(study: Study, found: pd.DataFrame) -> None:
    """Refuse methods that were held against different real PET of one subject."""
    keys = ["cohort", "tracer", "region", "subject"]
    of = found.groupby(keys, observed=True)["suvr_true"]
    apart = of.max() - of.min() > ROUNDING * of.max().abs()
    for cohort, tracer, region, subject in apart.index[apart][:1]:
        methods = found[
            (found["cohort"] == cohort)
            & (found["tracer"] == tracer)
            & (found["region"] == region)
            & (found["subject"] == subject)
        ]
        told = ", ".join(f"{m} {v:.4f}" for m, v in methods[["method", "suvr_true"]].to_numpy())
        last = study.scores["method"] == methods["method"].iloc[-1]
        raise ReladError(
            f"the real {tracer} SUVR of subject {subject} ({cohort}, {region}) differs between "
            f"methods: {told}",
            file=file_of(study.scores[last & (study.scores["cohort"] == cohort)]),
            hint="evaluate all of them on one packed cohort",
        )


def lacking(found: pd.DataFrame) -> dict[tuple[str, str, str], list[str]]:
    """(cohort, tracer, region) -> compared subjects who do not have the region."""
    subjects = found.groupby(["cohort", "tracer", "region"], observed=True)["subject"].agg(set)
    absent = {}
    for (cohort, tracer, region), have in subjects.items():
        if lack := sorted(subjects.get((cohort, tracer, BRAIN), have) - have):
            absent[cohort, tracer, region] = lack
    return absent


def left_out(study: Study, result: Result, wanted: Mapping[str, Iterable[str]]) -> list[str]:
    """In words, by cohort, how many have no SUVR of regions; :func:`lacking` names them.

    Parameters
    ----------
    wanted
        Tracer -> regions that are asked for.
    """
    scores = study.scores
    scores = scores[scores["cohort"].isin(study.cohorts(result)) & (scores["metric"] == "suvr")]
    told = []
    for (cohort, tracer), of in scores.groupby(["cohort", "tracer"], observed=True):
        people = of["subject"].nunique()
        for region in wanted.get(tracer, ()):
            lack = people - of.loc[of["region"] == region, "subject"].nunique()
            if lack:
                who = "all" if lack == people else f"{lack} of"
                told.append(f"{who} {people} of {cohort} ({study.tracer_label(tracer)}, {region})")
    return told


def models_of_one(study: Study, cohort: str) -> int:
    """The most models of a method, of several seeds or elsewhere folds, that tested one person."""
    scores = study.scores[(study.scores["cohort"] == cohort) & (study.scores["metric"] == "suvr")]
    models = scores[["method", "subject", "fold", "seed"]].drop_duplicates()
    return int(models.groupby(["method", "subject"], observed=True).size().max())


def averaged(study: Study, cohorts: Iterable[str]) -> str:
    """What a caption says of a person's SUVR where several models of a method synthesised it."""
    models = {cohort: models_of_one(study, cohort) for cohort in cohorts}
    told = [f"{n} in {cohort}" for cohort, n in models.items() if n > 1]
    if not told:
        return ""
    return (
        f"; the synthetic one is the mean over a method's models ({', '.join(told)}: seeds, and "
        "folds elsewhere), which agrees better than a single model's"
    )


def alike(study: Study) -> dict[tuple[str, str, str], bool | None]:
    """Whether a method's image is the same for everybody, such as the mean template's.

    Told by the rows themselves: by the models (fold and seed) that were tested on at least two
    people, all of whom then have one and the same SUVR, to the last digit, in two regions of the
    atlas or more (or in the only one that was measured). Such regions lie wholly in everybody's
    brain mask; elsewhere the masks alone give a template some spread. A single region may be
    constant for another reason, and so may any at 1 or 0: where images are divided by their own
    reference region, or cut off. Where each model was tested on one person, those of the method's
    other tracers and cohorts tell.

    Returns
    -------
    (cohort, tracer, method) of every row; None where no model of the method was tested on two.
    """
    scores = study.scores[study.scores["metric"] == "suvr"]
    keys = ["cohort", "tracer", "method", "fold", "seed", "sampler"]
    parts = scores[scores["region"].isin(REGIONS)]  # none of which is part of another
    of = parts.groupby([*keys, "region"], observed=True)["value"].agg(["count", "min", "max"])
    same = (of["max"] - of["min"]) <= ROUNDING * of["max"].abs()
    same &= ((of["max"] - 1).abs() > ROUNDING) & (of["max"] != 0)
    models = same[of["count"] > 1].groupby(level=keys, observed=True)
    by_model = models.sum() >= models.size().clip(upper=_TELLING)
    here = by_model.groupby(level=keys[:3], observed=True).all().to_dict()
    anywhere = by_model.groupby(level="method", observed=True).all().to_dict()
    rows = scores[keys[:3]].drop_duplicates().itertuples(index=False, name=None)
    return {key: here.get(key, anywhere.get(key[2])) for key in rows}


def is_positive(suvr_true: pd.Series, cut: Positivity) -> pd.Series:
    """Whether people are positive, by the mean SUVR of their real PET in the cut's region."""
    return suvr_true >= cut.suvr


def positive(
    study: Study, found: pd.DataFrame, tracer: str
) -> tuple[pd.DataFrame, ComparedTracer] | None:
    """Values of a tracer in the region of its cut, with a column ``positive`` of the real PET.

    None where the tracer has no cut, or nobody has the region.

    Raises
    ------
    ReladError
        Where the cut's region is none that is measured.
    """
    entry = study.settings.tracers[tracer]
    if entry.positivity is None:
        return None
    require_region(study, entry.positivity.region, f"tracers.{tracer}.positivity.region")
    of = found[(found["tracer"] == tracer) & (found["region"] == entry.positivity.region)]
    if of.empty:
        return None
    return of.assign(positive=np.asarray(is_positive(of["suvr_true"], entry.positivity))), entry
