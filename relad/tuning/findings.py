"""What searches found: written by each, put together for a study."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from relad.compute.devices import choose_device, device_name
from relad.errors import ReladError
from relad.fileio import read_json, read_object, write_json, write_table, write_text
from relad.status import Kind
from relad.study import plugins, provenance
from relad.study.fingerprints import fingerprint
from relad.study.settings import plain
from relad.training import validation
from relad.training.loop import PACKAGES
from relad.tuning.search import FAILED, Search, table

RECORD, TUNED = "search.json", "tuned.yaml"

#: Columns of ``tuning.csv``; psnr of the configured and of the best trial.
COLUMNS = (
    "method",
    "fold",
    "searched",
    "trials",
    "failed",
    "updates",
    "batch_size",
    "parameters",
    "parameters_total",
    "seconds",
    "peak_memory_mb",
    "psnr_configured",
    "psnr",
    "trial",
    "found",
    "device",
    "data",
)


def write(search: Search) -> None:
    """Write ``trials.csv``, ``tuned.yaml`` and ``search.json`` of a search that is done."""
    data, tuning, name = search.data, search.tuning, search.name
    best, found = search.best(), search.found()
    configured = search.trials[0]
    parts = validation.cut(
        data,
        data.pairs(search.fold, "train"),
        search.options.validation.subjects,
        fold=search.fold,
    )
    used = {
        "training": plain(search.options),
        "tuning": plain(tuning),
        "methods": {name: plain(search.space.entry)},
    }
    write_table(search.out / "trials.csv", *table(search.trials))
    write_json(
        search.out / RECORD,
        {
            "method": name,
            "fold": search.fold,
            "cohort": data.cohort,
            "kind": data.kind,
            "data": data.fingerprint,
            "subjects": dict(zip(("train", "validation"), map(data.names, parts), strict=True)),
            "space": plain(tuning.space[name]),
            "trials": len(search.trials),
            "failed": sum(trial.state == FAILED for trial in search.trials),
            "updates": search.options.updates,
            "batch_size": search.options.batch_size,
            "parameters": best.parameters,
            "parameters_total": best.parameters_total,
            "seconds": round(sum(trial.seconds for trial in search.trials), 2),
            "peak_memory_mb": max(trial.peak_memory_mb for trial in search.trials),
            "device": device_name(choose_device(search.options.device)),
            "psnr_configured": configured.psnr,
            "psnr": best.psnr,
            "trial": best.number,
            "found": found,
            "code": fingerprint("relad.steps.search"),
            "provenance": provenance.describe(
                "search",
                used,
                "optuna",
                *PACKAGES,
                *plugins.distributions(search.space.entry.class_),
            ),
        },
    )
    write_tuned(search.out / TUNED, [read_json(search.out / RECORD)])


def read(folder: Path) -> dict[str, Any]:
    """What a search wrote of itself.

    Raises
    ------
    ReladError
        Where there is none.
    """
    record = read_object(folder / RECORD)
    lacking = {"method", "fold", "found", "subjects", "code", *COLUMNS[3:-1]} - set(record)
    if lacking:
        raise ReladError(
            f"is no search of this version (no {', '.join(sorted(lacking))})",
            file=folder / RECORD,
            hint="run `relad search` again",
        )
    return record


def require_alike(searches: Sequence[Mapping[str, Any]]) -> None:
    """Refuse to put searches together that differ in data, people, settings, code or folds.

    Raises
    ------
    ReladError
        Naming two of them and what differs, what was searched twice, or what was left out.
    """
    of_fold: dict[int, Mapping[str, Any]] = {}
    for search in searches:
        peer = of_fold.setdefault(search["fold"], search)
        for other, facts in ((searches[0], _effort), (peer, _people)):
            mine, others = facts(search), facts(other)
            odd = [key for key in mine if mine[key] != others[key]]
            if odd:
                raise ReladError(
                    f"the searches of {search['method']}, fold {search['fold']}, and "
                    f"{other['method']}, fold {other['fold']}, differ in their {', '.join(odd)}",
                    hint="search both with the same settings; tuning.updates gives all one length",
                )
    done = Counter((search["method"], search["fold"]) for search in searches)
    for (method, fold), times in done.items():
        if times > 1:
            raise ReladError(
                f"there are {times} searches of {method}, fold {fold}",
                hint="give the one that the study is to take",
            )
    for method in dict.fromkeys(search["method"] for search in searches):
        if lacking := [fold for fold in sorted(of_fold) if (method, fold) not in done]:
            raise ReladError(
                f"{method} was not searched on fold {', '.join(map(str, lacking))}, others were",
                hint="search every method on the same folds: a study trains each with its own",
            )


def _effort(search: Mapping[str, Any]) -> dict[str, Any]:
    """What all searches must have in common, by what it is called."""
    told = {
        key: search[key] for key in ("cohort", "data", "trials", "updates", "batch_size", "code")
    }
    settings = {
        f"{section}.{key}": value
        for section in ("training", "tuning")
        for key, value in search["provenance"]["settings"][section].items()
        if key not in told and key != "space"  # which has other methods' too
    }
    return told | settings


def _people(search: Mapping[str, Any]) -> dict[str, Any]:
    """What those of one fold must have in common."""
    return {"subjects": search["subjects"]}


def write_tuned(file: Path, searches: Sequence[Mapping[str, Any]]) -> None:
    """Write what was found as a study takes it (``tuned``), its data's kind on its face."""
    kind, cohort = Kind(searches[0]["kind"]), searches[0]["cohort"]
    folds: dict[str, Any] = {}
    for search in sorted(searches, key=lambda s: s["fold"]):
        folds.setdefault(str(search["fold"]), {})[search["method"]] = search["found"]
    told = {"cohort": cohort, "kind": str(kind), "data": searches[0]["data"], "folds": folds}
    head = [
        kind.note,
        "Found by `relad search` on validation subjects; {} where nothing was better than what is",
        f"configured. {searches[0]['trials']} trials of {searches[0]['updates']} updates each. A "
        "study takes it with `tuned: THIS FILE`.",
    ]
    comment = "".join(f"# {line}\n" for line in head if line)
    write_text(file, comment + yaml.safe_dump(told, sort_keys=False))


def write_together(out: Path, searches: Sequence[Mapping[str, Any]], others: Iterable[str]) -> None:
    """Write ``tuned.yaml``, ``tuned.json`` (provenance) and ``tuning.csv`` of some searches.

    ``others``: methods that were not searched, which the table names too.
    """
    require_alike(searches)
    rows = [
        {
            **{key: search[key] for key in COLUMNS if key in search},
            "searched": " ".join(search["space"]),
            "found": " ".join(f"{p}={json.dumps(v)}" for p, v in search["found"].items()),
            "data": search["kind"],
        }
        for search in searches
    ]
    rows += [{"method": name, "trials": 0} for name in others]
    write_table(out / "tuning.csv", rows, COLUMNS)
    of = {f"{s['method']}, fold {s['fold']}": s["provenance"] for s in searches}
    facts = {key: searches[0][key] for key in ("cohort", "kind", "data")}
    write_json(out / "tuned.json", {**facts, "searches": of})
    write_tuned(out / TUNED, searches)
