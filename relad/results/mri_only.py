"""Positivity from MRI and age alone, by a penalised logistic regression: what synthesis must beat.

Features of a person are age, brain volume and the mean T1w and FLAIR intensity of every region of
the atlas inside the brain mask (packed MRI lies on the template by an affine alone, so that atrophy
darkens a region's T1w). A model is fitted on the people of a training fold, its penalty and its cut
chosen inside that fold, and it predicts the people of the held-out fold or of another cohort.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from relad.data.dataset import PackedDataset
from relad.data.window import to_suvr
from relad.imaging import atlas
from relad.results.discrimination import youden_cut
from relad.results.metrics import is_covered, mask_of
from relad.study.regions import REGIONS
from relad.study.settings import Positivity

#: Fewest training people of either class: fewer leave no fold to choose the penalty on.
MIN_CLASS = 2
#: Inner folds at most, and inverse penalties that are tried.
_INNER_FOLDS, _INVERSE_PENALTIES = 5, (1e-3, 1e-2, 1e-1, 1.0, 10.0)


def features(dataset: PackedDataset) -> np.ndarray:
    """Features (N, 2 + R * M) of the subjects of a packed cohort; NaN where one is not known."""
    labels = np.zeros(dataset.shape, np.int64)
    for number, region in enumerate(REGIONS, start=1):
        labels[atlas.region_mask(region, dataset.shape, dataset.affine)] = number
    rows = []
    for index, row in enumerate(dataset.subjects):
        brain = np.asarray(dataset.mask[index])
        inside = labels[brain]
        count = np.bincount(inside, minlength=len(REGIONS) + 1)[1:]
        means = []
        for modality in range(len(dataset.modalities)):
            volume = np.asarray(dataset.mri[index, modality], dtype=np.float64)[brain]
            total = np.bincount(inside, volume, minlength=len(REGIONS) + 1)[1:]
            means.append(np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0))
        person = [row["age"], row["brain_volume_ml"]]
        known = [np.nan if value is None else value for value in person]
        rows.append(np.concatenate([known, *means]))
    return np.stack(rows)


def real_suvr(dataset: PackedDataset, tracer: str, region: str) -> np.ndarray:
    """Mean real SUVR (N,) of a region, as metric rows have it.

    NaN of who was not scanned, or lacks the region.
    """
    values = np.full(len(dataset), np.nan)
    k = dataset.tracers.index(tracer)
    for index, of in dataset.pairs():
        if of != k:
            continue
        brain = dataset.pair_mask(index, k)
        masks = dataset.own_masks(index)
        if not is_covered(region, brain, dataset.affine, masks):
            continue
        mask = mask_of(region, brain, dataset.affine, masks)
        pet = np.asarray(dataset.pet[index, k], dtype=np.float64)[mask]
        values[index] = to_suvr(pet, dataset.windows[tracer]).mean()
    return values


@dataclass(frozen=True)
class Classifier:
    """A fitted model, and the cut in its probability that was chosen on its training people."""

    model: Any
    known: np.ndarray
    cut: float

    def probability(self, of: np.ndarray) -> np.ndarray:
        """Probability (n,) of being positive, of features (n, F)."""
        return self.model.predict_proba(of[:, self.known])[:, 1]


def fit(of: np.ndarray, positive: Sequence[bool] | np.ndarray) -> Classifier | None:
    """Fit on training people: features (n, F) and whether each is positive.

    The inverse penalty with the least log loss over inner folds is taken; the cut is Youden's over
    the inner folds' predictions, so that no person is predicted by a model that has seen them.
    Unknown features take the training people's median.

    Returns
    -------
    None where fewer than :data:`MIN_CLASS` people are of one class.
    """
    from sklearn.impute import SimpleImputer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GridSearchCV, StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    positive = np.asarray(positive, dtype=bool)
    smaller = int(min(positive.sum(), (~positive).sum()))
    if smaller < MIN_CLASS:
        return None
    known = np.isfinite(of).any(axis=0)
    inner = StratifiedKFold(min(_INNER_FOLDS, smaller))
    model = make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True),
        StandardScaler(),
        LogisticRegression(max_iter=1000),
    )
    search = GridSearchCV(
        model,
        {"logisticregression__C": _INVERSE_PENALTIES},
        scoring="neg_log_loss",
        cv=inner,
    )
    best = search.fit(of[:, known], positive).best_estimator_
    held_out = cross_val_predict(best, of[:, known], positive, cv=inner, method="predict_proba")
    cut = youden_cut(held_out[:, 1], positive, near=0.5)
    return Classifier(best, known, 0.5 if cut is None else cut)


@dataclass(frozen=True)
class OfFold:
    """What a training fold gave: a model, or None, and how many of either class it has."""

    model: Classifier | None
    n_positive: int
    n_negative: int


class OfFolds:
    """Models of a packed training cohort's folds, each fitted once, whoever is tested by it.

    Attributes
    ----------
    training
        The cohort.
    features
        :func:`features` of a cohort, measured once.
    of_fold
        Tracer, cut and fold -> :class:`OfFold`, fitted on the people of all other folds.
    """

    def __init__(self, training: PackedDataset):
        self.training = training
        self.features = cache(features)
        self.of_fold = cache(self._fitted)
        self._fold_of = np.array([str(row["fold"]) for row in training.subjects])
        self._truth = cache(real_suvr)

    def _fitted(self, tracer: str, cut: Positivity, fold: str) -> OfFold:
        truth = self._truth(self.training, tracer, cut.region)
        train = (self._fold_of != fold) & np.isfinite(truth)
        positive = truth[train] >= cut.suvr
        model = fit(self.features(self.training)[train], positive)
        return OfFold(model, int(positive.sum()), int((~positive).sum()))
