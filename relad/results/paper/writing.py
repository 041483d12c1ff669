"""The files of the paper, from tables, figures and the records of their runs."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from relad import __version__
from relad.errors import ReladError
from relad.fileio import read_table, write_text
from relad.results.hashed import mentions, relative
from relad.results.latex import escaped_tex
from relad.results.metrics import METRICS
from relad.results.origin import Origin
from relad.results.paper.bibliography import CITED, TEMPLATE, keys_of
from relad.results.paper.separation import separation
from relad.results.paper.tex import filled, macro
from relad.results.runs import Run, kinds_of, left_behind, runs_behind
from relad.results.statistics import SIMULATED
from relad.results.tables.ranks import REPEATS
from relad.results.tables.samplers import sampling_of
from relad.results.verdict import verdicts
from relad.status import note_of
from relad.study.catalogue import TABLE

#: The file that tells what the paper was made of.
NUMBERS = "numbers.tex"
#: Files of a paper; all else in its folder is somebody's own.
NAMES = (NUMBERS, "verdict.tex", "methods.tex", "results.tex", "references.bib", "paper.tex")
#: Columns of a table by which one of its numbers is named, where it has them.
_NAMED_BY = ("family", "cohort", "tracer", "method", "reference", "region", "group", "metric")
#: Columns of a table of decisions that tell how it decided.
_DECIDED_BY = ("metric", "cohort", "n", "comparisons", "margin", "detectable", "seeds")
_DECIDED_BY += ("seed_spread", "trainings")
#: A table of more columns is turned by 90 degrees.
_UPRIGHT = 8


def write(folder: Path, origins: Sequence[Origin]) -> list[Path]:
    """Write the paper of some tables and figures into a folder; other files there are left alone.

    Raises
    ------
    ReladError
        Where the record of a run behind them is missing or damaged, a crate has nothing else of a
        packed cohort, or two rows have one name.
    """
    runs = runs_behind(origins)
    for run in runs:
        if run.step == "pack" and (error := left_behind(run.file)):
            raise error
    facts = _facts(runs, origins)
    texts = (
        _numbers(folder, facts, origins),
        _verdict(origins),
        filled("methods.tex.j2", cited=CITED, **facts["text"]),
        _results(folder, origins),
        filled(TEMPLATE),
        filled("paper.tex.j2", title=facts["title"], note=facts["note"]),
    )
    for name, text in zip(NAMES, texts, strict=True):
        write_text(folder / name, text)
    return [folder / name for name in NAMES]


# --- numbers --------------------------------------------------------------------------------------


def _numbers(folder: Path, facts: Mapping[str, Any], origins: Sequence[Origin]) -> str:
    lines = ["% Written by relad of the study's tables and records; written anew by the next run."]
    lines += [f"% {words}" for words in mentions((o.product for o in origins), folder)]
    lines += [macro(name, value) for name, value in facts["macros"].items()]
    lines += [
        r"\makeatletter",
        r"\newcommand{\cell}[1]{\ifcsname relad@#1\endcsname\csname relad@#1\endcsname\else"
        r"\PackageError{relad}{No table has the number #1}{}\fi}",
    ]
    given: dict[str, Path] = {}
    for origin in (origin for origin in origins if origin.result.kind == TABLE):
        for name, text in cells(origin):
            if name in given:
                raise ReladError(
                    f"has a number {name}, as another row has, of {given[name]}",
                    file=origin.product,
                    hint="a number of a paper needs a name of its own: leave one table out",
                )
            given[name] = origin.product
            lines.append(rf"\@namedef{{relad@{name}}}{{{escaped_tex(text)}}}")
    return "\n".join([*lines, r"\makeatother", ""])


def cells(origin: Origin) -> Iterator[tuple[str, str]]:
    """Yield every number of a table: its name, such as ``main/sim-train/tau/unet/psnr``, and text.

    Rows whose names would be one are told apart by their sampling: ``.../ddim-10x5/psnr``.
    The text is that of the table for reading, with its interval; where this has no such column, or
    leaves the row out, the CSV's.
    """
    rows = read_table(origin.product)
    shown_rows = [row for group in origin.shown["groups"] for row in group]
    read = dict(zip(origin.shown["read"], shown_rows, strict=True))
    labels = {metric.label: name for name, metric in METRICS.items()}
    shown = {labels[h]: i for i, h in enumerate(origin.shown["headers"]) if h in labels}
    keys = [key for key in _NAMED_BY if rows and key in rows[0]]
    names = ["/".join([origin.result.name, *(str(row[k]) for k in keys)]) for row in rows]
    counts = Counter(names)
    for number, (row, name) in enumerate(zip(rows, names, strict=True), start=1):
        texts = read.get(number)
        if counts[name] > 1 and (sampling := sampling_of(row)):
            name = f"{name}/{sampling}"
        for column, value in row.items():
            if column not in (*keys, "sampler") and value is not None:
                yield (
                    f"{name}/{column}",
                    texts[shown[column]] if texts and column in shown else value,
                )


# --- text -----------------------------------------------------------------------------------------


def _verdict(origins: Sequence[Origin]) -> str:
    lines = ["% Written by relad of the study's tables; written anew by the next run."]
    for verdict in (v for v in verdicts(origins) if not v.detail):
        lines.append(rf"\emph{{{escaped_tex(verdict.heading)}.}}")
        lines += [escaped_tex(s if s.endswith(".") else f"{s}.") for s in verdict.sentences]
    return "\n".join([*lines, ""])


def _results(folder: Path, origins: Sequence[Origin]) -> str:
    """Every table and figure as a float, by its path from the paper."""
    lines = ["% Written by relad; written anew by the next run."]
    for origin in origins:
        name = origin.result.name
        if origin.result.kind == TABLE:
            table = rf"\input{{{relative(origin.product.with_suffix('.tex'), folder)}}}"
            wide = len(origin.shown["headers"]) > _UPRIGHT
            lines.append(rf"{{\turned {table}}}" if wide else table)
            continue
        file = origin.product.with_suffix(".pdf")
        warning, text = origin.caption
        bold = rf"\textbf{{{escaped_tex(warning)}.}} " if warning else ""
        lines += [
            r"\begin{figure}",
            r"\centering",
            rf"\includegraphics[width=\textwidth,height=0.75\textheight,keepaspectratio]{{{relative(file, folder)}}}",  # noqa: E501
            rf"\caption{{{bold}{escaped_tex(text)}}}",
            rf"\label{{fig:{name}}}",
            r"\end{figure}",
        ]
    return "\n".join([*lines, r"\clearpage", ""])


# --- facts ----------------------------------------------------------------------------------------


def _facts(runs: Sequence[Run], origins: Sequence[Origin]) -> dict[str, Any]:
    """What the text and its numbers say: ``macros``, ``text``, ``title`` and ``note``."""
    packed = [run for run in runs if run.step == "pack"]
    trained = [run for run in runs if run.step == "train"]
    settings = origins[0].settings
    folds = sorted({run.told["fold"] for run in trained})
    cohorts = [_cohort(run, {str(fold) for fold in folds}) for run in packed]
    seeds = sorted({run.told["seed"] for run in trained})
    iterated = [run.told for run in trained if not run.told["single_pass"]]
    batches = [told["counts"].get("batch_size") for told in iterated]
    validation = [len(told["subjects"]["validation"]) for told in iterated]
    tracers = list(dict.fromkeys(t for run in packed for t in run.told["tracers"]))
    metrics = dict.fromkeys(m for o in origins for m in o.result.metrics if m in METRICS)
    macros = {
        "relad": __version__,
        "CodeHash": _listed(run.provenance["code"] for run in trained),
        "VoxelSize": f"{settings.grid.voxel_mm:g}",
        "Tracers": ", ".join(tracers),
        "Updates": _listed(f"{n:,}" for n in sorted({t["counts"]["updates"] for t in iterated})),
        "BatchSize": _listed(n for n in batches if n is not None),
        "FoldsRun": len(folds),
        "FoldsCount": _listed(c["folds"] for c in cohorts if c["role"] == "train"),
        "Seeds": _listed(seeds),
        "ValidationSubjects": _listed(validation),
        "IntervalLevel": f"{100 * settings.evaluation.interval:g}",
        "Power": f"{100 * settings.evaluation.power:g}",
        **subject_counts(cohorts),
    }
    return {
        "macros": macros,
        "title": f"Synthesis of {', '.join(tracers)} PET from structural MRI",
        "note": note_of(kinds_of(runs).values()),
        "text": {
            "cohorts": cohorts,
            "iterated": bool(iterated),
            "validated": any(validation),
            "preprocessing": _preprocessing(packed),
            "methods": _methods(trained, origins),
            "seeds": f"{len(seeds)} seeds" if len(seeds) != 1 else "one seed",
            "decided": _decided(origins),
            "resamples": f"{REPEATS:,}" if any(_is_of(o, "ranks_table") for o in origins) else None,
            "separation": separation(
                runs, {m: e.trained_as for o in origins for m, e in o.settings.methods.items()}
            ),
            "metrics": [_metric(m, settings.grid.voxel_mm) for m in metrics],
            "packages": ", ".join(
                f"{k} {v}" for k, v in _packages(runs).items() if k not in ("relad",)
            ),
        },
    }


def _listed(values: Any) -> str:
    return ", ".join(dict.fromkeys(map(str, values))) or "none"


def subject_counts(cohorts: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """The number of people of each cohort, by the name of its command.

    Parameters
    ----------
    cohorts
        ``name`` and ``included`` of each.

    Raises
    ------
    ReladError
        Where two of them would have one command.
    """
    named: dict[str, str] = {}
    for cohort in (c["name"] for c in cohorts):
        other = named.setdefault(f"Subjects{_letters(cohort)}", cohort)
        if other != cohort:
            raise ReladError(
                f"cohorts {other} and {cohort}: their numbers of subjects would be one command of "
                "LaTeX's, which knows letters alone",
                hint="rename one, by more than its punctuation",
            )
    return {f"Subjects{_letters(c['name'])}": c["included"] for c in cohorts}


def _letters(name: str) -> str:
    """A name as part of a command, which is of letters alone: ``sim-train2`` is SimTrainC."""
    words = "".join(
        c if c.isalpha() else " " if not c.isdigit() else chr(65 + int(c)) for c in name
    )
    return "".join(word[:1].upper() + word[1:] for word in words.split())


def _cohort(run: Run, folds_run: Container[str]) -> dict[str, Any]:
    rows = read_table(run.file.with_name("subjects.tsv"), needs=("included", "tracers"))
    included = [row for row in rows if row["included"] == "yes"]
    told = run.told
    scans = Counter(tracer for row in included for tracer in (row["tracers"] or "").split(","))
    folds = {row.get("fold") for row in included} - {None}
    return {
        "name": told["cohort"],
        "role": told["role"],
        "kind": f"{told['kind']} data",
        "folds": told.get("folds") or len(folds),
        "run": sum(fold in folds_run for fold in folds),
        "not_run": sum(fold not in folds_run for fold in folds),
        "tested": sum(row.get("fold") in folds_run for row in included),
        "tracers": [f"{tracer} ({scans[tracer]})" for tracer in told["tracers"]],
        "included": len(included),
        "excluded": len(rows) - len(included),
    }


def _preprocessing(packed: Sequence[Run]) -> dict[str, Any] | None:
    """How scans came to the grid, of the first cohort that says so."""
    told = next(
        (run.told["preprocessing"] for run in packed if run.told.get("preprocessing")), None
    )
    if told is None:
        return None
    registration = told["registration"]
    extraction = registration["brain_extraction"]
    return {
        "brain_extraction": extraction,
        "deepbet": extraction in ("auto", "deepbet"),
        "motion_correction": registration["motion_correction"],
        "to_mni": registration["to_mni"],
        "shape": " x ".join(map(str, told["grid"]["shape"])),
        "tracers": [
            {
                "name": name,
                "ligand": tracer["ligand"],
                "start": f"{tracer['frames_min'][0]:g}",
                "end": f"{tracer['frames_min'][1]:g}",
                "reference": str(tracer["reference_region"]).replace("_", " "),
                "low": f"{tracer['suvr_window'][0]:g}",
                "high": f"{tracer['suvr_window'][1]:g}",
            }
            for name, tracer in told["tracers"].items()
        ],
    }


def _methods(trained: Sequence[Run], origins: Sequence[Origin]) -> list[dict[str, Any]]:
    labels = {name: m.label for o in origins for name, m in o.settings.methods.items()}
    found = {}
    for told in (run.told for run in trained):
        name, entry = told["method"], told.get("entry", {})
        parameters = told["counts"].get("parameters_generator")
        found[name] = {
            "id": name,
            "label": labels.get(name, name),
            "inputs": _inputs(told),
            "updates": "one pass over the data"
            if told["single_pass"]
            else f"{told['counts']['updates']:,} updates",
            "parameters": "no" if not parameters else f"{parameters:,}",
            "cited": keys_of(entry.get("class", "").partition(":")[0]),
        }
    return list(found.values())


def _inputs(told: Mapping[str, Any]) -> str:
    """What a method is given of a person, by its train.json."""
    if not told.get("reads_mri", True):  # of earlier versions, which do not say so
        return "nothing of the person but the outline of the brain"
    return " and ".join(told.get("entry", {}).get("inputs", ())) or "what its class takes"


def _metric(name: str, voxel_mm: float) -> tuple[str, str, list[str]]:
    """Label, meaning and citations of a metric; no label where its meaning begins with it."""
    metric = METRICS[name]
    said, label = metric.said(voxel_mm), metric.label.partition(" (")[0]
    repeated = said.lower().startswith(label.lower())
    return "" if repeated else metric.label, said, keys_of(name)


def _is_of(origin: Origin, function: str) -> bool:
    """Whether a function made a table."""
    return origin.result.function.endswith(f":{function}")


def _decided(origins: Sequence[Origin]) -> dict[str, Any]:
    """How the tables of decisions decided, and what difference they could have found.

    Margins are those that the tables stand on, power is told per table, cohort and metric.
    """
    rows = [
        (origin, row)
        for origin in origins
        if _is_of(origin, "decisions_table")
        for row in read_table(origin.product, needs=_DECIDED_BY)
    ]
    metrics = {row["metric"]: METRICS[row["metric"]].label for _, row in rows}
    margins = {row["metric"]: f"{float(row['margin']):g}" for _, row in rows if row["margin"]}
    seeds = {row["seeds"] for _, row in rows if row["seed_spread"]}
    counts = [int(row["n"]) for _, row in rows]
    trainings = {row["trainings"] for _, row in rows} - {"1"}
    power: dict[tuple[str, str, str], dict[str, list[float]]] = {}
    for origin, row in rows:
        title = origin.result.title[:1].lower() + origin.result.title[1:]
        of = power.setdefault((title, row["cohort"], row["n"]), {})
        of.setdefault(row["metric"], []).append(float(row["detectable"] or "inf"))
    return {
        "tests": len(rows),
        "few": SIMULATED if any(n <= SIMULATED for n in counts) else None,
        "many": any(n > SIMULATED for n in counts),
        "families": " or ".join(sorted({row["comparisons"] for _, row in rows}, key=int)),
        "metrics": list(metrics.values()),
        "margins": [(metrics[m], margin) for m, margin in margins.items()],
        "without": [label for m, label in metrics.items() if m not in margins],
        "seeds": " or ".join(sorted(seeds, key=int)),
        "trainings": " or ".join(sorted(trainings, key=int)),
        "power": [
            {
                "title": title,
                "cohort": cohort,
                "n": n,
                "metrics": [(metrics[m], _range(values, m)) for m, values in of.items()],
            }
            for (title, cohort, n), of in power.items()
        ],
    }


def _range(values: Sequence[float], metric: str) -> str:
    """From the least to the largest, and of how many comparisons so few subjects find none."""
    found = [value for value in values if math.isfinite(value)]
    if not found:
        return "none, however large, of so few subjects"
    ends = (f"{value:.{METRICS[metric].decimals}f}" for value in (min(found), max(found)))
    none = f", none, however large, in {len(values) - len(found)} of the {len(values)} comparisons"
    return " to ".join(dict.fromkeys(ends)) + (none if len(found) < len(values) else "")


def _packages(runs: Sequence[Run]) -> dict[str, str]:
    """Versions of all packages that runs name, the first of each."""
    return {k: v for run in reversed(runs) for k, v in run.provenance["versions"].items()}
