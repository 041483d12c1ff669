"""What Snakemake would run, from nothing and after a change; over files of zero bytes."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from pathlib import Path

import pytest

from relad.cli import STEPS
from relad.fileio import write_json, write_table
from relad.study import config, paths, resources
from relad.study.catalogue import FIGURE, RESULTS, TABLE
from tests.helpers.heads import empty_heads
from tests.helpers.settings import members
from tests.helpers.small_study import DIRECT, Plan, Study, of_all

ABLATION_ONLY = ["rela, fold 0, seed 0", "rela-no-adversary, fold 0, seed 0"]
ABLATION_ONLY += ["rela-no-flair, fold 0, seed 0"]
#: What is made of all tables and figures.
PAGES = ("report", "paper")
TABLES, FIGURES = of_all(TABLE), of_all(FIGURE)


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {file}"
    file.write_text(text.replace(old, new), encoding="utf-8")


def test_all_from_nothing(empty_study: Study) -> None:
    plan = empty_study.plan("all")
    assert plan.rules == Counter(
        phantom=2,
        ingest=2,
        enroll=2,
        register=6,
        normalize=6,
        qc=2,
        pack=2,
        train=6,
        synthesize=12,
        evaluate=12,
        ceiling=2,
        tables=len(TABLES),
        figures=len(FIGURES),
        **dict.fromkeys(PAGES, 1),
    )
    assert plan.of("Table") == TABLES
    assert plan.of("Figure") == FIGURES


def test_people_of_a_cohort_are_submitted_by_the_twenty(empty_study: Study, tmp_path: Path) -> None:
    study = empty_study.copy(tmp_path)
    edit(study.configfile, "subjects: 4", "subjects: 41")
    person = {"cohort": "tiny-train", "subject": "1"}
    size = resources.size_of("register", config.load(study.configfile), {}, person)
    asked = resources.request("register", size), resources.request("normalize", size)
    memory, minutes = max(one[0] for one in asked), sum(one[1] for one in asked)
    profile = ("--workflow-profile", str(study.repository / "workflow" / "profiles" / "slurm"))
    # Tried again, each has twice the memory and the time, and half as many are at work at a time.
    for attempt, at_a_time in ((1, 4), (2, 2)):
        words = ("--cores", "64", "--attempt", str(attempt), *profile)
        said = study.plan("all", *words).output
        (told,) = re.findall("^submissions of people: .*$", said, flags=re.MULTILINE)
        # Three of the one cohort, one of the other, none of both.
        assert told == (
            f"submissions of people: 4, of up to 20 each (at most {at_a_time} cores, "
            f"{4 * memory} MB, {20 // at_a_time * attempt * minutes} min)"
        )


def test_what_the_cluster_wants_is_for_jobs_that_are_submitted(
    empty_study: Study, tmp_path: Path
) -> None:
    study = empty_study.copy(tmp_path)
    profile = study.repository / "workflow" / "profiles" / "slurm"
    site, target = profile / "site.yaml", "results/enrolled/tiny-external.tsv"
    site.write_text("scratch: /scratch/$ONLY_IN_A_JOB\n", "utf-8")
    for words in ((), ("--workflow-profile", str(profile))):
        assert study.plan(target, *words).rules["enroll"] == 1
    site.write_text("queue: long", "utf-8")
    assert study.plan(target).rules["enroll"] == 1  # which does not even read it


def test_rules_are_named_as_the_steps(empty_study: Study) -> None:
    assert set(empty_study.plan("all", "tune").rules) == set(STEPS) - DIRECT - {"derivatives"}


def test_without_a_configuration_the_default_study_is_planned(empty_study: Study) -> None:
    default = config.load()
    of_all = members(default, "main") + members(default, "ablation")
    models = {default["methods"][name]["trained_as"] for name in of_all}
    trained = len(models) * len(default["folds"]["run"]) * len(default["seeds"])
    plan = Study(empty_study.folder, config=None).plan("all")
    assert plan.rules["train"] == trained
    assert plan.of("Packing") == sorted(default["cohorts"])


def test_a_cohort_without_pet_goes_the_whole_way_and_into_no_table(
    empty_study: Study, tmp_path: Path
) -> None:
    study = empty_study.copy(tmp_path)
    for label in ("A", "B"):
        (tmp_path / f"clinic/sub-{label}/anat").mkdir(parents=True)
    entry = f"role: apply, source: bids, path: {tmp_path}/clinic, methods: [rela, unet]"
    edit(study.configfile, "\ntracers:", f"  clinic: {{{entry}}}\n\ntracers:")
    before, plan = empty_study.plan("all"), study.plan("all")
    more = Counter(ingest=1, enroll=1, register=2, normalize=2, qc=1, pack=1)
    assert plan.rules - before.rules == more + Counter(synthesize=2, derivatives=2)
    assert before.rules - plan.rules == Counter()
    runs = [f"clinic by {method}, fold 0, seed 0" for method in ("rela", "unet")]
    assert plan.of("BIDS derivatives of") == runs


def test_the_ceiling_of_simulated_pet_stands_in_the_tables_of_accuracy(empty_study: Study) -> None:
    for table, cohorts in (("main", ["tiny-train"]), ("external", ["tiny-external"])):
        plan = empty_study.plan(f"results/tables/{table}.csv", "-p")
        assert plan.of("Ceiling of") == cohorts
        truth = f"--truth results/raw/{cohorts[0]}/truth"
        assert truth in plan.output
    assert empty_study.plan("results/tables/fidelity.csv").rules["ceiling"] == 0


def test_all_calibrates_samples_where_there_are_some(empty_study: Study, tmp_path: Path) -> None:
    study = empty_study.copy(tmp_path)
    edit(study.repository / "config" / "test" / "ablations.yaml", "samples: 3", "samples: 1")
    names = {"calibration", "calibration_external"}
    with_samples, without = empty_study.plan("all"), study.plan("all")
    for verb in ("Table", "Figure"):
        assert {*with_samples.of(verb)} - {*without.of(verb)} == names


def test_one_table_plans_only_what_it_shows(empty_study: Study) -> None:
    plan = empty_study.plan("results/tables/ablation.csv")
    assert plan.of("Training") == ABLATION_ONLY
    assert plan.of("Simulating the scans of") == ["tiny-train"]
    assert plan.rules["tables"] == 1 and plan.rules["figures"] == 0


@pytest.mark.parametrize("target", ["tables/release_ladder.csv", "figures/release_ladder.png"])
def test_a_group_of_methods_is_made_when_asked_for_and_no_part_of_all(
    empty_study: Study, target: str
) -> None:
    rungs = [f"{m}, fold 0, seed 0" for m in ("ladder-all", "ladder-penalty", "rela-as-released")]
    plan = empty_study.plan(f"results/{target}")
    assert plan.of("Training") == rungs
    assert {m.split(" with ")[0] for m in plan.of("Synthesising PET of")} == {"tiny-train"}
    assert not set(rungs) & set(empty_study.plan("all").of("Training"))


def test_tune_searches_every_method_that_has_a_space_in_every_fold(study: Study) -> None:
    edit(study.configfile, "folds: {count: 2, run: [0]}", "folds: {count: 2}")
    plan = study.plan("tune")
    searched = [f"{m}, fold {fold}" for m in ("pix2pix", "rela", "unet") for fold in (0, 1)]
    assert plan.of("Searching parameters of") == searched
    assert set(plan.rules) == {"search", "tune"}
    assert "tuning: search 6, tune 1 (pix2pix, rela, unet)" in plan.output


def test_a_changed_space_searches_that_method_again(study: Study) -> None:
    space = study.repository / "config/search.yaml"
    lr = "\nrela:\n  lr: {type: float, low: "
    edit(space, f"{lr}5.0e-5", f"{lr}6.0e-5")
    assert "Nothing to be done" in study.plan("all").output
    study.fill_with_nothing("tune")
    # Of a rule that is asked for by name, Snakemake misses the benchmark too.
    benchmark = study.results / "benchmarks" / "tune" / "all.tsv"
    benchmark.parent.mkdir(parents=True)
    benchmark.touch()
    assert "Nothing to be done" in study.plan("tune").output
    edit(space, f"{lr}6.0e-5", f"{lr}7.0e-5")
    assert study.plan("tune").of("Searching parameters of") == ["rela, fold 0"]


@pytest.mark.parametrize("target", ["tables/samplers.csv", "figures/samplers.png"])
def test_sampler_study_trains_each_method_once(empty_study: Study, target: str) -> None:
    plan = empty_study.plan(f"results/{target}")
    assert plan.of("Training") == ["rela, fold 0, seed 0"]
    assert plan.rules["synthesize_sampler"] == plan.rules["evaluate_sampler"] == 3
    assert plan.rules["synthesize"] == 0


def test_another_sampling_of_a_method_is_sampled_from_its_model(empty_study: Study) -> None:
    plan = empty_study.plan("results/tables/fidelity.csv", "-p")
    assert "rela-sampled, fold 0, seed 0" not in plan.of("Training")
    made = {f"tiny-train with {m}, fold 0, seed 0" for m in ("rela", "rela-sampled")}
    assert made < set(plan.of("Synthesising PET of"))
    model = "results/models/rela/fold-0_seed-0 results/packed/tiny-train"
    out = "results/synthesized/tiny-train/rela-sampled/fold-0_seed-0"
    assert f"synthesize {model} {out} --method rela-sampled" in plan.output


def test_a_changed_sampling_draws_that_entry_again_and_trains_nothing(study: Study) -> None:
    edit(study.repository / "config/test/ablations.yaml", "samples: 3", "samples: 4")
    plan = study.plan("all")
    assert set(plan.rules) == {"synthesize", "evaluate", "tables", "figures", *PAGES}
    assert plan.of("Synthesising PET of") == [
        f"{cohort} with rela-sampled, fold 0, seed 0" for cohort in ("tiny-external", "tiny-train")
    ]


def test_changed_sampler_study_reruns_nothing_of_all(study: Study) -> None:
    edit(study.configfile, "dpmpp, steps: [2]", "dpmpp, steps: [3]")
    assert "Nothing to be done" in study.plan("all").output


def test_changed_label_trains_nothing(study: Study) -> None:
    edit(study.repository / "config/test/methods.yaml", "label: U-Net (L1)", "label: U-Net")
    assert set(study.plan("all").rules) == {"tables", "figures", *PAGES}


def test_external_table_trains_no_ablation(empty_study: Study) -> None:
    plan = empty_study.plan("results/tables/external.csv")
    assert not [message for message in plan.of("Training") if "-no-" in message]
    assert {m.split(" with ")[0] for m in plan.of("Synthesising PET of")} == {"tiny-external"}


def test_finished_study_has_nothing_to_do(finished_study: Study) -> None:
    assert "Nothing to be done" in finished_study.plan("all").output


def test_of_files_that_were_touched_no_job_is_taken_to_wait(finished_study: Study) -> None:
    plan = finished_study.results / paths.plan().relative_to(paths.RESULTS)
    assert plan.parent.is_dir() and not plan.exists()


def test_registered_scans_may_go_and_are_missed_by_nobody(study: Study) -> None:
    edit(study.configfile, "\nfolds:", "\nkeep_registered: false\nfolds:")
    registered = sorted(study.results.glob("registered/*/*"))
    said = study.plan("all", "--forceall").output
    removed = re.findall("^Would remove temporary output (.*)$", said, flags=re.MULTILINE)
    assert sorted(removed) == [str(f.relative_to(study.results.parent)) for f in registered]
    shutil.rmtree(study.results / "registered")
    assert "Nothing to be done" in study.plan("all").output
    # Who has to be brought to the grid anew is registered again, and nobody else.
    shutil.rmtree(study.results / "normalized" / "tiny-external")
    assert study.plan("all").rules["register"] == 0
    shutil.rmtree(study.results / "packed" / "tiny-external")
    rules = study.plan("results/packed/tiny-external").rules
    assert rules == {"register": 2, "normalize": 2, "qc": 1, "pack": 1}


def test_changed_method_reruns_that_method_alone(study: Study) -> None:
    edit(
        study.repository / "config/test/methods.yaml",
        "class: baselines.unet:RegressionUNet",
        "class: baselines.unet:RegressionUNet\n  inputs: [T1w]",
    )
    plan = study.plan("all")
    assert plan.of("Training") == ["unet, fold 0, seed 0"]
    assert plan.of("Synthesising PET of") == [
        "tiny-external with unet, fold 0, seed 0",
        "tiny-train with unet, fold 0, seed 0",
    ]
    assert set(plan.rules) == {"train", "synthesize", "evaluate", "tables", "figures", *PAGES}


def test_changed_base_reruns_its_ablations_too(study: Study) -> None:
    edit(
        study.repository / "config/test/methods.yaml",
        "class: relad.methods.reladiff:RelADiffusion",
        "class: relad.methods.reladiff:RelADiffusion\n  params: {gamma: 0.5}",
    )
    assert study.plan("all").of("Training") == ABLATION_ONLY


def test_edited_baseline_reruns_that_baseline_alone(study: Study) -> None:
    with (study.repository / "baselines/unet.py").open("a", encoding="utf-8") as file:
        file.write("\n# edited\n")
    assert study.plan("all").of("Training") == ["unet, fold 0, seed 0"]


def test_edited_plot_draws_again_and_trains_nothing(study: Study) -> None:
    with (study.repository / "relad/results/figures/panels.py").open("a", encoding="utf-8") as file:
        file.write("\n# edited\n")
    assert set(study.plan("all").rules) == {"figures", *PAGES}


@pytest.mark.parametrize(
    ("old", "new", "rules"),
    [
        ("interval: 0.9", "interval: 0.8", {"tables", "figures", *PAGES}),
        ("steps: 2", "steps: 3", {"synthesize", "evaluate", "tables", "figures", *PAGES}),
        (
            "updates: 4",
            "updates: 5",
            {"train", "synthesize", "evaluate", "tables", "figures", *PAGES},
        ),
    ],
)
def test_changed_value_reruns_what_reads_it(
    study: Study, old: str, new: str, rules: set[str]
) -> None:
    edit(study.configfile, old, new)
    assert set(study.plan("all").rules) == rules


def test_deleted_model_reruns_that_model(study: Study) -> None:
    (study.results / "models/unet/fold-0_seed-0/model.safetensors").unlink()
    plan = study.plan("all")
    assert plan.of("Training") == ["unet, fold 0, seed 0"]
    assert plan.rules["register"] == 0


def test_killed_training_keeps_its_checkpoint(empty_study: Study) -> None:
    """Snakemake removes the declared outputs of a failed job; a checkpoint must not be one."""
    summary = empty_study.snakemake("--summary").stdout
    model = [line.split("\t")[0] for line in summary.splitlines() if "/models/unet/" in line]
    assert sorted(Path(file).name for file in model) == [
        "log.csv",
        "model.safetensors",
        "train.json",
    ]


def test_own_configuration_replaces_the_default_one(empty_study: Study) -> None:
    """Snakemake would merge the two and simulate the default's cohorts beside ours."""
    assert "sim-train" not in empty_study.plan("all").output


def settings_files(plan: Plan) -> dict[str, set[str]]:
    """Step -> files of settings in its jobs' commands."""
    found: dict[str, set[str]] = {}
    for step, name in re.findall(r"--settings results/settings/(\w+)/(\w+)\.json", plan.output):
        found.setdefault(step, set()).add(name)
    return found


def test_single_value_from_the_command_line_reaches_who_reads_it(empty_study: Study) -> None:
    usual = settings_files(empty_study.plan("all", "-p"))
    seeded = settings_files(empty_study.plan("all", "-p", "--config", "seed=7"))
    assert {step for step in usual if usual[step] != seeded[step]} == {
        *("phantom", "register", "pack")
    }
    assert len(usual["train"]) == 6 and len(usual["evaluate"]) == 1


def test_a_plan_writes_nothing_and_ends_with_what_would_run(empty_study: Study) -> None:
    said = empty_study.plan("all").output.strip().splitlines()[-5:]
    assert [line.partition(":")[0] for line in said] == [
        *("scans", "people", "methods", "results", "because of missing output")
    ]
    assert "train 6, synthesize 12, evaluate 12" in said[2]
    assert not empty_study.results.exists()


def test_a_changed_setting_is_the_plans_reason(study: Study) -> None:
    edit(study.configfile, "updates: 4", "updates: 5")
    assert study.plan("all").output.strip().splitlines()[-1] == "because of settings: train 6"
    with (study.repository / "baselines/unet.py").open("a", encoding="utf-8") as file:
        file.write("\n# edited\n")
    last = study.plan("all").output.strip().splitlines()[-1]
    assert last == "because of code: train 1; settings: train 6"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (
            "count: 2, run: [0]",
            "count: 5, run: [0]",
            "folds.count is 5, but cohort tiny-train has 4",
        ),
        ("subjects: 1, every: 2", "subjects: 2, every: 2", "training.validation.subjects is 2"),
    ],
)
def test_a_cohort_too_small_for_its_study_is_refused_before_anything_runs(
    study: Study, old: str, new: str, said: str
) -> None:
    edit(study.configfile, old, new)
    done = study.snakemake("--dry-run", "all")
    assert done.returncode != 0
    assert said in done.stdout + done.stderr


def test_other_folds_pack_again_but_enroll_and_register_nobody(study: Study) -> None:
    edit(study.configfile, "count: 2, run: [0]", "count: 3, run: [0]")
    rules = study.plan("all").rules
    assert rules["pack"] == 2 and rules["train"] == 6
    assert not {"ingest", "enroll", "register", "normalize", "qc"} & set(rules)


def test_other_frames_enroll_and_register_everyone(study: Study) -> None:
    edit(study.configfile, "frames_min: [80, 100]", "frames_min: [80, 105]")
    rules = study.plan("all").rules
    assert rules["enroll"] == 2 and rules["register"] == 6


def test_labels_of_ones_own_register_that_person_alone(study: Study) -> None:
    """By the study's pattern, whether they are new or edited; the table of names is everybody's."""
    section = "segmentation: {labels: 'labels/{subject}_{session}.nii.gz', table: names.txt}\n"
    study.configfile.write_text(section + study.configfile.read_text())
    assert study.snakemake("--touch", "--forceall", "--cores", "1").returncode == 0
    assert study.plan("all").rules["register"] == 0
    folder = study.folder / "study"
    (folder / "labels").mkdir()
    (folder / "labels" / "951S0002_m00.nii.gz").touch()
    plan = study.plan("all")
    assert plan.of("Registering") == ["tiny-train 951S0002"]
    assert plan.rules["pack"] == 1
    (folder / "names.txt").touch()
    assert study.plan("all").rules["register"] == 6


def test_other_limits_of_quality_judge_again_but_normalise_nobody(study: Study) -> None:
    edit(study.configfile, "min_brain_overlap_dice: 0.6", "min_brain_overlap_dice: 0.7")
    rules = study.plan("all").rules
    assert rules["qc"] == rules["pack"] == 2
    assert rules["register"] == rules["normalize"] == 0


def overridden(study: Study, subject: str) -> None:
    """Drop somebody by hand in the study's file."""
    entry = f"subject: {subject}, cohort: tiny-train, decision: drop, who: XY, why: seen"
    edit(study.configfile, "qc: #", f"qc:\n  overrides: [{{{entry}}}] #")


def test_an_override_judges_its_cohort_again_and_nothing_before(study: Study) -> None:
    overridden(study, "951S0001")
    rules = study.plan("all").rules
    assert rules["qc"] == rules["pack"] == 1
    assert rules["register"] == rules["normalize"] == 0


def test_an_override_of_nobody_is_refused_before_anything_runs(study: Study) -> None:
    overridden(study, "951S0099")
    done = study.snakemake("--dry-run", "all")
    assert done.returncode != 0
    assert "qc.overrides: tiny-train has no subject 951S0099" in done.stdout + done.stderr


def test_motion_correction_registers_everyone_again(study: Study) -> None:
    edit(study.configfile, "registration:", "registration:\n  motion_correction: false")
    rules = study.plan("all").rules
    assert rules["register"] == rules["normalize"] == 6 and rules["ingest"] == 0


def test_a_packed_cohort_and_its_models_are_used_where_they_are_carried(
    study: Study, tmp_path: Path
) -> None:
    """Neither made again nor trained on again, though the copy is newer than the models."""
    carried = tmp_path / "carried"
    shutil.move(study.results / "packed" / "tiny-train", carried)
    rows = [{"subject": f"S{i}", "included": "yes"} for i in range(4)]
    write_table(carried / "subjects.tsv", rows, ["subject", "included"])
    for part in ("raw", "bids", "enrolled", "registered", "normalized", "qc", "packed"):
        shutil.rmtree(study.results / part)
    shutil.rmtree(study.folder / "study" / ".snakemake")  # what was made elsewhere has no history
    text = study.configfile.read_text(encoding="utf-8")
    text = text.replace("source: phantom", f"source: packed\n    path: {carried}", 1)
    text = text.replace("    phantom: {subjects: 4, site: 951, scanner: alpha}\n", "")
    start, end = text.index("  tiny-external:"), text.index("tracers:")
    study.configfile.write_text(text[:start] + text[end:], encoding="utf-8")
    assert "Nothing to be done" in study.plan("all").output
    (study.results / "models/unet/fold-0_seed-0/model.safetensors").unlink()
    plan = study.plan("all")
    assert plan.of("Training") == ["unet, fold 0, seed 0"]
    assert set(plan.rules) == {"train", "synthesize", "evaluate", "tables", "figures", *PAGES}
    # Its ceiling is where it says so.
    shutil.rmtree(study.results / "metrics/tiny-train/ceiling")
    (study.results / "tables/main.csv").unlink()
    assert study.plan("results/tables/main.csv").rules["ceiling"] == 0
    write_json(carried / "dataset.json", {"ceiling": True})
    assert study.plan("results/tables/main.csv").of("Ceiling of") == ["tiny-train"]


def test_study_of_one_cohort_without_ablations(study: Study) -> None:
    (study.repository / "config/test/ablations.yaml").write_text("{}\n", encoding="utf-8")
    text = study.configfile.read_text(encoding="utf-8")
    start, end = text.index("  tiny-external:"), text.index("tracers:")
    study.configfile.write_text(text[:start] + text[end:], encoding="utf-8")
    plan = study.plan("all", "--forceall")
    left = [r for r in RESULTS if r.role != "external" and r.group != "ablation"]
    shown = {r.name for r in left if not r.of_samples}  # the sampled method was an ablation
    assert plan.of("Table") == [name for name in TABLES if name in shown]
    assert plan.of("Figure") == [name for name in FIGURES if name in shown]
    assert "decisions" in plan.of("Table") and "decisions_ablation" not in plan.of("Table")


def test_real_sources_know_their_subjects(study: Study, tmp_path: Path) -> None:
    (tmp_path / "loni").mkdir()
    images = "".join(f'"I{i}","002_S_000{i}"\n' for i in (1, 2, 3, 4))
    listed = f'"Image Data ID","Subject"\n{images}'
    (tmp_path / "collection.csv").write_text(listed, encoding="utf-8")
    (tmp_path / "bids" / "sub-ONE").mkdir(parents=True)
    text = study.configfile.read_text(encoding="utf-8")
    text = text.replace("source: phantom", f"source: loni\n    path: {tmp_path}/loni", 1)
    text = text.replace(
        "phantom: {subjects: 4, site: 951, scanner: alpha}",
        f"collection: {tmp_path}/collection.csv",
    )
    text = text.replace("source: phantom", f"source: bids\n    path: {tmp_path}/bids")
    text = text.replace("    phantom: {subjects: 2, site: 952, scanner: beta}\n", "")
    study.configfile.write_text(text, encoding="utf-8")
    plan = study.plan("all", "--forceall", "--printshellcmds")
    assert plan.rules["phantom"] == 0 and plan.rules["ingest"] == 2
    # Of real PET nobody knows what anatomy determines.
    assert plan.rules["ceiling"] == 0 and "--truth" not in plan.output
    assert plan.of("Registering") == [
        "tiny-external ONE",
        "tiny-train 002S0001",
        "tiny-train 002S0002",
        "tiny-train 002S0003",
        "tiny-train 002S0004",
    ]
    assert f"--collection {tmp_path}/collection.csv" in plan.output
    assert f"ingest {tmp_path}/bids results/bids/tiny-external" in plan.output


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("interval: 0.9", "intervals: 0.9", "unknown key 'intervals' at evaluation"),
        ("role: external", "role: train", "one cohort must have the role train, here 2 have"),
        ("config/test/methods.yaml", "config/none.yaml", "no such configuration file"),
    ],
)
def test_bad_configuration_is_named(study: Study, old: str, new: str, said: str) -> None:
    edit(study.configfile, old, new)
    done = study.snakemake("--dry-run", "all")
    assert done.returncode != 0
    assert said in done.stdout + done.stderr


def test_a_cohort_that_stands_twice_is_named(study: Study) -> None:
    """Snakemake keeps the last one, without a word."""
    edit(study.configfile, "\ntracers:", "  tiny-external: {role: external}\n\ntracers:")
    done = study.snakemake("--dry-run", "all")
    assert done.returncode != 0
    assert "the key 'tiny-external' stands here a second time" in done.stdout + done.stderr
    assert study.configfile.name in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("results/models/nope/fold-0_seed-0/log.csv", "'nope' is not one of the methods"),
        ("results/packed/nope", "'nope' is not one of the cohorts"),
    ],
)
def test_unknown_name_in_a_target_is_named(empty_study: Study, target: str, said: str) -> None:
    done = empty_study.snakemake("--dry-run", target)
    assert done.returncode != 0
    assert said in done.stdout + done.stderr


def test_method_without_a_file_is_named(study: Study) -> None:
    edit(study.repository / "config/test/methods.yaml", "baselines.unet:", "baselines.unett:")
    done = study.snakemake("--dry-run", "all")
    assert done.returncode != 0
    assert "there is no module baselines.unett" in done.stdout + done.stderr


def test_plan_needs_no_package_of_any_step(empty_study: Study, tmp_path: Path) -> None:
    """With --use-conda, Snakemake runs where none of these is installed."""
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Block:\n"
        "    names = {'torch', 'safetensors', 'nibabel', 'ants', 'nilearn', 'scipy', 'skimage',\n"
        "             'seaborn', 'jaxtyping', 'pydicom'}\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in self.names:\n"
        "            raise ModuleNotFoundError(f'blocked: {name}')\n"
        "sys.meta_path.insert(0, Block())\n",
        encoding="utf-8",
    )
    done = empty_study.snakemake("--dry-run", "all", env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("profile", ["default", "slurm"])
def test_profiles_plan(empty_study: Study, profile: str) -> None:
    plan = empty_study.plan("--workflow-profile", f"workflow/profiles/{profile}", "all")
    assert plan.rules["train"] == 6


def test_a_changed_head_is_simulated_again(empty_study: Study, tmp_path: Path) -> None:
    study = empty_study.copy(tmp_path / "copy")
    made_up = "phantom: {subjects: 4, site: 951, scanner: alpha}"
    edit(study.configfile, made_up, "phantom: {heads: heads, scanner: alpha}")
    heads = study.folder / "study" / "heads"
    empty_heads(heads, 4)
    study.fill_with_nothing()
    assert not study.plan("all").rules
    (heads / "S2_T1_DLMUSE.nii.gz").write_bytes(b"other labels")
    plan = study.plan("all")
    assert plan.of("Simulating the scans of") == ["tiny-train"]
    assert "because of input: phantom 1" in plan.output
