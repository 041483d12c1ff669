"""Whose scans a model is measured on: whom it learnt from, never."""

from __future__ import annotations

import pytest

from benchmarks.people import pairs_of
from relad.data.dataset import PackedDataset
from relad.errors import ReladError
from relad.fileio import read_json


@pytest.fixture
def info(validated):
    return read_json(validated / "train.json")


@pytest.mark.parametrize("part", ["validation", "test"])
def test_they_are_the_part_that_was_asked_for(info, packed, part):
    data = PackedDataset(packed)
    pairs = pairs_of(data, info, part)
    assert data.names(pairs) == info["subjects"][part] != []
    assert len(pairs) == 3 * len(info["subjects"][part])
    folds = {data.subjects[i]["fold"] for i, _ in pairs}
    assert (folds == {info["fold"]}) == (part == "test")


def test_a_tracer_that_it_was_not_trained_for_is_left_out(info, packed):
    data = PackedDataset(packed)
    pairs = pairs_of(data, info | {"trained_tracers": ["amyloid"]}, "test")
    assert {data.tracers[k] for _, k in pairs} == {"amyloid"}


@pytest.mark.parametrize("part", ["validation", "test"])
def test_other_data_and_a_part_without_people_are_refused(info, packed, packed_external, part):
    """People of another cohort, or of other folds, may be those it learnt from."""
    with pytest.raises(ReladError, match="not the cohort that the model was trained on"):
        pairs_of(PackedDataset(packed_external), info, part)
    nobody = info | {"subjects": info["subjects"] | {part: []}}
    with pytest.raises(ReladError, match=f"no {part} subjects"):
        pairs_of(PackedDataset(packed), nobody, part)
