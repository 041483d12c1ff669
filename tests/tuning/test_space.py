"""What can be searched, and what is refused in which words."""

from __future__ import annotations

from typing import Any

import pytest

from relad.errors import ReladError
from relad.study import config
from relad.study.paths import REPOSITORY
from relad.study.settings import TrainedMethod, typed
from relad.tuning.space import Space
from tests.helpers.searches import CHANNELS, LR

NETWORK = {"channels": [8, 16]}
UNET = TrainedMethod("baselines.unet:RegressionUNet", ("T1w", "FLAIR"), {"network": NETWORK}, None)
STUDIES = [
    file
    for file in sorted((REPOSITORY / "config").glob("*.yaml"))
    if "cohorts" in config.read_yaml(file)
]


def number(low: float, high: float, **more: Any) -> dict[str, Any]:
    return {"type": "float", "low": low, "high": high, "log": False, **more}


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ({"learning_rate": LR}, r"'unet': learning_rate: 0.0001 is not taken .*'learning_rate'"),
        ({"network.blcks": number(1, 2, type="int")}, r"network\.blcks: 1 is not taken .*'blcks'"),
        ({"lr.generator": LR}, r"lr\.generator: 0.0001 is not taken"),
        ({"lr": number(-1.0, 0.1)}, r"lr: -1.0 is not taken .*learning rate"),
        (
            {"network.attention": {**CHANNELS, "choices": [[0], [7]]}},
            r"network\.attention: \[7\] is not taken .*attention at levels",
        ),
        ({"lr": number(0.1, 0.01)}, r"lr: .*low <= high|lr: .*high=0.01"),
        ({"lr": number(0.0, 0.1, log=True)}, r"lr: .*low"),
        (
            {"network.channels.0": number(4, 8, type="int")},
            r"channels\.0: 4 is not taken .*\[8, 16\]",
        ),
        (
            {"network.channels": {**CHANNELS, "choices": [[8, 16], [-4, 8]]}},
            r"\[-4, 8\] is not taken",
        ),
        (
            {"network": {**CHANNELS, "choices": [NETWORK]}, "network.blocks": number(1, 2)},
            r"network: network\.blocks is a part of it, and is searched too",
        ),
        ({}, "'unet' has nothing to search -- declare its parameters in the file"),
    ],
)
def test_what_cannot_be_searched_is_named(declared: dict[str, Any], said: str) -> None:
    with pytest.raises(ReladError, match=said) as error:
        Space("unet", UNET, declared).check(inputs=2, tracers=3)
    assert "tuning.space names" in str(error.value)


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: file.stem)
def test_every_studys_methods_take_what_is_declared(file: Any) -> None:
    study = config.load(file)
    searched = [name for name in study["methods"] if name in study["tuning"]["space"]]
    assert searched
    for name in searched:
        entry = typed(TrainedMethod, study["methods"][name])
        space = Space(name, entry, study["tuning"]["space"][name])
        space.check(inputs=len(entry.inputs), tracers=3)
        # Otherwise no trial could come near what is configured.
        for path, value in space.configured().items():
            alone = Space(name, entry, {path: study["tuning"]["space"][name][path]})
            assert alone.suggestible({path: value}) is not None, (name, path, value)


def test_every_method_is_searched_but_what_was_published_and_what_has_no_parameter() -> None:
    study = config.load()
    methods = {name for name, entry in study["methods"].items() if entry["ablates"] is None}
    searched = set(study["tuning"]["space"])
    assert methods - searched == {"rela-paper", "rela-as-released", "template"}
    assert searched <= methods


def test_what_was_found_on_the_embedded_cohort_fits_its_study() -> None:
    told = {**config.read_yaml(config.DEFAULT), "tuned": "config/tuned/sim-train.yaml"}
    study, plain = config.resolve(told), config.load()
    found = config.read_yaml(REPOSITORY / told["tuned"])["folds"]["0"]
    assert set(found) > {"rela", "unet"}
    for name, values in found.items():
        entry = typed(TrainedMethod, plain["methods"][name])
        space = Space(name, entry, plain["tuning"]["space"][name])
        assert not values or space.suggestible(values) is not None, name
        assert study["methods"][name]["tuned"]["0"] == space.with_values(values).params


def test_a_value_goes_to_its_level_and_leaves_the_others() -> None:
    entry = TrainedMethod(UNET.class_, UNET.inputs, {"network": {**NETWORK, "stem": 1}}, None)
    space = Space("unet", entry, {"lr": LR, "network.channels": CHANNELS})
    values = space.values({"lr": 0.01, "network.channels": 1})
    assert space.with_values(values).params == {
        "lr": 0.01,
        "network": {"channels": [4, 4], "stem": 1},
    }
    assert entry.params == {"network": {**NETWORK, "stem": 1}}
    assert space.suggestible(values) == {"lr": 0.01, "network.channels": 1}


def test_configured_values_are_those_of_the_entry_or_else_of_the_class() -> None:
    space = Space("unet", UNET, {"lr": LR, "network.channels": CHANNELS})
    assert space.configured() == {"lr": 5e-4, "network.channels": [8, 16]}
    assert space.suggestible(space.configured()) == {"lr": 5e-4, "network.channels": 0}
    deeper = Space("unet", UNET, {"lr": LR, "network.blocks": number(1, 2, type="int")})
    assert deeper.configured() == {"lr": 5e-4}
    assert deeper.suggestible(deeper.configured()) is None
    gan = TrainedMethod("baselines.pix2pix:Pix2Pix", ("T1w",), {"lr": 1.0}, None)
    wide = Space("pix2pix", gan, {"lr": LR, "lambda_l1": number(1.0, 200.0)})
    assert wide.configured() == {"lr": 1.0, "lambda_l1": 100.0}
    assert wide.suggestible(wide.configured()) is None  # lr lies outside
