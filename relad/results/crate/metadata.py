"""``ro-crate-metadata.json`` of a study: RO-Crate 1.1, profile Workflow Run Crate 0.5.

https://w3id.org/ro/crate/1.1 and https://w3id.org/ro/wfrun/workflow/0.5. Every run of a step is an
action: what it was given, what came of it, and by which version of the code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from relad import __version__
from relad.cli import STEPS
from relad.fileio import sha256_of
from relad.results.crate.contents import WORKFLOW, Contents
from relad.results.runs import Run, kinds_of, read_evaluation
from relad.status import note_of
from relad.study import catalogue
from relad.study.paths import CRATE, TRAINING_LOG, TRAINING_RECORD

_CRATE = "https://w3id.org/ro/crate/1.1"
_WORKFLOW_CRATE = "https://w3id.org/workflowhub/workflow-ro-crate/1.0"
_PROFILES = {
    "https://w3id.org/ro/wfrun/process/0.5": ("Process Run Crate", "0.5"),
    "https://w3id.org/ro/wfrun/workflow/0.5": ("Workflow Run Crate", "0.5"),
    _WORKFLOW_CRATE: ("Workflow RO-Crate", "1.0"),
}
#: What RO-Crate 1.1 has no term for; defined here, so that reading needs no further file.
_SHA256 = "https://w3id.org/ro/terms/workflow-run#sha256"
_SOFTWARE_LICENCE = "https://spdx.org/licenses/Apache-2.0"
_SNAKEMAKE = "https://w3id.org/workflowhub/workflow-ro-crate#snakemake"
_MEDIA = {
    "csv": "text/csv", "md": "text/markdown", "tex": "text/x-tex", "json": "application/json",
    "png": "image/png", "pdf": "application/pdf", "txt": "text/plain", "html": "text/html",
    "bib": "text/x-bibtex",
}  # fmt: skip
#: What every file of a kind is, by the end of its name.
_TOLD = {
    ".table.json": "what the table of this name was made of, file by file with hashes",
    ".figure.json": "what the figure of this name was made of, file by file with hashes",
    TRAINING_RECORD: "record of a training: people by part, settings, code, versions, cost",
    TRAINING_LOG: "losses and validation of a training, by update",
    "synthesis.json": "record of a synthesis",
    "dataset.json": "description of a packed cohort: tracers, windows, grid, checksums",
    "report.html": "the study on one page",
    ".csv": "metric rows: one value of one subject a line",
    ".json": "record of an evaluation",
    ".tex": "part of the skeleton of the study's paper",
    ".bib": "what the paper cites",
    ".smk": "rules of the workflow",
    "Snakefile": "the workflow, from raw scans to tables and figures",
}
_BIOSCHEMAS = "https://bioschemas.org/profiles/ComputationalWorkflow/1.0-RELEASE"


def metadata(
    study: Contents, *, name: str, licence: str, date: str, authors: Sequence[str]
) -> dict[str, Any]:
    """Describe a study.

    Parameters
    ----------
    study
        What goes into the crate.
    name
        Of the study.
    licence
        Address of the licence of its results; that of the software is told beside it.
    date
        Of publication, ISO 8601.
    authors
        Names.
    """
    actions = [_action(study, run) for run in study.runs] + [_whole(study)]
    steps = list(dict.fromkeys(run.step for run in study.runs))
    people = [
        {"@id": f"#author-{number}", "@type": "Person", "name": author}
        for number, author in enumerate(authors, 1)
    ]
    note = note_of(kinds_of(study.runs).values())
    root = {
        "@id": "./",
        "@type": "Dataset",
        "name": name,
        "description": _description(study, note),
        "datePublished": date,
        "license": _id(licence),
        "conformsTo": [_id(profile) for profile in _PROFILES],
        "mainEntity": _id((WORKFLOW / "Snakefile").as_posix()),
        "hasPart": [_id(place.as_posix()) for place in sorted(study.files)],
        "mentions": [_id(action["@id"]) for action in actions],
        **({"author": _one_or_list([_id(person["@id"]) for person in people])} if people else {}),
        **({"keywords": note} if note else {}),
    }
    descriptor = {
        "@id": CRATE,
        "@type": "CreativeWork",
        "about": _id("./"),
        "conformsTo": [_id(_CRATE), _id(_WORKFLOW_CRATE)],
    }
    graph = [
        descriptor,
        root,
        *(_file(study, place, file) for place, file in sorted(study.files.items())),
        *actions,
        *(_step(study, step) for step in steps),
        *_software(study),
        *people,
        *(
            {"@id": profile, "@type": "CreativeWork", "name": title, "version": version}
            for profile, (title, version) in _PROFILES.items()
        ),
        {
            "@id": licence,
            "@type": "CreativeWork",
            "name": "Licence of the results",
            "description": "Of the study's tables, figures and records; not of the software.",
        },
        {"@id": _BIOSCHEMAS, "@type": "CreativeWork", "name": "Bioschemas ComputationalWorkflow"},
        {
            "@id": _SOFTWARE_LICENCE,
            "@type": "CreativeWork",
            "name": "Apache License 2.0",
            "identifier": "Apache-2.0",
            "description": "Of relad and its workflow.",
        },
    ]
    unique = {json.dumps(entity["@id"]): entity for entity in graph}
    context = [f"{_CRATE}/context", {"sha256": _SHA256}]
    return {"@context": context, "@graph": list(unique.values())}


def _one_or_list(values: list[dict[str, str]]) -> dict[str, str] | list[dict[str, str]]:
    """As RO-Crate has it: a single value stands by itself."""
    return values[0] if len(values) == 1 else values


def _id(name: str) -> dict[str, str]:
    return {"@id": name}


def _description(study: Contents, note: str) -> str:
    cohorts = dict.fromkeys(run.told["cohort"] for run in study.runs if run.step == "pack")
    methods = dict.fromkeys(run.told["method"] for run in study.runs if run.step == "train")
    told = [
        f"PET synthesised from structural MRI in {', '.join(cohorts)} by {', '.join(methods)}: "
        "tables and figures with everything that they were made of, row by row",
        note,
        *(f"Left out: {file.name} ({why})" for file, why in _left(study)),
    ]
    return ". ".join(filter(None, told)) + "."


def _left(study: Contents) -> list[tuple[Path, str]]:
    """What is left out, each name once."""
    return list({file.name: (file, why) for file, why in study.left.items()}.values())


# --- files ----------------------------------------------------------------------------------------


def _file(study: Contents, place: Path, file: Path) -> dict[str, Any]:
    content = file.read_bytes()
    entity: dict[str, Any] = {
        "@id": place.as_posix(),
        "@type": "File",
        "name": place.name,
        "contentSize": str(len(content)),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    if media := _MEDIA.get(place.suffix[1:]):
        entity["encodingFormat"] = media
    if told := _told(study, place, file):
        entity["description"] = told
    if place.parts[0] == WORKFLOW.name:
        entity |= {"@type": ["File", "SoftwareSourceCode"], "license": _id(_SOFTWARE_LICENCE)}
        entity |= {"encodingFormat": "text/plain", "programmingLanguage": _id(_SNAKEMAKE)}
    if place == WORKFLOW / "Snakefile":
        entity |= {
            "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow"],
            "name": "relad: from raw scans to tables and figures",
            "version": __version__,
            "conformsTo": _id(_BIOSCHEMAS),
            "hasPart": [_id(p.as_posix()) for p in sorted(study.files) if p.suffix == ".smk"],
        }
    return entity


def _told(study: Contents, place: Path, file: Path) -> str | None:
    for origin in study.origins:
        if file.parent == origin.file.parent and file.name.partition(".")[0] == origin.result.name:
            if file == origin.file:
                break
            return " ".join(" ".join(origin.caption).split())
    return next((told for end, told in _TOLD.items() if place.name.endswith(end)), None)


# --- runs -----------------------------------------------------------------------------------------


def _action(study: Contents, run: Run) -> dict[str, Any]:
    """One run of a step: what it was given, what came of it, by which code."""
    given, made = _given_and_made(run)
    objects, results = _among(study, given), _among(study, made)
    settings = json.dumps(run.provenance["settings"], sort_keys=True)
    return {
        "@id": f"#{run.step}-{_slug(study, run.file)}",
        "@type": "CreateAction",
        "name": f"relad {run.step}: {_slug(study, run.file)}",
        "description": f"code {run.provenance['code']}, settings sha256 "
        f"{hashlib.sha256(settings.encode()).hexdigest()[:16]}, which stand in "
        f"{'the result' if results else 'its record, which lies outside of the study'}",
        "instrument": _id(f"#relad-{run.step}"),
        "actionStatus": "http://schema.org/CompletedActionStatus",
        **({"object": _one_or_list(objects)} if objects else {}),
        **({"result": _one_or_list(results)} if results else {}),
    }


def _slug(study: Contents, file: Path) -> str:
    place = study.place(file)
    if place is None:  # told from another of this name by what it says, not by whose folder it is
        digest = sha256_of(file)[:8]
        return f"{file.parent.name}-{file.stem}-{digest}"
    return "-".join(place.with_suffix("").parts)


def _given_and_made(run: Run) -> tuple[list[Path], list[Path]]:
    if run.step in ("evaluate", catalogue.CEILING):
        metrics = run.file.with_suffix(".csv")
        evaluation = read_evaluation(metrics)
        given = [made.path for made in (evaluation.synthesized, evaluation.packed) if made]
        return given, [metrics, run.file]
    if run.step == "train":
        return [], [run.file, run.file.with_name(TRAINING_LOG)]
    if run.step in ("tables", "figures"):
        return _of_origin(run)
    return [], [run.file]


def _of_origin(run: Run) -> tuple[list[Path], list[Path]]:
    from relad.results import origin as origins

    kind = run.step.removesuffix("s")
    first = catalogue.SUFFIXES[kind][0]
    origin = origins.read(run.file.with_name(f"{run.told['result']['name']}.{first}"))
    return [file.path for part in origin.files.values() for file in part], [*origin.forms, run.file]


def _among(study: Contents, files: Iterable[Path]) -> list[dict[str, str]]:
    """Those of some files that are in the crate."""
    places = (study.place(file) for file in files)
    return [_id(place.as_posix()) for place in places if place is not None and place in study.files]


def _whole(study: Contents) -> dict[str, Any]:
    """The run of the workflow, of which every other action is a part."""
    made = [f for o in study.origins for f in (*o.forms, o.file)]
    return {
        "@id": "#study",
        "@type": "CreateAction",
        "name": "Run of the whole workflow",
        "description": "Every other action is one of its jobs.",
        "instrument": _id((WORKFLOW / "Snakefile").as_posix()),
        "actionStatus": "http://schema.org/CompletedActionStatus",
        "result": _one_or_list(_among(study, made)),
    }


# --- software -------------------------------------------------------------------------------------


def _step(study: Contents, step: str) -> dict[str, Any]:
    """A step as software, with the versions of the packages that its runs name."""
    packages = _packages(run for run in study.runs if run.step == step)
    return {
        "@id": f"#relad-{step}",
        "@type": "SoftwareApplication",
        "name": f"relad {step}",
        "description": STEPS[step],
        "softwareVersion": __version__,
        "license": _id(_SOFTWARE_LICENCE),
        "softwareRequirements": _one_or_list([_id(f"#{n}-{v}") for n, v in packages]),
    }


def _packages(runs: Iterable[Run]) -> list[tuple[str, str]]:
    """Name and version of every package that runs name, each once."""
    return list(dict.fromkeys(i for run in runs for i in run.provenance["versions"].items()))


def _software(study: Contents) -> list[dict[str, Any]]:
    """Every version of a package that a run names, and the workflow's language."""
    packages = [
        {
            "@id": f"#{name}-{version}",
            "@type": "SoftwareApplication",
            "name": name,
            "softwareVersion": version,
        }
        for name, version in _packages(study.runs)
    ]
    language = {
        "@id": _SNAKEMAKE,
        "@type": "ComputerLanguage",
        "name": "Snakemake",
        "identifier": _id("https://doi.org/10.12688/f1000research.29032.2"),
        "url": _id("https://snakemake.readthedocs.io"),
    }
    return [language, *packages]
