"""Who is positive, told from synthetic PET: people's scores and cuts, and how well they tell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from relad.errors import ReladError
from relad.results import mri_only
from relad.results.discrimination import (
    auc,
    auc_interval,
    paired_auc_p,
    share_interval,
    smallest_p,
    youden_cut,
)
from relad.results.intervals import ends, with_ends
from relad.results.regional import ONE_EACH, alike, positive, regional_values
from relad.results.statistics import holm
from relad.results.study import Study
from relad.study.catalogue import Result
from relad.study.settings import Positivity

#: What stands in the column of methods beside those of the study.
REAL, MRI_ONLY = "real-pet", "mri-only"

_RATES = ("sensitivity", "specificity")
#: What follows a rate's name where the cut is the score's own.
_OWN = "_trained"
#: What rests on a cut that was chosen on the training cohort.
CHOSEN = (f"cut{_OWN}", *(f"{rate}{_OWN}" for rate in _RATES))
#: P value of an AUC that is that of :data:`MRI_ONLY`.
P_MRI_ONLY = "p_mri_only"
#: Numbers of a score, in the order in which tables have them.
NUMBERS = ("auc", *_RATES, *CHOSEN[1:])
COLUMNS = (
    *("cohort", "tracer", "region", "cut_suvr", "method", "n_positive", "n_negative"),
    *(*with_ends(NUMBERS[0]), P_MRI_ONLY, *with_ends(*NUMBERS[1:3])),
    *(CHOSEN[0], *with_ends(*CHOSEN[1:]), "note", "data"),
)
#: Why a method has no cut of its own.
NO_METRICS = "no own cut: no metrics of the training cohort given"
NO_CUT = "no own cut: no people of both classes, told apart, in {}"


@dataclass(frozen=True)
class Scored:
    """Scores of the people of a cohort: of a method, of real PET, or of MRI alone.

    Attributes
    ----------
    positive
        (n,) whether each is positive.
    scores
        (n,) a score of each; None where there is none.
    above
        (n,) whether the score is at the tracer's cut or above; None of a score that is no SUVR.
    cuts
        (n,) cut for each, chosen on other people; None where there were none.
    note
        What must be said of it.
    constructed
        Whether its numbers follow, or may follow, from what it is: none is estimated, so none has
        an interval.
    """

    positive: np.ndarray
    scores: np.ndarray | None = None
    above: np.ndarray | None = None
    cuts: np.ndarray | None = None
    note: str = ""
    constructed: bool = False


def downstream_rows(study: Study, result: Result) -> pd.DataFrame:
    """One row per cohort, tracer with a cut, and score, with the columns :data:`COLUMNS`.

    Raises
    ------
    ReladError
        As :func:`relad.results.regional.regional_values`; where metrics and packed data have other
        folds or people; where a cut's region is not known.
    """
    level, same = study.settings.evaluation.interval, alike(study)
    training = next((d for d in study.packed.values() if d.role == "train"), None)
    fitted = None if training is None else mri_only.OfFolds(training)
    rows = []
    for methods in study.comparisons(result):
        found = regional_values(study, result, methods)
        for tracer in study.settings.tracers:
            chosen = positive(study, found, tracer)
            if chosen is None:
                continue
            values, entry = chosen
            folds = _folds(study, values)
            for cohort in study.cohorts(result):
                of = values[values["cohort"] == cohort]
                if of.empty:
                    continue
                cut = entry.positivity
                every = list(_scored(study, values, of, folds, same, cut, fitted))
                against = _against_mri(dict(every))
                for method, scored in every:
                    rows.append(
                        {
                            "cohort": cohort,
                            "tracer": tracer,
                            "region": cut.region,
                            "cut_suvr": cut.suvr,
                            "method": method,
                            **_judged(scored, level),
                            P_MRI_ONLY: against.get(method),
                            "data": of["data"].iloc[0],
                        }
                    )
    return pd.DataFrame(rows, columns=COLUMNS)


def _against_mri(every: dict[str, Scored]) -> dict[str, float]:
    """P value of every method's AUC against that from MRI alone, with Holm's correction.

    None of what is so by construction, and where a class is empty or MRI alone has no scores.
    """
    mri = every[MRI_ONLY]
    if mri.scores is None or not 0 < mri.positive.sum() < len(mri.positive):
        return {}
    judged = [
        method
        for method, of in every.items()
        if method != MRI_ONLY and of.scores is not None and not of.constructed
    ]
    p = [paired_auc_p(every[m].scores, mri.scores, mri.positive) for m in judged]
    return dict(zip(judged, map(float, holm(p)), strict=True))


def _folds(study: Study, values: pd.DataFrame) -> dict[tuple[str, str], str]:
    """(cohort, subject) -> fold whose models were tested on them, in the training cohort.

    Told by the rows, and held to the packed cohort where that is given.

    Raises
    ------
    ReladError
        Where the packed cohort has the subject in another fold: the classifier from MRI would be
        fitted on people it is tested on.
    """
    folds = {}
    for cohort, entry in study.settings.cohorts.items():
        if entry.role != "train":
            continue
        scores = study.scores[study.scores["cohort"] == cohort]
        dataset = study.packed.get(cohort)
        packed = {row["subject"]: str(row["fold"]) for row in dataset.subjects} if dataset else None
        for subject, fold in scores[["subject", "fold"]].drop_duplicates().to_numpy():
            if packed is not None and packed.get(subject) != fold:
                raise ReladError(
                    f"subject {subject} was tested in fold {fold}, but is packed in "
                    f"{packed.get(subject, 'none')}",
                    file=dataset.path / "subjects.tsv",
                    hint="give the packed cohort that the models were trained on",
                )
            folds[cohort, subject] = fold
    return folds


def _scored(
    study: Study,
    values: pd.DataFrame,
    of: pd.DataFrame,
    folds: dict[tuple[str, str], str],
    same: dict[tuple[str, str, str], bool | None],
    cut: Positivity,
    fitted: mri_only.OfFolds | None,
) -> Iterator[tuple[str, Scored]]:
    """Yield what is compared in a cohort: real PET, every method, and MRI alone."""
    cohort, tracer = of["cohort"].iloc[0], of["tracer"].iloc[0]
    people = of.drop_duplicates("subject")
    label = people["positive"].to_numpy()
    yield (
        REAL,
        Scored(
            label,
            people["suvr_true"].to_numpy(),
            label,
            note="the truth itself: 1 by construction",
            constructed=True,
        ),
    )
    for method, mine in of.groupby("method", observed=True, sort=False):
        scores, label = mine["suvr"].to_numpy(), mine["positive"].to_numpy()
        above = scores >= cut.suvr
        alike_for_all = same[cohort, tracer, method]
        if alike_for_all:
            note = "one image for everybody: 0.5 by construction"
            constant = np.zeros(len(scores))  # the brain masks' edges alone give it some spread
            yield method, Scored(label, constant, above, note=note, constructed=True)
            continue
        cuts = _own_cuts(values[values["method"] == method], mine, folds, cut.suvr)
        notes = [f"no interval: {ONE_EACH}"] if alike_for_all is None else []
        if isinstance(cuts, str):
            notes, cuts = [*notes, cuts], None
        yield method, Scored(label, scores, above, cuts, "; ".join(notes), alike_for_all is None)
    yield MRI_ONLY, _from_mri(study, people, folds, cut, fitted)


def _own_cuts(
    everywhere: pd.DataFrame, mine: pd.DataFrame, folds: dict[tuple[str, str], str], near: float
) -> np.ndarray | str:
    """Youden's cut for each subject, of held-out scores of the training cohort's other people.

    For a subject of the training cohort, of those in the other folds; for one of another cohort,
    of all. In words why there is none, where that is so for somebody.
    """
    keys = list(zip(everywhere["cohort"], everywhere["subject"], strict=True))
    at_home = np.array([key in folds for key in keys])
    if not at_home.any():
        return NO_METRICS
    fold_of = np.array([folds.get(key, "") for key in keys])
    scores, label = everywhere["suvr"].to_numpy(), everywhere["positive"].to_numpy()
    cuts = []
    for key in zip(mine["cohort"], mine["subject"], strict=True):
        others = at_home & (fold_of != folds.get(key))
        cuts.append(youden_cut(scores[others], label[others], near))
        if cuts[-1] is None:
            return NO_CUT.format("other folds" if key in folds else "the training cohort")
    return np.array(cuts)


def _from_mri(
    study: Study,
    people: pd.DataFrame,
    folds: dict[tuple[str, str], str],
    cut: Positivity,
    fitted: mri_only.OfFolds | None,
) -> Scored:
    """MRI and age alone, fitted on each training fold; elsewhere the mean over these models."""
    cohort, tracer = people["cohort"].iloc[0], people["tracer"].iloc[0]
    label = people["positive"].to_numpy()
    if fitted is None or cohort not in study.packed:
        missing = "the training cohort" if fitted is None else f"cohort {cohort}"
        return Scored(label, note=f"not fitted: give --packed of {missing}")
    here = study.packed[cohort]
    index = {row["subject"]: row["index"] for row in here.subjects}
    for subject in people["subject"]:
        if subject not in index:
            raise ReladError(
                f"subject {subject} was tested in cohort {cohort}, but is not packed in it",
                file=here.path / "subjects.tsv",
                hint="give the packed cohort that the models were tested on",
            )
    tested = fitted.features(here)[[index[subject] for subject in people["subject"]]]
    mine = np.array([folds.get((cohort, subject), "") for subject in people["subject"]])
    # The folds whose models were tested here, which a cohort elsewhere has without those at home.
    models = sorted(study.scores.loc[study.scores["cohort"] == cohort, "fold"].unique())
    scores, cuts = np.zeros(len(label)), np.zeros(len(label))
    for fold in models:
        of = fitted.of_fold(tracer, cut, fold)
        if of.model is None:
            told = f"fold {fold} trains on n+ = {of.n_positive}, n- = {of.n_negative}"
            return Scored(label, note=f"not fitted: {told}")
        at_home = here is fitted.training
        share = (mine == fold) if at_home else np.full(len(label), 1 / len(models))
        scores += share * of.model.probability(tested)
        cuts += share * of.model.cut
    return Scored(label, scores, cuts=cuts)


def _judged(scored: Scored, level: float) -> dict[str, Any]:
    """Numbers of a score, and what must be said where there are none."""
    label = scored.positive
    n, of = int(label.sum()), int((~label).sum())
    row: dict[str, Any] = {"n_positive": n, "n_negative": of}
    notes = [scored.note] if scored.note else []
    if not n or not of:
        notes.append("one class only: nothing to tell apart")
    elif not scored.constructed and smallest_p(n, of) > 1 - level:
        notes.append(f"too few of a class to decide: no p below {smallest_p(n, of):.2g}")
    if scored.scores is not None and n and of:
        row["auc"] = auc(scored.scores, label)
        if not scored.constructed:
            row |= ends("auc", auc_interval(row["auc"], n, of, level=level))
    called = {"": scored.above}
    if scored.cuts is not None:
        row[f"cut{_OWN}"] = float(scored.cuts.mean())
        called[_OWN] = scored.scores >= scored.cuts
    for name, above in called.items():
        if above is None:
            continue
        counted = ((above[label], n), (~above[~label], of))
        for rate, (hits, among) in zip(_RATES, counted, strict=True):
            if among:
                row[f"{rate}{name}"] = float(hits.mean())
            if among and not scored.constructed:
                interval = share_interval(int(hits.sum()), among, level=level)
                row |= ends(f"{rate}{name}", interval)
    return {**row, "note": "; ".join(notes)}
