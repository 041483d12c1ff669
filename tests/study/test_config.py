"""The configuration: what is accepted, what is refused in which words, what each step is given."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from relad.data import scaling
from relad.errors import ReladError
from relad.results.metrics import regions
from relad.status import Modality
from relad.study import config
from relad.study.paths import REPOSITORY
from relad.study.regions import COMPOSITES, REFERENCE_REGIONS, REGIONS
from relad.study.sampling import SAMPLERS, of_method
from relad.study.settings import OF_STEP, RegisterSettings, of_job, plain
from tests.helpers.settings import members

STUDIES = [
    file
    for file in sorted((REPOSITORY / "config").glob("*.yaml"))
    if "cohorts" in config.read_yaml(file)
]
SCHEMAS = sorted(config.SCHEMAS.glob("*.yaml"))


@pytest.fixture
def raw() -> dict[str, Any]:
    return config.read_yaml(config.DEFAULT)


def write(path: Path, data: Any) -> str:
    content = json.dumps(data) if path.suffix == ".json" else yaml.safe_dump(data, sort_keys=False)
    path.write_text(content, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: file.stem)
def test_every_study_file_is_valid(file: Path) -> None:
    study = config.load(file)
    assert [c["role"] for c in study["cohorts"].values()].count("train") == 1


def test_studies_of_simulated_people_cut_amyloid_between_their_groups() -> None:
    """The published cut lies among their negative people (docs/evaluation.md)."""
    simulated = [
        study
        for study in map(config.load, STUDIES)
        if any(cohort["source"] == "phantom" for cohort in study["cohorts"].values())
    ]
    assert len(simulated) >= 4
    cuts = [study["tracers"]["amyloid"]["positivity"] for study in simulated]
    assert all(cut == cuts[0] for cut in cuts) and cuts[0]["suvr"] == 1.3


@pytest.mark.parametrize(
    ("section", "key"),
    [((), "trainings"), (("training",), "update"), (("cohorts", "sim-train"), "folder")],
)
def test_unknown_key_is_named(raw: dict[str, Any], section: tuple[str, ...], key: str) -> None:
    part = raw
    for name in section:
        part = part[name]
    part[key] = 1
    where = ".".join(section) or "the top level"
    with pytest.raises(ReladError, match=rf"^study\.yaml: unknown key '{key}' at {where} -- known"):
        config.resolve(raw, file="study.yaml")


def test_a_batch_that_processes_cannot_share_is_refused(raw: dict[str, Any]) -> None:
    raw["training"] |= {"batch_size": 4, "processes": 3}
    with pytest.raises(ReladError, match="batch_size 4 cannot be shared by 3 processes"):
        config.resolve(raw)


def test_missing_key_is_named(raw: dict[str, Any]) -> None:
    del raw["training"]["updates"]
    with pytest.raises(ReladError, match="at training: 'updates' is a required property") as told:
        config.resolve(raw)
    assert told.value.hint is None


def test_a_configuration_that_changes_single_values_is_told_where_it_belongs() -> None:
    with pytest.raises(ReladError, match=r"is a required property -- .* `snakemake --configfile`"):
        config.load(REPOSITORY / "config" / "long.yaml")


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"source": "phantom"}, "the source phantom needs phantom -- its keys: phantom"),
        ({"source": "loni"}, "the source loni needs path, collection -- its keys: path, coll"),
        ({"source": "bids"}, "the source bids needs path"),
        ({"source": "packed"}, "the source packed needs path"),
        ({"source": "bids", "path": "x", "collection": "y"}, "the source bids reads no collection"),
        ({"source": "xnat", "path": "x"}, "no source 'xnat' -- known sources: bids, loni, packed"),
    ],
)
def test_a_cohort_says_where_its_scans_are(
    raw: dict[str, Any], entry: dict[str, Any], said: str
) -> None:
    raw["cohorts"]["sim-external"] = {"role": "external", **entry}
    with pytest.raises(ReladError, match=rf"cohorts\.sim-external.*{said}"):
        config.resolve(raw)


CLINIC = {"role": "apply", "source": "bids", "path": "x"}


def test_the_main_methods_are_applied_unless_others_are_named(raw: dict[str, Any]) -> None:
    raw["cohorts"]["clinic"] = CLINIC
    study = config.resolve(raw)
    assert study["cohorts"]["clinic"]["methods"] == members(study, "main")
    raw["cohorts"]["clinic"] = CLINIC | {"methods": ["unet"]}
    assert config.resolve(raw)["cohorts"]["clinic"]["methods"] == ["unet"]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        (CLINIC | {"methods": ["magic"]}, "methods names 'magic', no method of the study"),
        (CLINIC | {"role": "external", "methods": ["unet"]}, "for the role apply alone"),
        (CLINIC | {"source": "packed"}, "packed volumes do not lead back to people's T1w"),
    ],
)
def test_a_cohort_to_apply_models_to_says_which(
    raw: dict[str, Any], entry: dict[str, Any], said: str
) -> None:
    raw["cohorts"]["clinic"] = entry
    with pytest.raises(ReladError, match=rf"cohorts\.clinic.*{said}"):
        config.resolve(raw)


def test_one_cohort_is_trained_on(raw: dict[str, Any]) -> None:
    raw["cohorts"]["sim-external"]["role"] = "train"
    with pytest.raises(ReladError, match="one cohort must have the role train, here 2 have"):
        config.resolve(raw)


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("training", "updates", 0),
        ("training", "device", "gpu"),
        ("grid", "shape", [48, 56]),
        ("folds", "count", 1),
        ("registration", "to_mni", "rigid"),
    ],
)
def test_value_out_of_range_is_refused(
    raw: dict[str, Any], section: str, key: str, value: Any
) -> None:
    raw[section][key] = value
    with pytest.raises(ReladError, match=rf"at {section}\.{key}"):
        config.resolve(raw)


def test_fold_that_does_not_exist_is_refused(raw: dict[str, Any]) -> None:
    raw["folds"] = {"count": 4, "run": [4]}
    with pytest.raises(ReladError, match=r"folds\.run names fold 4, but folds.count is 4"):
        config.resolve(raw)


# --- decisions by hand --------------------------------------------------------------------------


KEEP = {"subject": "941S0001", "decision": "keep", "who": "XY", "why": "seen"}


def test_an_override_reaches_the_quality_of_its_cohort_alone(raw: dict[str, Any]) -> None:
    raw["qc"] = {"overrides": [{**KEEP, "cohort": "sim-train"}]}
    study = config.resolve(raw)
    (override,) = of_job("qc", study, cohort="sim-train").qc.overrides
    assert (override.cohort, override.subject, override.who) == ("sim-train", "941S0001", "XY")
    assert of_job("qc", study, cohort="sim-external").qc.overrides == ()
    for step in set(OF_STEP) - {"qc"}:
        assert "941S0001" not in str(plain(of_job(step, study, cohort="sim-train"))), step


def test_the_only_cohort_need_not_be_named(raw: dict[str, Any]) -> None:
    del raw["cohorts"]["sim-external"]
    raw["qc"] = {"overrides": [dict(KEEP)]}
    assert config.resolve(raw)["qc"]["overrides"] == [{**KEEP, "cohort": "sim-train"}]


def test_overrides_may_be_a_table(raw: dict[str, Any], tmp_path: Path) -> None:
    table = tmp_path / "overrides.tsv"
    raw["qc"] = {"overrides": str(table)}
    with pytest.raises(ReladError, match=r"overrides\.tsv: no such table"):
        config.resolve(raw)
    columns = ("subject", "decision", "who", "why", "cohort")
    table.write_text("\t".join(columns) + "\n941S0001\tdrop\tXY\tit moved\tsim-train\n")
    (entry,) = config.resolve(raw)["qc"]["overrides"]
    assert entry == {**KEEP, "decision": "drop", "why": "it moved", "cohort": "sim-train"}
    table.write_text(table.read_text().replace("drop", "dorp"))
    with pytest.raises(ReladError, match=r"overrides\.tsv: at qc\.overrides\.0\.decision: 'dorp'"):
        config.resolve(raw)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ([KEEP], "qc.overrides: 941S0001 lacks its cohort -- cohorts: sim-train, sim-external"),
        ([{**KEEP, "cohort": "x"}], "941S0001 is of 'x', not one of the cohorts"),
        ([{**KEEP, "cohort": "sim-train"}] * 2, "names 941S0001 of sim-train twice"),
        ([{**KEEP, "why": ""}], "at qc.overrides.0.why"),
        ([{"subject": "941S0001", "decision": "keep", "who": "XY"}], "'why' is a required"),
        ([{**KEEP, "subject": "sub-941S0001"}], "at qc.overrides.0.subject"),
    ],
)
def test_a_bad_override_is_named(raw: dict[str, Any], overrides: list, said: str) -> None:
    raw["qc"] = {"overrides": overrides}
    with pytest.raises(ReladError, match=said):
        config.resolve(raw)


# --- methods and ablations ----------------------------------------------------------------------


def test_ablation_changes_its_base_and_nothing_else() -> None:
    methods = config.load()["methods"]
    base, ablation = methods["rela"], methods["rela-no-adversary"]
    assert ablation["ablates"] == "rela" and base["ablates"] is None
    assert ablation["params"] == {**base["params"], "lambda_adv": 0.0}
    assert methods["rela-no-t1w"] == {
        **base,
        "label": "w/o T1w",
        "inputs": ["FLAIR"],
        "groups": ["ablation"],
        "ablates": "rela",
        "trained_as": "rela-no-t1w",
    }


def test_another_sampling_of_a_method_trains_nothing_and_stands_beside_it(
    raw: dict[str, Any], tmp_path: Path
) -> None:
    eight = {"sampler": "ddim", "steps": 25, "samples": 8}
    ablations = {
        "sampled": {"base": "rela", "sampling": eight, "groups": ["main"]},
        "sampled-twice": {"base": "sampled", "sampling": {"steps": 50}, "groups": ["main"]},
        "named": {"base": "rela", "label": "Mine", "sampling": eight},
        "trained": {"base": "rela", "sampling": eight, "params": {"gamma": 2.0}},
        "given": {"base": "rela", "sampling": eight, "inputs": ["T1w"]},
    }
    raw["ablations"] = write(tmp_path / "ablations.yaml", ablations)
    del raw["training"]["group_updates"]
    methods = config.resolve(raw)["methods"]
    assert list(methods)[:4] == ["rela", "sampled", "sampled-twice", "rela-paper"]
    trained_as = {name: methods[name]["trained_as"] for name in ablations}
    assert trained_as == {
        **dict.fromkeys(("sampled", "sampled-twice", "named"), "rela"),
        **{name: name for name in ("trained", "given")},
    }
    labels = [methods[name]["label"] for name in ablations]
    assert labels == ["RelA-Diffusion", "RelA-Diffusion", "Mine", "trained", "given"]
    assert methods["sampled"]["sampling"] == eight and methods["rela"]["sampling"] == {}


def test_a_longer_training_is_one_of_its_own(raw: dict[str, Any]) -> None:
    assert config.resolve(raw)["methods"]["ladder-rela"]["trained_as"] == "ladder-rela"
    del raw["training"]["group_updates"]
    assert config.resolve(raw)["methods"]["ladder-rela"]["trained_as"] == "rela"


@pytest.mark.parametrize(
    ("ablations", "said"),
    [
        (
            {"x": {"base": "nope", "params": {}}},
            "'x' changes 'nope', which is neither a method nor",
        ),
        ({"unet": {"base": "rela", "params": {}}}, "'unet' is already a method's id"),
        (
            {"ceiling": {"base": "rela", "params": {}}},
            "'ceiling' is what rows of `relad ceiling` are",
        ),
        ({"x": {"base": "rela", "inputs": ["PET"]}}, r"at x.inputs.0: 'PET' is not one of"),
        ({"x": {"base": "rela", "parms": {}}}, "'parms'"),
    ],
)
def test_bad_ablation_is_named(
    raw: dict[str, Any], tmp_path: Path, ablations: dict[str, Any], said: str
) -> None:
    raw["ablations"] = write(tmp_path / "ablations.yaml", ablations)
    with pytest.raises(ReladError, match=said):
        config.resolve(raw)


def test_groups_name_comparisons_and_not_tables_that_exist(
    raw: dict[str, Any], tmp_path: Path
) -> None:
    study = config.load()
    own = ["presets", "baselines", "preconditioning", "from_noise", "adversary", "release_ladder"]
    assert config.own_groups(study["methods"]) == own
    assert members(study, "presets") == ["rela", "rela-paper", "rela-as-released"]
    assert not set(members(study, "main")) & {"rela-paper", "rela-as-released"}
    methods = {**config.read_yaml(REPOSITORY / "config" / "methods.yaml")}
    methods["unet"] = {**methods["unet"], "groups": ["runtime"]}
    raw["methods"] = write(tmp_path / "methods.yaml", methods)
    with pytest.raises(ReladError, match="group 'runtime' has the name of another table"):
        config.resolve(raw)


def test_two_methods_of_a_group_have_two_labels(raw: dict[str, Any], tmp_path: Path) -> None:
    methods = config.read_yaml(REPOSITORY / "config" / "methods.yaml")
    methods["unet"] = {**methods["unet"], "label": methods["pix2pix"]["label"]}
    raw["methods"] = write(tmp_path / "methods.yaml", methods)
    with pytest.raises(ReladError, match=r"'pix2pix' and 'unet'|'unet' and 'pix2pix'"):
        config.resolve(raw)


def test_an_entry_may_start_from_one_above_it() -> None:
    methods = config.load()["methods"]
    below, rung = methods["ladder-no-clamp"], methods["ladder-conditioned"]
    assert rung["ablates"] == "ladder-no-clamp"
    assert {k for k in rung["params"] if rung["params"][k] != below["params"][k]} == {
        "discriminator"
    }
    assert rung["sampling"] == methods["rela-as-released"]["sampling"] != {}


def test_a_comparison_may_be_trained_longer_all_of_it_alike(raw: dict[str, Any]) -> None:
    raw["training"]["group_updates"] = {"release_ladder": 7}
    study = config.resolve(raw)
    for name, entry in study["methods"].items():
        assert entry["updates"] == (7 if "release_ladder" in entry["groups"] else None), name
    assert "group_updates" not in study["training"]  # or other trainings would be run again
    part = of_job("train", study, method="ladder-no-clamp")
    assert part.methods["ladder-no-clamp"].updates == 7


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ({"presets": 7}, r"'rela' would be trained for .* \(main: training.updates, presets: 7"),
        ({"nope": 7}, "training.group_updates names 'nope', not a group"),
        ({"main": 7}, "training.group_updates"),
        ({"presets": 0}, "training.group_updates.presets: 0 is less than"),
    ],
)
def test_a_comparison_of_another_length_is_refused_where_it_cannot_be(
    raw: dict[str, Any], groups: dict[str, int], said: str
) -> None:
    raw["training"]["group_updates"] = groups
    with pytest.raises(ReladError, match=said):
        config.resolve(raw)


# --- tuned parameters ---------------------------------------------------------------------------


def tuned(raw: dict[str, Any], file: Path, **changes: Any) -> dict[str, Any]:
    """A study whose methods were searched in two folds."""
    found = {
        "0": {
            "rela": {"lr": 0.1, "lambda_adv": 0.2, "network.blocks": 2},
            "rela-no-t1w": {"lr": 1},
        },
        "1": {"rela": {"lr": 0.3}},
    }
    facts = {"cohort": "sim-train", "kind": "simulated", "data": "abc", "folds": found}
    raw["tuned"] = write(file, facts | changes)
    return config.resolve(raw)


def test_each_fold_is_trained_with_its_own_parameters_and_an_ablation_inherits_them(
    raw: dict[str, Any], tmp_path: Path
) -> None:
    study = tuned(raw, tmp_path / "tuned.yaml")
    plainly = config.load()["methods"]

    def params(name: str, fold: str) -> dict[str, Any]:
        part = of_job("train", study, method=name, fold=fold, seed="0")
        assert part.tuned_on == "abc"
        return part.methods[name].params

    base = plainly["rela"]["params"]
    first = {**base, "lr": 0.1, "lambda_adv": 0.2, "network": {**base["network"], "blocks": 2}}
    assert params("rela", "0") == first
    assert params("rela", "1") == {**base, "lr": 0.3}
    assert params("rela-no-adversary", "0") == {**first, "lambda_adv": 0.0}  # what it is about
    assert params("rela-no-t1w", "0") == {**first, "lr": 1}  # searched itself
    assert params("unet", "0") == plainly["unet"]["params"]
    assert study["methods"]["rela"]["params"] == base
    assert study["methods"]["rela-sampled"]["trained_as"] == "rela"
    assert study["methods"]["rela-no-t1w"]["trained_as"] == "rela-no-t1w"
    file = write(tmp_path / "study.yaml", raw)
    assert config.load_settings(file, OF_STEP["train"], fold=1).methods["rela"].params["lr"] == 0.3


@pytest.mark.parametrize("name", ["config", "study", "adni"])
def test_in_the_main_comparison_samples_stand_beside_samples(name: str) -> None:
    """CRPS of one method's samples against another's single image would decide nothing."""
    study = config.load(REPOSITORY / "config" / f"{name}.yaml")
    samplings = {
        method: of_method(study, entry)
        for method, entry in study["methods"].items()
        if "main" in entry["groups"] and entry["family"] == "diffusion"
    }
    told = {m for m, sampling in samplings.items() if sampling.sampler == "regression"}
    sampled = {
        study["methods"][m]["trained_as"]: sampling
        for m, sampling in samplings.items()
        if sampling.samples > 1
    }
    assert told and told == set(sampled) and len(set(sampled.values())) == 1


def test_an_entry_that_was_searched_itself_is_no_sampling_of_its_base(
    raw: dict[str, Any], tmp_path: Path
) -> None:
    folds = {"0": {"rela-sampled": {"lr": 0.1}}}
    study = tuned(raw, tmp_path / "tuned.yaml", folds=folds)
    assert study["methods"]["rela-sampled"]["trained_as"] == "rela-sampled"


def test_a_fold_that_was_not_searched_does_not_get_anothers(
    raw: dict[str, Any], tmp_path: Path
) -> None:
    study = tuned(raw, tmp_path / "tuned.yaml")
    with pytest.raises(ReladError, match="no parameters for fold 2, only for 0, 1 -- search that"):
        of_job("train", study, method="rela", fold="2", seed="0")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"cohort": "other"}, r"tuned\.yaml: was found on the cohort 'other', but .* 'sim-train'"),
        ({"folds": {"0": {"nope": {}}}}, r"tuned\.yaml: has parameters of 'nope', no method"),
        ({"folds": {"0": {"unet": 3}}}, r"tuned\.yaml: at folds\.0\.unet: 3 is not of type"),
        ({"folds": {}}, r"tuned\.yaml: at folds"),
    ],
)
def test_a_file_of_parameters_that_cannot_be_taken_is_named(
    raw: dict[str, Any], tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    with pytest.raises(ReladError, match=said):
        tuned(raw, tmp_path / "tuned.yaml", **changes)


@pytest.mark.parametrize(
    ("distribution", "said"),
    [
        ({"type": "float", "low": 1}, r"search\.yaml: at unet\.lr: 'high' is a required"),
        ({"type": "categorical", "low": 1, "high": 2}, "at unet.lr: 'choices' is a required"),
        ({"type": "normal", "low": 1, "high": 2}, "at unet.lr.type: 'normal' is not one of"),
        ({"type": "int", "low": 1, "high": 2, "step": 2}, "unknown key 'step' at unet.lr"),
    ],
)
def test_a_space_that_is_not_one_is_named(
    raw: dict[str, Any], tmp_path: Path, distribution: dict[str, Any], said: str
) -> None:
    space = write(tmp_path / "search.yaml", {"unet": {"lr": distribution}})
    raw["tuning"] = {"space": space}
    with pytest.raises(ReladError, match=said):
        config.resolve(raw)


def test_a_search_sees_its_own_methods_space_alone() -> None:
    study = config.load()
    assert set(of_job("search", study, method="unet", fold="0").tuning.space) == {"unet"}
    assert of_job("search", study, method="template", fold="0").tuning.space == {}


@pytest.mark.parametrize("name", ["unet", "nope"])
def test_sampler_study_takes_diffusion_methods_alone(raw: dict[str, Any], name: str) -> None:
    raw["sampler_study"]["methods"].append(name)
    with pytest.raises(ReladError, match=f"sampler_study.methods names '{name}'"):
        config.resolve(raw)


def test_training_reads_what_trains_and_no_label(raw: dict[str, Any]) -> None:
    study = config.resolve(raw)
    trained = plain(of_job("train", study, method="rela"))["methods"]["rela"]
    assert set(trained) == {"class", "inputs", "params", "updates", "validated_by"}
    drawn = plain(of_job("synthesize", study, method="rela"))["methods"]["rela"]
    assert set(drawn) == {"sampling", "trained_as"}


def test_weights_are_chosen_by_the_sampling_that_is_used(raw: dict[str, Any]) -> None:
    """An arm that samples its base's models otherwise leaves their training as it is."""
    raw["training"]["validation"]["steps"] = 8
    raw["sampling"] = {"sampler": "heun", "steps": 7, "samples": 3, "temperature": 1.5}
    study = config.resolve(raw)

    def validated_by(method: str, step: str = "train") -> str | None:
        name = study["methods"][method]["trained_as"]
        return of_job(step, study, method=name).methods[name].validated_by

    assert validated_by("rela") == validated_by("rela", "search") == "heun-7"
    assert validated_by("rectified-flow") == "euler-8"
    assert study["methods"]["rectified-flow-sampled"]["trained_as"] == "rectified-flow"
    assert validated_by("rectified-flow-sampled") == "euler-8"


def test_a_training_that_no_sampling_changes_is_not_told_of_one(raw: dict[str, Any]) -> None:
    raw["training"]["validation"]["steps"] = 8
    trainings = {}
    for steps in (7, 8, 9):
        raw["sampling"] = {"sampler": "ddim", "steps": steps, "temperature": 1 + steps / 10}
        study = config.resolve(raw)
        trainings[steps] = {m: of_job("train", study, method=m) for m in study["methods"]}
    other = {m for m in trainings[7] if trainings[7][m] != trainings[8][m]}
    assert {"rela", "ddpm"} <= other and trainings[8] == trainings[9]
    assert not {"unet", "pix2pix", "template", "rela-paper", "rectified-flow"} & other
    raw["training"]["validation"]["subjects"] = 0
    assert of_job("train", config.resolve(raw), method="rela").methods["rela"].validated_by is None


def test_bad_method_is_named(raw: dict[str, Any], tmp_path: Path) -> None:
    raw["methods"] = write(tmp_path / "methods.yaml", {"x": {"class": "module.Class"}})
    with pytest.raises(ReladError, match=r"methods.yaml: at x.class: 'module.Class'"):
        config.resolve(raw)


def test_the_method_is_the_same_at_every_size() -> None:
    """But for what the size asks for, and the share of pure noise that short trainings need."""
    by_size = {"lr", "lr_discriminator", "network", "discriminator", "critic_reduction"}
    by_size.add("from_noise")
    for name in ("rela", "ddpm"):
        params = [
            config.read_yaml(REPOSITORY / "config" / folder / "methods.yaml")[name]["params"]
            for folder in (".", "adni", "simulated-2mm")
        ]
        first, *others = ({k: v for k, v in p.items() if k not in by_size} for p in params)
        assert others == [first, first]


def test_what_is_as_published_has_its_critic() -> None:
    """A loss for every patch, and Adam's usual betas, as the release's loss and notebook have."""
    for folder in (".", "adni"):
        methods = config.read_yaml(REPOSITORY / "config" / folder / "methods.yaml")
        for name in ("rela-paper", "rela-as-released"):
            params = methods[name]["params"]
            assert params["critic_reduction"] == "patch"
            assert params["betas_discriminator"] == [0.9, 0.999]


def test_resolving_twice_changes_nothing(raw: dict[str, Any]) -> None:
    once = config.resolve(raw)
    assert config.resolve(copy.deepcopy(once)) == once


# --- settings of steps --------------------------------------------------------------------------


def test_a_step_is_given_its_jobs_own_entry_and_no_other() -> None:
    part = of_job("train", config.load(), method="unet", fold="0", seed="0")
    assert set(plain(part)) == {"training", "methods", "tuned_on"}
    assert set(part.methods) == {"unet"}
    whole = of_job("tables", config.load(), name="main")
    assert len(whole.methods) == len(config.load()["methods"])


def test_unknown_method_is_named() -> None:
    with pytest.raises(ReladError, match="'nope' is not one of the methods -- known methods: rela"):
        of_job("train", config.load(), method="nope")


@pytest.mark.parametrize("step", OF_STEP)
def test_settings_survive_their_file(step: str, tmp_path: Path) -> None:
    settings = of_job(step, config.load())
    file = tmp_path / "settings.json"
    write(file, plain(settings))
    assert config.load_settings(file, OF_STEP[step]) == settings
    assert config.load_settings(None, OF_STEP[step]) == settings


def test_settings_that_lack_a_key_or_their_file_are_named(tmp_path: Path) -> None:
    file = tmp_path / "settings.json"
    part = plain(of_job("register", config.load()))
    del part["registration"]["to_mni"]
    write(file, part)
    with pytest.raises(ReladError, match=r"the settings lack registration\.to_mni"):
        config.load_settings(file, RegisterSettings)
    with pytest.raises(ReladError, match="no such configuration file"):
        config.load_settings(tmp_path / "none.yaml", RegisterSettings)


def test_broken_yaml_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("seed: [0\ncohorts: {", encoding="utf-8")
    with pytest.raises(ReladError, match=r"broken\.yaml: not valid YAML") as error:
        config.load(tmp_path / "broken.yaml")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("seed: 0\ngrid: {}\nseed: 1\n", "line 3: the key 'seed' stands here a second time"),
        ("seed: 0\nseed: 1\n", "first in line 1 -- keep one"),
        ("cohorts: {a: {role: train, role: apply}}", "line 1: the key 'role' stands here"),
        ("updates: 0400", 'base 8 -- write 400 for the number, "0400" for the text'),
        ("folds: [1, -012]", "write -12 for the number"),
        ("updates: 6:40", 'number of base 60 -- write "6:40" for the text'),
        ("ema: 99e-2", "read as a text -- write 0.99 for the number"),
        ("updates: 4e2", "write 400.0 for the number"),
        ("rate: 1e-10", "write 1.0e-10 for the number"),
    ],
)  # fmt: skip
def test_what_would_be_read_as_something_else_is_named(
    tmp_path: Path, text: str, said: str
) -> None:
    (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(ReladError, match=r"study\.yaml: line \d") as error:
        config.read_yaml(tmp_path / "study.yaml")
    assert said in str(error.value)


def test_what_is_read_as_it_was_meant_stays(tmp_path: Path) -> None:
    """A merged key may be overridden; times of ingest.overrides need no quotes."""
    text = "x: &x {a: 1, b: 0}\ny: {<<: *x, a: 1.0e-2}\nz: {value: 10:05}\nt: ['0400', \"6:40\"]\n"
    (tmp_path / "study.yaml").write_text(text, encoding="utf-8")
    assert config.read_yaml(tmp_path / "study.yaml") == {
        "x": {"a": 1, "b": 0}, "y": {"a": 0.01, "b": 0}, "z": {"value": 605},
        "t": ["0400", "6:40"],
    }  # fmt: skip


@pytest.mark.parametrize("text", ["0400", "6:40"])
def test_a_text_is_no_number_of_another_base(raw: dict[str, Any], text: str) -> None:
    raw["training"]["updates"] = text
    with pytest.raises(ReladError, match=rf"at training\.updates: '{text}' is not of type"):
        config.resolve(raw)


@pytest.mark.parametrize(
    "second", [{"ligand": "AV1451"}, {"ligand": "MK6240", "aliases": ["flor-taucipir"]}]
)
def test_two_tracers_of_one_ligand_are_refused(raw: dict[str, Any], second: dict) -> None:
    """Every PET of it once named more than one tracer."""
    raw["tracers"] = {"tau": {"ligand": "AV1451"}, "again": second}
    with pytest.raises(ReladError, match="tracers 'tau' and 'again' are both"):
        config.resolve(raw)


def ranges(schema: Any, root: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    """Places of two numbers, a start and an end, that a schema knows; ``*`` for any name."""
    ref = schema.get("$ref", "#")
    if ref.startswith("#/$defs/"):
        schema = {**root["$defs"][ref.removeprefix("#/$defs/")], **schema}
    if schema.get("minItems") == schema.get("maxItems") == 2:
        yield ()
    parts = dict(schema.get("properties", {}))
    if isinstance(schema.get("additionalProperties"), dict):
        parts["*"] = schema["additionalProperties"]
    for name, part in parts.items():
        yield from ((name, *rest) for rest in ranges(part, root))


RANGES = [
    (file.name.partition(".")[0], place)
    for file in SCHEMAS
    for place in ranges(config.read_yaml(file), config.read_yaml(file))
]


@pytest.mark.parametrize(
    ("schema", "place"), RANGES, ids=lambda at: at if isinstance(at, str) else ".".join(at)
)
@pytest.mark.parametrize("value", [[100, 80], [3, 3], [2.5, -1]], ids=str)
def test_a_range_that_runs_backwards_is_refused(schema: str, place: tuple, value: list) -> None:
    data = config.read_yaml(config.DEFAULT if schema == "config" else config.TRACERS)
    inside = [("tau" if schema == "config" else "AV45") if name == "*" else name for name in place]
    part = data
    for name in inside[:-1]:
        part = part.setdefault(name, {})
    part[inside[-1]] = value
    with pytest.raises(ReladError, match=rf"x\.yaml: at {'.'.join(inside)}: ") as error:
        config.check(data, schema, file="x.yaml")
    assert f"{value} does not ascend: the lower number goes first" in str(error.value)
    part[inside[-1]] = sorted({min(value), 400})
    config.check(data, schema, file="x.yaml")


def test_ranges_are_of_windows_and_of_volumes() -> None:
    assert {place[-1] for _, place in RANGES} == {"frames_min", "suvr_window", "brain_volume_ml"}


def test_a_steps_own_settings_are_checked_alike(tmp_path: Path) -> None:
    whole = plain(of_job("qc", config.load()))
    whole["qc"]["brain_volume_ml"] = [2200, 800]
    with pytest.raises(ReladError, match=r"at qc\.brain_volume_ml: .* does not ascend"):
        config.load_settings(write(tmp_path / "x.json", whole), OF_STEP["qc"])


@pytest.mark.parametrize(
    ("key", "entry"),
    [
        ("positivity.region", {"positivity": {"region": "cortx", "suvr": 1, "source": "a"}}),
        ("regions", {"regions": ["cortex", "cortx"]}),
    ],
)
def test_a_region_that_there_is_not_is_refused(raw: dict[str, Any], key: str, entry: dict) -> None:
    raw["tracers"]["tau"] |= entry
    with pytest.raises(ReladError, match=rf"at tracers\.tau\.{key}: 'cortx' is no region") as error:
        config.resolve(raw)
    assert "amyloid_cortex" in str(error.value)
    raw["segmentation"] = {"regions": {"cortx": ["Left-Cerebral-Cortex"]}}
    config.resolve(raw)


def test_regions_are_those_that_are_measured() -> None:
    assert ["brain", *REGIONS, *COMPOSITES] == list(regions(()))


# --- schemas ------------------------------------------------------------------------------------


def keys(schema: dict[str, Any], where: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every key that a schema knows, with its place."""
    for name, entry in schema.get("properties", {}).items():
        yield f"{where}.{name}", entry
        yield from keys(entry, f"{where}.{name}")
    for part in (schema.get("additionalProperties"), *schema.get("$defs", {}).values()):
        if isinstance(part, dict):
            yield from keys(part, f"{where}.*")


@pytest.mark.parametrize("file", SCHEMAS, ids=lambda file: file.name.partition(".")[0])
def test_every_key_is_described(file: Path) -> None:
    schema = config.read_yaml(file)
    found = list(keys(schema))
    assert found
    assert [where for where, entry in found if not entry.get("description")] == []


@pytest.mark.parametrize("file", SCHEMAS, ids=lambda file: file.name.partition(".")[0])
def test_no_object_takes_unknown_keys(file: Path) -> None:
    """``params`` alone is free: the method's class checks it."""

    def objects(schema: Any) -> Iterator[dict[str, Any]]:
        if isinstance(schema, dict):
            if schema.get("type") == "object":
                yield schema
            for part in schema.values():
                yield from objects(part)

    open_ones = [o for o in objects(config.read_yaml(file)) if "additionalProperties" not in o]
    assert all(o["description"].startswith("Keyword arguments") for o in open_ones)


def test_every_key_is_read_somewhere() -> None:
    """A key that nothing reads promises what does not happen."""
    code = "\n".join(
        file.read_text(encoding="utf-8")
        for pattern in ("relad/**/*.py", "workflow/**/*.smk")
        for file in REPOSITORY.glob(pattern)
        if file.name != "settings.py"
    )
    leaves = {where.rpartition(".")[2] for where, _ in keys(config.read_yaml(SCHEMAS[1]))}
    assert "updates" in leaves
    unread = [key for key in leaves if not re.search(rf"""["']{key}["']|\.{key}\b""", code)]
    assert unread == []


# --- defaults -----------------------------------------------------------------------------------


def test_what_is_left_out_has_the_schemas_default_at_every_depth(raw: dict[str, Any]) -> None:
    for section in ("registration", "sampling"):
        del raw[section]
    assert "qc" not in raw and "evaluation" not in raw
    del raw["training"]["validation"], raw["folds"]["run"]
    study = config.resolve(raw)
    defaults = {w: e["default"] for w, e in keys(config.read_schema("config")) if "default" in e}
    assert study["seed"] == defaults[".seed"]
    for section in ("registration", "qc", "sampling", "evaluation"):
        assert study[section]
        for key, value in study[section].items():
            assert value == defaults[f".{section}.{key}"], (section, key)
    assert study["training"]["validation"]["subjects"] == 0
    assert study["folds"]["run"] == [0, 1, 2, 3]
    assert study["cohorts"]["sim-train"]["psf"] == {}
    assert all(s["samples"] for s in study["sampler_study"]["samplings"])
    # One study's values are not another's.
    study["qc"]["brain_volume_ml"].append(1)
    assert config.resolve(raw)["qc"]["brain_volume_ml"] == defaults[".qc.brain_volume_ml"]


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: file.stem)
def test_study_files_hold_only_what_differs_from_the_defaults(file: Path) -> None:
    defaults = {w: e["default"] for w, e in keys(config.read_schema("config")) if "default" in e}

    def repeated(data: dict[str, Any], where: str = "") -> Iterator[str]:
        for key, value in data.items():
            place = f"{where}.{key}"
            if isinstance(value, dict):
                yield from repeated(value, place)
            elif place in defaults and defaults[place] == value:
                yield place

    assert list(repeated(config.read_yaml(file))) == []


def enumerated(schema: object) -> Iterator[set[str]]:
    """Every list of allowed values in a schema."""
    if isinstance(schema, dict):
        if "enum" in schema:
            yield set(schema["enum"])
        schema = list(schema.values())
    if isinstance(schema, list):
        for part in schema:
            yield from enumerated(part)


@pytest.mark.parametrize(
    ("names", "schemas"),
    [
        (SAMPLERS, {"config", "methods", "ablations"}),
        (REFERENCE_REGIONS, {"config", "tracers"}),
        (scaling.KINDS, {"config"}),
        (Modality, {"methods", "ablations"}),
    ],
)
def test_names_that_a_schema_lists_are_those_of_the_code(names: Iterable, schemas: set) -> None:
    """Where one of them stands, all do, and no other."""
    wanted, found = set(map(str, names)), set()
    for file in SCHEMAS:
        name = file.name.removesuffix(".schema.yaml")
        for listed in enumerated(config.read_schema(name)):
            if len(listed & wanted) > 1 and "none" not in listed:
                assert listed == wanted, file
                found.add(name)
    assert found == schemas


def test_a_persons_own_reference_region_is_for_real_people(raw: dict[str, Any]) -> None:
    region = {"segmentation": ["Left-Cerebellum-Cortex", "Right-Cerebellum-Cortex"]}
    raw["tracers"]["tau"]["reference_region"] = region
    with pytest.raises(ReladError, match="the simulated cohort sim-train has not"):
        config.resolve(raw)
    raw["cohorts"] = {"mine": {"role": "train", "source": "bids", "path": "there"}}
    raw["segmentation"] = {"regions": {"hippocampus": ["Left-Hippocampus"]}}
    study = config.resolve(raw)
    assert study["tracers"]["tau"]["reference_region"] == region
    assert study["segmentation"]["labels"] is None
    # What each step sees of it: files are found once, and a new region registers nobody again.
    register, normalize = (
        plain(of_job(step, study, cohort="mine"))["segmentation"]
        for step in ("register", "normalize")
    )
    assert set(register) == {"labels", "table"}
    assert set(normalize) == {"regions", "cerebellum", "cerebellar_grey"}
    for wrong in ({"names": ["A"], "segmentation": ["A"]}, {"segmentation": []}):
        raw["tracers"]["tau"]["reference_region"] = wrong
        with pytest.raises(ReladError, match=r"tracers\.tau\.reference_region"):
            config.resolve(raw)


def test_no_region_of_ones_own_takes_the_name_of_the_brain(raw: dict[str, Any]) -> None:
    raw["segmentation"] = {"regions": {"brain": ["Left-Hippocampus"]}}
    with pytest.raises(ReladError, match=r"segmentation\.regions: 'brain' should not be valid"):
        config.resolve(raw)


def test_numbers_inside_lists_and_mappings_of_the_command_line_are_numbers() -> None:
    """Snakemake reads `--config seeds=[0,1] tuning={trials: 8}` into texts."""
    base = config.read_yaml(config.DEFAULT)
    given = {"seeds": ["0", "1"], "tuning": {"trials": "8"}, "folds": {"count": "4", "run": ["0"]}}
    resolved = config.resolve({**base, **given})
    assert resolved["seeds"] == [0, 1]
    assert resolved["tuning"]["trials"] == 8
    assert resolved["folds"]["run"] == [0]
    with pytest.raises(ReladError, match=r"at seeds.0: 'zero' is not of type 'integer'"):
        config.resolve({**base, "seeds": ["zero"]})


CUTS = {
    ligand: entry["positivity"]
    for ligand, entry in config.read_yaml(config.TRACERS).items()
    if "positivity" in entry
}


@pytest.mark.parametrize("ligand", CUTS)
def test_a_published_cut_names_its_paper_and_how_far_it_was_checked(ligand):
    source = CUTS[ligand]["source"]
    papers = re.findall(r"\(([A-Z][^()]* et al\., [^()]*)\)", source)
    assert papers
    for paper in papers:
        assert re.search(r", (19|20)\d\d, doi:10\.\d{4,}/[\w./-]*\w; ", paper), paper
        assert "as in " in paper or "not confirmed against the paper" in paper, paper


def test_a_cut_in_centiloid_is_its_suvr_by_the_anchors():
    cut = CUTS["PiB"]
    centiloid = float(re.match(r"([\d.]+) Centiloid", cut["source"])[1])
    zero, hundred = map(float, re.search(r"anchors ([\d.]+) and ([\d.]+)", cut["source"]).groups())
    assert cut["suvr"] == round(zero + centiloid / 100 * (hundred - zero), 2)


def test_a_cut_without_a_doi_is_refused(monkeypatch, tmp_path):
    table = copy.deepcopy(config.read_yaml(config.TRACERS))
    table["PiB"]["positivity"]["source"] = "As everybody does."
    monkeypatch.setattr(config, "TRACERS", Path(write(tmp_path / "tracers.yaml", table)))
    with pytest.raises(ReladError, match=r"PiB\.positivity\.source"):
        config.load(config.DEFAULT)
