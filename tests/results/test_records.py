"""What runs wrote about themselves: costs, and whether models can be compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from relad.errors import ReladError
from relad.fileio import write_json
from relad.results.records import (
    Synthesis,
    Training,
    code_note,
    cost_of,
    read_synthesis,
    read_training,
    require_alike,
    require_known,
)
from relad.study.settings import ResultSettings, typed
from tests.helpers.fake_study import amend, make_settings

METHODS = typed(ResultSettings, make_settings()).methods


def model(folder: Path, **changes) -> Training:
    write_json(
        folder / "train.json",
        {
            "method": "unet",
            "fold": 0,
            "seed": 0,
            "kind": "simulated",
            "subjects": {"train": ["A", "B"], "validation": ["C"], "test": ["D"]},
            "data": "packed",
            "code": {"training": "loop", "method": "unet"},
            "single_pass": False,
            "counts": {"parameters_generator": 10, "parameters_total": 12, "updates": 500},
            "measured": {"seconds": 100.0, "peak_memory_mb": 900.0, "device": "cpu"},
        },
    )
    amend(folder / "train.json", **changes)
    return read_training(folder)


def synthesis(folder: Path, **changes) -> Synthesis:
    write_json(
        folder / "synthesis.json",
        {
            "cohort": "study",
            "kind": "simulated",
            "method": "unet",
            "sampler": "forward",
            "samples": 1,
            "fold": 0,
            "seed": 0,
            "evaluations": 1,
            "seconds_per_volume": 0.5,
            "peak_memory_mb": 300.0,
            "device": "cpu",
            **changes,
        },
    )
    return read_synthesis(folder)


# --- costs --------------------------------------------------------------------------------------


def test_costs_are_means_over_runs(tmp_path):
    second = {"seconds": 200.0, "peak_memory_mb": 1100.0, "device": "NVIDIA H200"}
    cost = cost_of(
        [model(tmp_path / "a"), model(tmp_path / "b", measured=second)],
        [synthesis(tmp_path / "c"), synthesis(tmp_path / "d", seconds_per_volume=1.5)],
    )
    assert (cost.parameters, cost.parameters_total, cost.updates) == (10, 12, 500)
    assert (cost.train_seconds, cost.train_memory_mb) == (150.0, 1000.0)
    assert (cost.evaluations, cost.seconds_per_volume) == (1, 1.0)
    assert cost.device == "cpu, NVIDIA H200"
    assert cost.runs == 2


def test_a_cost_says_what_data_it_was_trained_on(tmp_path):
    models = [model(tmp_path / kind, kind=kind) for kind in ("simulated", "hybrid")]
    assert cost_of(models[:1], []).data == "simulated"
    assert cost_of(models, []).data == "hybrid, simulated"


def test_what_was_not_measured_is_none(tmp_path):
    nothing = {"seconds": None, "peak_memory_mb": None, "device": None}
    cost = cost_of([model(tmp_path / "a", measured=nothing)], [])
    assert cost.train_seconds is None
    assert cost.seconds_per_volume is None
    assert cost.device == "unknown"


@pytest.mark.parametrize(
    ("key", "value"),
    [("seconds", "long"), ("peak_memory_mb", [1, 2]), ("load_per_core", True), ("device", ["cpu"])],
)
def test_what_is_no_measurement_is_refused_with_its_file(tmp_path, key, value):
    with pytest.raises(ReladError, match=rf"train.json: measured.{key} must be .*`relad train`"):
        model(tmp_path, measured={key: value})


def test_a_count_that_is_none_is_refused(tmp_path):
    with pytest.raises(ReladError, match="updates is not a whole number"):
        cost_of([model(tmp_path, counts={"updates": "many"})], [])


# --- records that are not whole -----------------------------------------------------------------


def test_an_unknown_method_is_refused(tmp_path):
    with pytest.raises(ReladError, match="'gan' is not in the settings"):
        require_known([model(tmp_path, method="gan")], METHODS)


def test_a_folder_without_its_record_is_refused(tmp_path):
    with pytest.raises(ReladError, match=r"train\.json: no such file"):
        read_training(tmp_path)


def test_a_record_of_an_older_version_is_refused(tmp_path):
    write_json(tmp_path / "train.json", {"method": "unet", "fold": 0, "seed": 0, "subjects": {}})
    told = r"lacks kind, subjects\.train, .*, code\.training, .* -- run `relad train` again"
    with pytest.raises(ReladError, match=told):
        read_training(tmp_path)


@pytest.mark.parametrize("content", [[], "text", 3])
def test_a_record_that_is_no_mapping_is_refused(tmp_path, content):
    write_json(tmp_path / "synthesis.json", content)
    with pytest.raises(ReladError, match="lacks cohort, method"):
        read_synthesis(tmp_path)


def test_an_unknown_kind_of_data_is_refused(tmp_path):
    with pytest.raises(ReladError, match=r"train\.json: kind: 'fake' is not a valid Kind"):
        model(tmp_path, kind="fake")


# --- whether models can be compared -------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"subjects": {"train": ["A", "E"]}}, r"on different people \(train: B, E\)"),
        ({"subjects": {"validation": []}}, r"on different people \(validation: C\)"),
        ({"subjects": {"test": ["F"]}}, r"on different people \(test: "),
        ({"data": "packed again"}, "on different packed data"),
        ({"data": "packed again", "fold": 1}, "on different packed data"),
        ({"counts": {"updates": 400}, "fold": 1}, "for 400 and 500 updates"),
        ({"counts": {"batch_size": 8}}, "on 8 and None at a time"),
        ({"counts": {"updates": 400}}, "for 400 and 500 updates"),
    ],
)
def test_models_that_were_trained_differently_are_refused(tmp_path, changes, told):
    models = [model(tmp_path / "a"), model(tmp_path / "b", method="rela", **changes)]
    with pytest.raises(ReladError, match=f"/b and .*/a were trained {told}"):
        require_alike(models)


def test_models_of_other_folds_have_other_people(tmp_path):
    other = {"subjects": {"train": ["D"]}, "fold": 1}
    require_alike([model(tmp_path / "a"), model(tmp_path / "b", **other)])


def test_a_method_of_a_single_pass_has_its_own_number_of_updates(tmp_path):
    single = {"method": "template", "single_pass": True, "counts": {"updates": 3}}
    models = [model(tmp_path / "a", **single), model(tmp_path / "b"), model(tmp_path / "c")]
    require_alike(models)
    models.append(model(tmp_path / "d", counts={"updates": 3}))
    with pytest.raises(ReladError, match=r"/d and .*/b were trained for 3 and 500 updates"):
        require_alike(models)


def test_order_of_people_makes_no_difference(tmp_path):
    turned = {"subjects": {"train": ["B", "A"]}}
    require_alike([model(tmp_path / "a"), model(tmp_path / "b", **turned)])


def test_versions_of_the_training_code_are_told_apart(tmp_path):
    models = [model(tmp_path / m, method=m) for m in ("rela", "unet")]
    assert code_note(models, METHODS) == ""
    models.append(model(tmp_path / "c", method="template", code={"training": "loop 2"}))
    assert code_note(models, METHODS) == (
        "The models were trained by different versions of the training code "
        "(RelA-Diffusion, U-Net (L1); Mean template)."
    )
    other = model(tmp_path / "d", code={"method": "another"})
    assert code_note([models[0], other], METHODS) == ""  # two methods have two codes
    again = model(tmp_path / "e", method="rela", seed=1, code={"method": "edited"})
    assert code_note([models[0], again], METHODS) == (
        "Of RelA-Diffusion the models differ in the version of its own code."
    )


def test_a_method_of_several_versions_is_named_once(tmp_path):
    begin = "The models were trained by different versions of the training code "
    models = [
        model(tmp_path / f"{method}-{loop}", method=method, seed=seed, code={"training": loop})
        for method in ("rela", "unet")
        for seed, loop in enumerate(("loop", "loop 2"))
    ]
    told = begin + "(more than one each: RelA-Diffusion, U-Net (L1))."
    assert code_note(models, METHODS) == told
    assert code_note([*models[2:], *models[:1]], METHODS) == (
        begin + "(RelA-Diffusion; more than one each: U-Net (L1))."
    )
    edited = {"training": "loop 2", "method": "edited"}
    models[1] = model(tmp_path / "edited", method="rela", seed=1, code=edited)
    assert code_note(models, METHODS) == (
        begin + "(more than one each: RelA-Diffusion*, U-Net (L1); "
        "*: also by different versions of the method's own code)."
    )
