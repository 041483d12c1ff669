# Configuration and every helper function of the rules. Needs only what Snakemake itself installs.

import atexit
import glob
import hashlib
import json
import os
import secrets
import shlex
import sys
import tempfile
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from snakemake.exceptions import LockException, WorkflowError
from snakemake.resources import GroupResources
from snakemake.settings.types import DeploymentMethod

REPOSITORY = Path(workflow.basedir).parent
sys.path.insert(0, str(REPOSITORY))

from relad.errors import ReladError
from relad.fileio import write_text
from relad.orphans import STARTED_BY
from relad.study import catalogue, paths, progress, resources, site
from relad.study import config as configuration
from relad.study.fingerprints import fingerprint
from relad.study.plan import Job, Submission, summary
from relad.study.planned import VARIABLE, Code, Planned, workflow_code
from relad.study.running import PLANS, governed
from relad.study.sampling import Sampling, of_method, samplings
from relad.study.settings import ResultSettings, of_job, plain, typed
from relad.study.subjects import check_counts, check_overrides, cohort_subjects
from relad.study.subjects import collections_of, has_ceiling, load_source, source_module


def told(work, *arguments, **options):
    """Do ``work``; an error of relad's becomes one of the workflow's, without a traceback."""
    try:
        return work(*arguments, **options)
    except ReladError as error:
        raise WorkflowError(str(error)) from None


# Snakemake has read these files already, and of a key that stands twice it keeps the last.
for file in workflow.overwrite_configfiles if workflow.is_main_process else ():
    if Path(file).suffix != ".json":
        told(configuration.read_yaml, file)

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
    sampler="[a-z]+-[0-9]+(-t[0-9.]+)?(x[0-9]+)?",


def people_of(cohorts, training):
    """BIDS labels of every cohort's subjects; refuses a training cohort that must be too small."""
    found = {cohort: cohort_subjects(cohort, entry) for cohort, entry in cohorts.items()}
    validation = STUDY["training"]["validation"]["subjects"]
    count = STUDY["folds"]["count"]
    check_counts(training, len(found[training]), folds=count, validation=validation)
    for cohort, people in found.items():
        overridden = [o["subject"] for o in STUDY["qc"]["overrides"] if o["cohort"] == cohort]
        if cohorts[cohort]["source"] != "packed":
            check_overrides(cohort, overridden, people)
        elif overridden:
            raise ReladError(f"qc.overrides: cohort {cohort} was judged and packed elsewhere")
    return found


# Jobs on a cluster read this file again, perhaps days later: they take what the controller decided.
if workflow.is_main_process:
    STUDY = told(configuration.resolve, config)
    COHORTS = STUDY["cohorts"]
    TRAINING_COHORT = configuration.training_cohort(STUDY)
    SUBJECTS = told(people_of, COHORTS, TRAINING_COHORT)
    # What the cluster wants is nothing to jobs of this machine. Where jobs are submitted by another
    # scheduler than SLURM, nothing is known of its nodes.
    SUBMITS = workflow.resource_settings.nodes is not None
    SITE = told(site.load) if SUBMITS else site.load(None)
    OFFER = told(site.offer, SITE) if SUBMITS else None
    SITE = site.fitting(SITE, OFFER)
    CORES = site.most_cores(workflow.resource_settings.cores, OFFER) if OFFER else None
    WORKFLOW = workflow_code()
    PLAN = Path(".snakemake", PLANS, f"{secrets.token_hex(8)}.json").resolve()
    os.environ[VARIABLE] = str(PLAN)
else:
    PLANNED = told(Planned.read, Path(os.environ[VARIABLE]))
    STUDY = PLANNED.study
    COHORTS = STUDY["cohorts"]
    TRAINING_COHORT = configuration.training_cohort(STUDY)
    SUBJECTS = PLANNED.subjects
    OFFER = None
    SITE, CORES = PLANNED.site, PLANNED.cores


envvars:
    VARIABLE,


def study_samplings():
    """Samplings that the sampler study compares; none where the configuration has no study."""
    try:
        return samplings(STUDY["sampler_study"]) if "sampler_study" in STUDY else []
    except ValueError as error:
        raise WorkflowError(f"sampler_study: {error}") from None


# --- what a dry run says -------------------------------------------------------------------------


def reasons_of(job):
    """Why a job runs of itself: what Snakemake found changed or missing, in relad's words."""
    reason = workflow.dag.reason(job)
    if reason.params_changed:
        changed = map(str, reason.params_changed.only_new)
        here = str(paths.settings("", "").parent)
        yield from sorted({"settings" if here in value else "code" for value in changed})
    elif reason.updated_input or reason.input_changed:
        yield "input"
    elif reason.missing_output and not reason.updated_input_run:
        yield "missing output"
    elif reason.forced or reason.incomplete_output:
        yield "force" if reason.forced else "incomplete output"


def submissions():
    """What a cluster would be asked for: jobs, and groups of jobs."""
    needed = [job for job in workflow.dag.needrun_jobs(exclude_finished=False) if not job.is_norun]
    for each in dict.fromkeys(workflow.dag.get_job_group(job) or job for job in needed):
        jobs, asked = [each], each.resources
        if each.is_group():
            # Its own `resources` are those of a run on this machine, which a dry run is taken for.
            jobs, limits = list(each), workflow.global_resources
            asked = GroupResources.basic_layered(list(each.toposorted), limits, run_local=False)
        people = {job.wildcards.subject for job in jobs if "subject" in job.wildcards.keys()}
        yield Submission(len(people), asked["_cores"], asked["mem_mb"], asked["runtime"])


def say_plan():
    """Last words of `snakemake -n`, below Snakemake's own pages."""
    if workflow.dryrun and workflow.dag is not None:
        jobs = [
            Job(str(job.rule), dict(job.wildcards.items()), tuple(reasons_of(job)))
            for job in workflow.dag.needrun_jobs(exclude_finished=False)
        ]
        submits = workflow.resource_settings.nodes is not None
        print("\n".join(summary(jobs, submissions() if submits else ())))


atexit.register(say_plan)


def keep_plan():
    """Write down what a run is to do, which `relad status` compares with what it has done.

    Not of `--touch`, whose jobs write no logs: they would be taken to wait.
    """
    if not workflow.touch:
        jobs = [(job.log[0], workflow.dag.needrun(job)) for job in workflow.dag.jobs if job.log]
        told(progress.keep, sys.argv[1:], jobs)


workflow.execute = governed(workflow, refused=LockException, told=WorkflowError)


# --- how a step is called -----------------------------------------------------------------------


DEPLOYMENT = workflow.deployment_settings.deployment_method
IMAGE = REPOSITORY / "envs" / "relad.sif"


def interpreter():
    """Python of the job: that of its environment or image, or else the one Snakemake runs in."""
    elsewhere = {DeploymentMethod.CONDA, DeploymentMethod.APPTAINER} & set(DEPLOYMENT)
    return "python" if elsewhere else sys.executable


# Named only where it is used, and from the working folder: Snakemake refuses an image whose path has a
# space in it, and would make everything again in a clone that was moved.
if DeploymentMethod.APPTAINER in DEPLOYMENT:
    if not IMAGE.exists():
        raise WorkflowError(
            f"{IMAGE}: no such image -- apptainer build {shlex.quote(str(IMAGE))} "
            f"{shlex.quote(str(IMAGE.with_suffix('.def')))}, in {REPOSITORY}"
        )

    container: os.path.relpath(IMAGE)


# Lets a rule's command read as a user would type it; the launcher finds the package in any
# environment. The numerical libraries get one thread, or the fixed number that a rule puts into
# LIBRARY_THREADS: not Snakemake's {threads}, which it lowers to the cores at hand, since another
# number of threads may round differently. The step takes the place of the job's shell, whose parent
# it is told: it ends where that one is killed outright, and no rule has words after it. What SLURM
# starts in several tasks (RELAD_TASKS), perhaps on other nodes, ends with its job instead. Snakemake formats
# the prefix, hence the doubled braces.
LAUNCH = shlex.join([interpreter(), str(REPOSITORY / "workflow" / "relad.py")])
shell.prefix(f"""
    relad() {{
      local threads=${{LIBRARY_THREADS:-1}}
      export OMP_NUM_THREADS=$threads MKL_NUM_THREADS=$threads OPENBLAS_NUM_THREADS=$threads
      export ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS=$threads
      [ -n "${{RELAD_TASKS:=}}" ] || export {STARTED_BY}=$PPID
      exec $RELAD_TASKS {LAUNCH} "$@"
    }}
    """.replace("{", "{{").replace("}", "}}"))


def kept(step, text, suffix):
    """File below results/settings that holds a text, named by its hash; a plan writes none."""
    name = hashlib.sha256(text.encode()).hexdigest()[:16]
    file = paths.settings(step, name + suffix)
    runs = workflow.executor_plugin is not None and not workflow.dryrun
    if runs and not file.exists():
        told(write_text, file, text)
    return str(file)  # a path would not be compared, see uncompared


def settings(step, **changes):
    """Parameter function: the file of what a step reads of the configuration.

    Its name changes with its content, so that Snakemake runs exactly the jobs that read a changed
    value. ``changes`` maps a section to a function of the wildcards that gives its changed keys.
    """

    def of_wildcards(wildcards):
        part = plain(told(of_job, step, STUDY, **dict(wildcards.items())))
        for section, change in changes.items():
            part[section] |= change(wildcards)
        return kept(step, json.dumps(part, indent=1), ".json")

    return of_wildcards


def uncompared(parameter):
    """Parameter function: as ``parameter``, but no reason to run a job again when it changes.

    Snakemake compares numbers and text, and no paths. Not `ancient` instead, by which a job would
    lose its own reasons to run: those of every job after one that runs are not looked at.
    """
    return lambda wildcards: Path(parameter(wildcards))


def words(step, listing):
    """Parameter function: file of words for a command line that would be too long otherwise.

    ``listing`` gives the words of the job's input; relad reads such a file as ``@FILE``.
    """

    def of_input(wildcards, input):
        return kept(step, "".join(f"{word}\n" for word in listing(input)), ".txt")

    return of_input


def sampling_of(wildcards):
    """What the sampling that ``sampler`` names changes in the section of its name."""
    sampling = Sampling.parse(wildcards.sampler)
    return asdict(sampling)


def no_sampling_of_its_own(wildcards):
    trained_as = STUDY["methods"][wildcards.method]["trained_as"]
    return {wildcards.method: {"sampling": {}, "trained_as": trained_as}}


#: Step -> the wildcard that decides which code it runs beside its own.
CODE_BY = {
    **dict.fromkeys(("train", "search", "synthesize"), "method"),
    "ingest": "cohort",
    **dict.fromkeys(("tables", "figures"), "name"),
}


def modules_of(step, name=None):
    """Modules whose code a step runs for a value of its wildcard in ``CODE_BY``."""
    if step not in CODE_BY or name not in variants(step):
        return (f"relad.steps.{step}",)
    return (f"relad.steps.{step}", variants(step)[name])


def variants(step):
    """Module of what a step's job names, by that name."""
    if CODE_BY[step] == "method":
        return {m: entry["class"].partition(":")[0] for m, entry in STUDY["methods"].items()}
    if CODE_BY[step] == "cohort":
        return {cohort: source_module(entry["source"]) for cohort, entry in COHORTS.items()}
    return {name: result.module for name, result in RESULTS[step].items()}


def code(step):
    """Parameter function: hash of the code a step runs, with that of what its job names.

    That of the plan, also in a job: Snakemake records it, and compares it again in there.
    """

    def of_wildcards(wildcards):
        modules = modules_of(step, getattr(wildcards, CODE_BY.get(step, ""), None))
        if workflow.is_main_process:
            return told(fingerprint, *modules)
        require_planned(step, wildcards, modules)
        return PLANNED.of_modules(modules)

    of_wildcards.step = step
    return of_wildcards


def require_planned(step, wildcards, modules):
    """In a job on a cluster, before Snakemake removes anything: stop where the code was edited."""
    mine = [
        workflow.get_rule(target.rulename)
        for target in workflow.dag_settings.target_jobs
        if target.rulename.removesuffix("_sampler") == step
        and target.wildcards_dict == dict(wildcards.items())
    ]
    try:
        PLANNED.require_workflow()
        if mine:  # not of a job that is up to date, and looked at for those that follow from it
            PLANNED.require_code(modules)
    except ReladError as error:
        for log in (log for of in mine for log in of.expand_log(wildcards)):
            write_text(log, f"relad {step}: error: {error}\n")
        raise WorkflowError(str(error)) from None


def write_plan():
    """For the jobs of this run: what was decided, see relad/study/planned.py."""
    steps = {rule.params.code.step for rule in workflow.rules if hasattr(rule.params, "code")}
    every = {
        modules_of(s, name) for s in steps for name in (variants(s) if s in CODE_BY else [None])
    }
    codes = tuple(told(Code.of, modules) for modules in sorted(every))
    PLAN.parent.mkdir(parents=True, exist_ok=True)
    Planned(STUDY, SUBJECTS, SITE, CORES, WORKFLOW, codes).write(PLAN)


def end_run():
    """Leave no job behind that is not started yet, and no plan.

    Snakemake's plugin for SLURM cancels what it knows of when it is interrupted, and goes on
    submitting what was waiting to be submitted. How the run ended was said already, also where a
    disk is why.
    """
    with suppress(OSError):
        PLAN.unlink()
    scheduler = getattr(workflow, "scheduler", None)
    run = getattr(getattr(scheduler, "_executor", None), "run_uuid", None)
    if run is not None:
        site.cancel(run)


onstart:
    write_plan()
    keep_plan()


if workflow.is_main_process:
    atexit.register(end_run)


# --- what a job asks for --------------------------------------------------------------------------

# To this limit, which is that of `--cores`, Snakemake lowers the threads of rules, and it runs less of
# a group at once.
if OFFER is not None:
    workflow.resource_settings.cores = CORES
    workflow.global_resources["_cores"] = CORES


SCANS = resources.Scans()


def scan_of(wildcards):
    """Largest T1w or FLAIR of the job's person; None before the scans are BIDS."""
    if not hasattr(wildcards, "subject"):
        return None
    return SCANS.largest(paths.bids(wildcards.cohort) / f"sub-{wildcards.subject}")


def scratch(wildcards):
    """Folder for temporary files of a job, said on its node; of a plan, or --touch, the usual one."""
    on_node = not workflow.is_main_process
    return told(site.scratch_folder, SITE) if on_node else tempfile.gettempdir()


def needs(step):
    """Resources of a rule: memory and time from the size of the data, and what the site says."""

    def of_job(wildcards, threads, attempt):
        size = resources.size_of(
            step, STUDY, SUBJECTS, dict(wildcards.items()), jobs=threads, scan=scan_of(wildcards)
        )
        return resources.request(step, size, attempt)

    def memory(wildcards, threads, attempt):
        mem_mb, _ = of_job(wildcards, threads, attempt)
        if OFFER is None or attempt == 1:
            return mem_mb
        # More than any node has would be refused. What does not even fit at first is refused.
        return min(mem_mb, max(of_job(wildcards, threads, 1)[0], OFFER.memory_mb))

    def runtime(wildcards, threads, attempt):
        return of_job(wildcards, threads, attempt)[1]

    on_cpu = step != "synthesize" and STUDY["training"]["device"] == "cpu"
    with_gpu = step in ("train", "search", "synthesize") and SITE.gpu.count > 0 and not on_cpu
    gpu = SITE.gpu if with_gpu else None
    processes = training_processes() if step == "train" else 1
    wanted = {
        "mem_mb": memory,
        "runtime": runtime,
        "slurm_account": SITE.account,
        "slurm_partition": (gpu and gpu.partition) or SITE.partition,
        "gpu": gpu and gpu.count * processes,
        "gpu_model": gpu and gpu.model,
    }
    if processes > 1 and CORES is not None:
        # One task each, on one node; the rule's own command starts them (srun) within the job. Not
        # as many tasks for each GPU.
        wanted |= {"mpi": "srun", "tasks": processes, "tasks_per_gpu": 0, "nodes": 1}
        wanted["cpus_per_task"] = min(library_threads("training"), CORES)
    if resources.COSTS[step].grouped:
        # Limited within a group, see the profile. What is tried again with more memory has fewer
        # people at a time, so that no group asks for more than it did at first.
        wanted["people"] = lambda wildcards, attempt: attempt
    if SITE.scratch:
        wanted["tmpdir"] = scratch
    return {name: value for name, value in wanted.items() if value is not None}


def library_threads(section):
    """Threads that the configuration gives the numerical libraries of a step."""
    return STUDY[section]["threads"]


def training_processes():
    """Processes that share one training."""
    return STUDY["training"]["processes"]


def tasks(wildcards, resources):
    """Words before a command that SLURM is to start in several tasks; none where it is not.

    What follows from resources is no reason to run a job again.
    """
    if "mpi" not in resources.keys():
        return ""
    asked = {"ntasks": resources.tasks, "cpus-per-task": resources.cpus_per_task}
    options = " ".join(f"--{name}={value}" for name, value in asked.items())
    return f"{resources.mpi} {options} --kill-on-bad-exit=1"


# --- where the scans of a cohort are ------------------------------------------------------------


def cohorts_from(*sources):
    """Wildcard constraint: the cohorts with one of these sources; matches nothing if none has."""
    names = [c for c, entry in COHORTS.items() if entry["source"] in sources]
    return "|".join(names) or "(?!)"


def cohort_entry(wildcards):
    if wildcards.cohort not in COHORTS:
        raise WorkflowError(f"{wildcards.cohort!r} is not one of the cohorts: {', '.join(COHORTS)}")
    return COHORTS[wildcards.cohort]


def raw_scans(wildcards):
    entry = cohort_entry(wildcards)
    return paths.raw(wildcards.cohort) if entry["source"] == "phantom" else entry["path"]


def head_files(wildcards):
    """Files of the real heads that a cohort is simulated in; none where they are made up."""
    entry = cohort_entry(wildcards)
    return told(load_source("phantom").files, entry.get("phantom", {}))


def truth(wildcards):
    """The folder in which it is known of a cohort what anatomy determines of its PET, if it is."""
    simulated = cohort_entry(wildcards)["source"] == "phantom"
    return [paths.raw(wildcards.cohort)] if simulated else []


def truth_option(wildcards):
    return ["--truth", paths.truth(wildcards.cohort)] if truth(wildcards) else []


def ingest_files(wildcards):
    """Files beside a cohort's scans: after an edit the scans are ingested again."""
    entry = cohort_entry(wildcards)
    return [*collections_of(entry), *([entry["checksums"]] if "checksums" in entry else [])]


def ingest_options(wildcards):
    """Files that go with a cohort's scans; a simulated cohort's collection is in its folder."""
    entry = cohort_entry(wildcards)
    options = ["--source", entry["source"]]
    options += ["--collection", *collections_of(entry)] if "collection" in entry else []
    return [*options, "--checksums", entry["checksums"]] if "checksums" in entry else options


def bids_dataset(wildcards):
    cohort_entry(wildcards)
    return paths.bids(wildcards.cohort)


def own_labels(wildcards):
    """A person's labels and the table of their names, where the study says where they are."""
    patterns = [STUDY["segmentation"][key] for key in ("labels", "table")]
    of_person = [p.replace("{subject}", wildcards.subject) for p in patterns if p]
    return [f for p in of_person for f in glob.glob(glob.escape(p).replace("{session}", "*"))]


def unless_temporary(output, stays):
    """An output, or one that goes once nobody needs it."""
    return output if stays else temp(output)


def normalized_subjects(wildcards):
    cohort_entry(wildcards)
    return [paths.normalized(wildcards.cohort, subject) for subject in SUBJECTS[wildcards.cohort]]


def registered_subjects(wildcards):
    cohort_entry(wildcards)
    return [paths.registered(wildcards.cohort, subject) for subject in SUBJECTS[wildcards.cohort]]


def normalized_folders(input):
    return input.normalized


def packed(cohort):
    """A cohort's packed dataset: made here, or brought along by the source ``packed``.

    What was brought along is as old as its copy, which says nothing on the models beside it.
    """
    entry = COHORTS.get(cohort, {})
    return ancient(entry["path"]) if entry.get("source") == "packed" else paths.packed(cohort)


def packed_cohort(wildcards):
    return packed(wildcards.cohort)


# --- what a table or figure is made of ----------------------------------------------------------

MODEL_FILES = (paths.WEIGHTS, paths.TRAINING_LOG, paths.TRAINING_RECORD)
COMPARED = typed(ResultSettings, STUDY)
SAMPLINGS = study_samplings()


def cohorts_of(result):
    return [cohort for cohort, entry in COHORTS.items() if result.shows(entry["role"])]


def methods_of(result):
    if result.group is None:
        return STUDY["sampler_study"]["methods"] if SAMPLINGS else []
    return list(dict.fromkeys(m for of in result.comparisons(COMPARED.methods) for m in of))


def of_samples(method):
    """Whether a method's image is the mean of several samples."""
    sampling = of_method(STUDY, STUDY["methods"][method])
    return sampling is not None and sampling.samples > 1


def shown(kind):
    """Tables or figures by name; a study without external cohort or ablations lacks theirs."""
    found = catalogue.of_study(kind, COMPARED.methods)
    return {n: result for n, result in found.items() if cohorts_of(result) and methods_of(result)}


# By the step that makes them. Asked for alone, one runs nothing but what it shows.
RESULTS = {"tables": shown(catalogue.TABLE), "figures": shown(catalogue.FIGURE)}
OF_ALL = [
    result
    for of in RESULTS.values()
    for result in of.values()
    if result.of_all and (not result.of_samples or any(map(of_samples, methods_of(result))))
]


def runs(cohorts, methods):
    """Every (cohort, method, fold, seed) of some cohorts and methods."""
    return [
        (cohort, method, fold, seed)
        for cohort in cohorts
        for method in methods
        for fold in STUDY["folds"]["run"]
        for seed in STUDY["seeds"]
    ]


def model(method, fold, seed):
    """Folder of the trained model that a method samples: its own, or that of the entry it shares."""
    return paths.model(STUDY["methods"][method]["trained_as"], fold, seed)


def model_file(name):
    """Input function: a file of the model that ``wildcards.method`` samples."""

    def of_wildcards(wildcards):
        told(of_job, "synthesize", STUDY, **dict(wildcards.items()))  # refuses an unknown method
        return model(wildcards.method, wildcards.fold, wildcards.seed) / name

    return of_wildcards


def models_of(every):
    """Folders of the models of some runs, each once."""
    return list(dict.fromkeys(model(*run) for _, *run in every))


def results_of(step):
    """Input function of ``tables`` and ``figures``: the results that ``wildcards.name`` shows."""

    def of_job(wildcards):
        result = RESULTS[step][wildcards.name]
        every = runs(cohorts_of(result), methods_of(result))
        if result.group is None:
            metrics = [
                paths.sampled(cohort, method, sampling.name, *run).with_suffix(".csv")
                for cohort, method, *run in every
                for sampling in SAMPLINGS
            ]
        else:
            metrics = [paths.evaluated(*run) for run in every]
        if catalogue.CEILING in result.needs:
            known = [c for c in cohorts_of(result) if told(has_ceiling, COHORTS[c])]
            metrics += [paths.ceiling(cohort) for cohort in known]
        made_of = {
            "metrics": metrics,
            "synthesized": [paths.synthesized(*run) for run in every],
            "packed": [packed(cohort) for cohort in cohorts_of(result)],
        }
        given = {part: made_of[part] if part in result.needs else [] for part in made_of}
        # Whatever compares methods is given their models: it tells whether they can be compared.
        models = models_of(every)
        return given | {"models": [model / file for model in models for file in MODEL_FILES]}

    return of_job


def made(kind):
    """Files of a table or figure of any name: the first for the report, the last its caption."""
    path = {catalogue.TABLE: paths.table, catalogue.FIGURE: paths.figure}[kind]
    first, *others = catalogue.SUFFIXES[kind]
    return [path("{name}", suffix) for suffix in (first, catalogue.RECORDS[kind], *others)]


def caption(wildcards, output):
    """Parameter function: what the report says of a table or figure, read once it is made."""
    return catalogue.Caption(output[-1])


def made_of(input):
    """Words for what a table or figure is made of: files of numbers, and folders by option."""
    models = dict.fromkeys(Path(file).parent for file in input.models)
    options = {"--models": models, "--synthesized": input.synthesized, "--packed": input.packed}
    return [*input.metrics, *(word for option in options for word in (option, *options[option]))]


def all_results():
    return [str(file).format(name=result.name) for result in OF_ALL for file in made(result.kind)]


def all_quality():
    made_here = [c for c, entry in COHORTS.items() if entry["source"] != "packed"]
    return [paths.quality(cohort) / "index.html" for cohort in made_here]


def all_pages():
    return [paths.report(), paths.paper() / "paper.tex"] if OF_ALL else []


def first_forms(input):
    """Of tables and figures in all their forms, the one by which a step is told of each."""
    firsts = {f".{forms[0]}" for forms in catalogue.SUFFIXES.values()}
    return [file for file in input.results if Path(file).suffix in firsts]


def shown_results(input):
    """Words for the tables and figures that a page of the study shows, and their quality."""
    return [*first_forms(input), "--qc", *(Path(file).parent for file in input.quality)]


def all_runs():
    every = [run for result in OF_ALL for run in runs(cohorts_of(result), methods_of(result))]
    return list(dict.fromkeys(every))


def all_models():
    """Weights of every method: asked for, or Snakemake would not miss one that was deleted."""
    return [folder / paths.WEIGHTS for folder in models_of(all_runs())]


def all_searches():
    """Of every method that has something to search, in each fold: one has no test subject's of another."""
    methods = [m for m in STUDY["methods"] if m in STUDY["tuning"]["space"]]
    return [
        paths.search(method, fold) / "search.json"
        for method in methods
        for fold in STUDY["folds"]["run"]
    ]


def all_synthetic_pet():
    return [paths.synthesized(*run) for run in all_runs()]


def all_derivatives():
    """Of every cohort that models are applied to, and every model that is."""
    applied = {c: entry["methods"] for c, entry in COHORTS.items() if entry["role"] == "apply"}
    return [paths.derivatives(*run) for c, methods in applied.items() for run in runs([c], methods)]
