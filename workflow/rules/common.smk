# Configuration and every helper function of the rules. Needs only what Snakemake itself installs.

import json
import shlex
import sys
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.settings.types import DeploymentMethod

REPOSITORY = Path(workflow.basedir).parent
sys.path.insert(0, str(REPOSITORY))

from relad.errors import ReladError
from relad.study import config as relad_config
from relad.study import paths
from relad.study.fingerprints import sources
from relad.study.sampling import Sampling, samplings
from relad.study.subjects import cohort_subjects, collections_of

# A study's own file replaces the default one: Snakemake would merge them, cohorts and all. A file or
# --config without cohorts changes single values of the default study.
if "cohorts" not in config:

    configfile: REPOSITORY / "config" / "config.yaml"


wildcard_constraints:
    cohort="[A-Za-z0-9][A-Za-z0-9-]*",
    subject="[A-Za-z0-9]+",
    method="[a-z0-9][a-z0-9-]*",
    fold="[0-9]+",
    seed="[0-9]+",
    sampler="[a-z]+-[0-9]+(x[0-9]+)?",


def read_study():
    """Checked and resolved configuration, with the subjects of each cohort.

    Returns
    -------
    (configuration, cohort name -> BIDS labels)
    """
    try:
        study = relad_config.resolve(config)
        role_train = [c for c, entry in study["cohorts"].items() if entry["role"] == "train"]
        if len(role_train) != 1:
            raise ReladError(
                f"one cohort must have the role train, here {len(role_train)} have",
                hint=f"cohorts: {', '.join(study['cohorts'])}",
            )
        return study, {c: cohort_subjects(c, entry) for c, entry in study["cohorts"].items()}
    except ReladError as error:
        raise WorkflowError(str(error)) from None


STUDY, SUBJECTS = read_study()
COHORTS = STUDY["cohorts"]
TRAINING_COHORT = next(c for c, entry in COHORTS.items() if entry["role"] == "train")
EXTERNAL_COHORTS = [c for c in COHORTS if c != TRAINING_COHORT]
METHODS = relad_config.group_members(STUDY, "main")
ABLATIONS = relad_config.group_members(STUDY, "ablation")
ABLATED = list(dict.fromkeys(STUDY["methods"][a]["ablates"] for a in ABLATIONS))


def study_samplings():
    """Samplings that the sampler study compares; none where the configuration has no study."""
    try:
        return samplings(STUDY["sampler_study"]) if "sampler_study" in STUDY else []
    except ValueError as error:
        raise WorkflowError(f"sampler_study: {error}") from None


# --- how a step is called -----------------------------------------------------------------------


def interpreter():
    """Python of the job: that of its conda environment, or else the one Snakemake runs in."""
    in_conda = DeploymentMethod.CONDA in workflow.deployment_settings.deployment_method
    return "python" if in_conda else sys.executable


# Lets a rule's command read as a user would type it; the launcher finds the package in any
# environment. The numerical libraries get one thread, or the fixed number that a rule puts into
# LIBRARY_THREADS: not Snakemake's {threads}, which it lowers to the cores at hand, since another
# number of threads may round differently. Snakemake formats the prefix, hence the doubled braces.
LAUNCH = shlex.join([interpreter(), str(REPOSITORY / "workflow" / "relad.py")])
shell.prefix(f"""
    relad() {{
      local threads=${{LIBRARY_THREADS:-1}}
      export OMP_NUM_THREADS=$threads MKL_NUM_THREADS=$threads OPENBLAS_NUM_THREADS=$threads
      export ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS=$threads
      {LAUNCH} "$@"
    }}
    """.replace("{", "{{").replace("}", "}}"))


def settings(step):
    """Parameter function: the sections of the configuration a step reads, as JSON.

    Being a parameter, a changed value makes Snakemake run exactly the jobs that read it.
    """

    def of_job(wildcards):
        try:
            return json.dumps(relad_config.section(STUDY, step, **dict(wildcards.items())))
        except ReladError as error:
            raise WorkflowError(str(error)) from None

    return of_job


def sampler_settings(wildcards):
    """Parameter function: as settings("synthesize"), with the sampling that ``sampler`` names."""
    part = json.loads(settings("synthesize")(wildcards))
    sampling = Sampling.parse(wildcards.sampler)
    part["sampling"] |= {
        "sampler": sampling.sampler,
        "steps": sampling.steps,
        "samples": sampling.samples,
    }
    part["methods"][wildcards.method]["sampling"] = {}
    return json.dumps(part)


@cache
def fingerprint(*modules):
    try:
        return relad_config.fingerprint(*sources(*modules))
    except ReladError as error:
        raise WorkflowError(str(error)) from None


def code(step):
    """Parameter function: hash of the code a step runs, with that of the job's method."""

    def of_job(wildcards):
        modules = [f"relad.steps.{step}"]
        if step in ("train", "synthesize") and wildcards.method in STUDY["methods"]:
            modules.append(STUDY["methods"][wildcards.method]["class"].partition(":")[0])
        return fingerprint(*modules)

    return of_job


def library_threads(section):
    """Threads that the configuration gives the numerical libraries of a step."""
    return STUDY[section]["threads"]


# --- where the scans of a cohort are ------------------------------------------------------------


def cohorts_from(*kinds):
    """Wildcard constraint: the cohorts with one of these sources; matches nothing if none has."""
    names = [c for c, entry in COHORTS.items() if entry["source"] in kinds]
    return "|".join(names) or "(?!)"


def cohort_entry(wildcards):
    if wildcards.cohort not in COHORTS:
        raise WorkflowError(f"{wildcards.cohort!r} is not one of the cohorts: {', '.join(COHORTS)}")
    return COHORTS[wildcards.cohort]


def raw_scans(wildcards):
    entry = cohort_entry(wildcards)
    return paths.raw(wildcards.cohort) if entry["source"] == "phantom" else entry["path"]


def ingest_files(wildcards):
    """Files beside a cohort's scans: after an edit the scans are ingested again."""
    entry = cohort_entry(wildcards)
    return [*collections_of(entry), *([entry["checksums"]] if "checksums" in entry else [])]


def ingest_options(wildcards):
    """Files that go with a cohort's scans; a simulated cohort's collection is in its folder."""
    entry = cohort_entry(wildcards)
    options = ["--collection", *collections_of(entry)] if "collection" in entry else []
    return [*options, "--checksums", entry["checksums"]] if "checksums" in entry else options


def bids_dataset(wildcards):
    cohort_entry(wildcards)
    return paths.bids(wildcards.cohort)


def normalized_subjects(wildcards):
    cohort_entry(wildcards)
    return [paths.normalized(wildcards.cohort, subject) for subject in SUBJECTS[wildcards.cohort]]


# --- what a table or figure is made of ----------------------------------------------------------

MODEL_FILES = ("model.safetensors", "log.csv", "train.json")
SUFFIXES = {"tables": ("csv", "tex", "md"), "figures": ("png", "pdf")}

# Name -> (cohorts, methods) whose results it shows. Asked for alone, it runs nothing else.
TABLES = {
    "main": ([TRAINING_COHORT], METHODS),
    "ablation": ([TRAINING_COHORT], ABLATED + ABLATIONS),
    "external": (EXTERNAL_COHORTS, METHODS),
    "runtime": ([TRAINING_COHORT], METHODS),
}
FIGURES = {
    "panels": ([TRAINING_COHORT], METHODS),
    "panels_external": (EXTERNAL_COHORTS, METHODS),
    "distributions": ([TRAINING_COHORT], METHODS),
    "distributions_external": (EXTERNAL_COHORTS, METHODS),
    "ablation": ([TRAINING_COHORT], ABLATED + ABLATIONS),
    "training_curves": ([TRAINING_COHORT], METHODS),
    "runtime": ([TRAINING_COHORT], METHODS),
}
# A study without external cohort or without ablations lacks their tables and figures.
TABLES = {name: part for name, part in TABLES.items() if all(part)}
FIGURES = {name: part for name, part in FIGURES.items() if all(part)}

# Those that `all` makes; the following are made when asked for by name.
TABLES_OF_ALL, FIGURES_OF_ALL = list(TABLES), list(FIGURES)
for group in relad_config.own_groups(STUDY):
    TABLES[group] = FIGURES[group] = ([TRAINING_COHORT], relad_config.group_members(STUDY, group))
SAMPLINGS = study_samplings()
if SAMPLINGS:
    TABLES["samplers"] = FIGURES["samplers"] = (
        [TRAINING_COHORT],
        STUDY["sampler_study"]["methods"],
    )


def runs(cohorts, methods):
    """Every (cohort, method, fold, seed) of some cohorts and methods."""
    return [
        (cohort, method, fold, seed)
        for cohort in cohorts
        for method in methods
        for fold in STUDY["folds"]["run"]
        for seed in STUDY["seeds"]
    ]


def results_of(parts):
    """Input function of ``tables`` and ``figures``: the results that ``wildcards.name`` shows."""

    def of_job(wildcards):
        cohorts, methods = parts[wildcards.name]
        if wildcards.name == "samplers":
            every = [
                paths.sampled(cohort, method, sampling.name, *run).with_suffix(".csv")
                for cohort, method, *run in runs(cohorts, methods)
                for sampling in SAMPLINGS
            ]
            return {"metrics": every, "synthesized": [], "models": [], "packed": []}
        return {
            "metrics": [paths.evaluated(*run) for run in runs(cohorts, methods)],
            "synthesized": [paths.synthesized(*run) for run in runs(cohorts, methods)],
            "models": [
                paths.model(*run[1:]) / file
                for run in runs(cohorts[:1], methods)
                for file in MODEL_FILES
            ],
            "packed": [paths.packed(cohort) for cohort in cohorts],
        }

    return of_job


def folders(field):
    """Parameter function: the folders that hold the files of an input."""

    def of_job(wildcards, input):
        return list(dict.fromkeys(str(Path(file).parent) for file in input[field]))

    return of_job


def all_tables():
    return [paths.table(name, suffix) for name in TABLES_OF_ALL for suffix in SUFFIXES["tables"]]


def all_figures():
    return [paths.figure(name, suffix) for name in FIGURES_OF_ALL for suffix in SUFFIXES["figures"]]


def all_quality():
    return [paths.quality(cohort) / "index.html" for cohort in COHORTS]


def all_models():
    """Weights of every method: asked for, or Snakemake would not miss one that was deleted."""
    every = runs([TRAINING_COHORT], METHODS + ABLATIONS)
    return [paths.model(*run[1:]) / "model.safetensors" for run in every]


def all_synthetic_pet():
    every = runs([TRAINING_COHORT], METHODS + ABLATIONS) + runs(EXTERNAL_COHORTS, METHODS)
    return [paths.synthesized(*run) for run in every]
