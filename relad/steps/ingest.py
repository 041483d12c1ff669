"""Turn a download from LONI, or a BIDS dataset, into the BIDS dataset a study starts from.

SOURCE is either a folder that holds LONI's tree of scans, one folder per subject,

    <PTID>/<Description>/<YYYY-MM-DD_HH_MM_SS.f>/<I… or S…>/*_I<image id>.dcm (or .nii, .nii.gz)

with the collection CSV that the archive offers beside a download (without --collection the CSVs in
SOURCE or beside it are read) and, where there are any, its metadata XML; or a BIDS dataset (sub-*
folders, PET with BIDS-PET sidecars, inherited ones too). T1w, FLAIR and PET of the configured
tracers are kept; DICOM is converted by dcm2niix, NIfTI is checked and copied. Which description is
which series stands in config/series.yaml. What a header has wrong (kind, tracer, injection) can be
put right by ingest.overrides; each use is a note in ingest.tsv.

OUT becomes a BIDS dataset with three tables at its root:

    participants.tsv   every subject of the source, also those with no usable scan
    ingest.tsv         every series on disk and every row of the collection that has no files:
                       kept (where to, and what to look at) or dropped (why)
    pairs.tsv          for every PET the T1w and FLAIR that belong to it and the days between
                       them, or why there are none

Of a BIDS dataset names are taken by the standard alone: sub-<label>, ses-<label> where there are
sessions, then anat or pet; labels of letters, digits and (but for subjects) "+"; dates as
YYYY-MM-DD. Another name is a reason, another date unknown with a note, and so are tables' names of
files that are not there, people whom participants.tsv lacks, and what lies beside the subjects'
folders under such a name.

A damaged scan is dropped with the file's name; the rest of the cohort goes on. What dcm2niix made
is compared with every plane's header; where they differ, the planes are read with pydicom instead,
with a note. Times and dates that headers, folders and tables state differently are a note with
both, or a reason where they would choose other frames of a PET.

Of several images of one kind in a session one is kept: of PET that which covers the tracer's window
(the less processed first; runs of one injection and reconstruction are joined where the window
spans both), of T1w and FLAIR the magnitude, a 3D scan before slices, and MP2RAGE's uniform image
after other T1w; then original before processed (what the scanner corrected for distortion first),
by date and image id, or by run. A scan with a contrast agent is not used.

Brain masks and label images of a BIDS dataset's derivatives go along with the T1w that was kept
where their names (run, acq, ...) are its own, or where it is the only one of its session that they
fit; where there are some and none is of it, it has a note.

OUT is written whole: it appears when all is done, and replaces an earlier dataset of that name. A
run that was killed is taken up again where it was: the subjects it had finished are kept beside
OUT, as long as source and settings are the same.

    relad ingest ADNI bids/adni --source loni --collection ADNI_3_15_2024.csv --jobs 8
    relad ingest my-bids bids/my-centre --source bids --checksums my-bids/sha256sums.txt
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from relad.cli import add_settings, whole_number
from relad.cohort import adni, bids, convert, derivatives, overrides
from relad.cohort.checks import Rules
from relad.cohort.images import INGEST_COLUMNS, Contents, Row
from relad.cohort.integrity import Checksums
from relad.cohort.pairing import PAIR_COLUMNS, pair
from relad.cohort.resume import Outcomes, key_of
from relad.cohort.scans import Outcome
from relad.cohort.series import SeriesTable
from relad.cohort.sources.bids import is_bids
from relad.cohort.workers import make_tasks, run_tasks
from relad.errors import MachineError, ReladError
from relad.fileio import read_table, whole_folder, write_json, write_table
from relad.status import Kind, is_simulated
from relad.study.config import load_settings, of_cohort
from relad.study.provenance import describe
from relad.study.settings import IngestSettings, plain
from relad.study.subjects import bids_label, known_sources, load_source

#: Without a terminal a line of progress is written this often (s).
_PROGRESS_EVERY_S = 10.0
#: So many kinds of reasons are told where nothing can be used.
_REASONS = 12


def _progress(total: int, before: int) -> Callable[[int], None]:
    """A function to call with the number of subjects done: a bar, or lines without a terminal.

    ``before`` were done by an earlier run.
    """
    if before:
        print(f"ingest: {before} of {total} subjects are done already", file=sys.stderr)
    if sys.stderr.isatty():
        from tqdm import tqdm

        bar = tqdm(total=total, initial=before, unit="subject", desc="ingest")

        def show(done: int) -> None:
            bar.update(done - bar.n)
            if done == total:
                bar.close()

        return show
    start = last = time.monotonic()

    def say(done: int) -> None:
        nonlocal last
        now = time.monotonic()
        if done == total or now - last >= _PROGRESS_EVERY_S:
            last = now
            left = (now - start) / (done - before) * (total - done)
            print(f"ingest: {done}/{total} subjects, {left:.0f} s left", file=sys.stderr)

    return say


def guess_source(source: Path) -> str:
    """Name of the source that a folder looks like, for those who do not say.

    Raises
    ------
    ReladError
        Where it only holds a BIDS dataset, and no collection belongs to it.
    """
    if is_bids(source):
        return "bids"
    collected = [*source.glob("*.csv"), *source.resolve().parent.glob("*.csv")]
    inside = next((f for f in sorted(source.iterdir()) if f.is_dir() and is_bids(f)), None)
    if inside is not None and not collected:
        raise ReladError(
            "is no BIDS dataset, but holds one", file=source, hint=f"give {inside} as SOURCE"
        )
    return "loni"


def ingest(
    source: Path,
    out: Path,
    settings: IngestSettings,
    *,
    kind: str | None = None,
    collections: Sequence[Path] | None = None,
    checksums: Path | None = None,
    jobs: int = 1,
) -> list[Row]:
    """Turn a source of scans into a BIDS dataset.

    Parameters
    ----------
    source
        Folder that holds the scans.
    out
        BIDS dataset to write.
    settings
        Tracers, series table and pairing.
    kind
        What the source is, a module of :mod:`relad.cohort.sources`; by default what it looks like.
    collections
        Collection CSVs; by default those in or beside ``source``.
    checksums
        Manifest of checksums that every file must agree with.
    jobs
        Subjects at a time.

    Returns
    -------
    The rows of ingest.tsv.

    Raises
    ------
    ReladError
        Where the source cannot be read, or no series of it can be used.
    """
    _check_out(source, out)
    if not source.is_dir():
        raise ReladError("no such folder", file=source)
    contents: Contents = load_source(kind or guess_source(source)).read(source, collections)
    rules = Rules(
        SeriesTable(settings.ingest.series),
        settings.tracers,
        Checksums.read(checksums, source) if checksums else None,
        contents.simulated,
    )
    rows = contents.rows
    if any(f.name.lower().endswith(".dcm") for c in contents.candidates for f in c.files):
        convert.find_dcm2niix()
    candidates = overrides.apply(contents.candidates, settings.ingest.overrides, settings.tracers)
    tasks, dropped = make_tasks(candidates, rules)
    rows += dropped
    used = {**plain(settings), "checksums": checksums and str(checksums)}
    with whole_folder(out, mark="ingest.tsv", key=key_of(source, tasks, used)) as root:
        outcomes = Outcomes(root)
        done = outcomes.take_up(tasks)
        show = _progress(len(tasks), len(done))
        for task, outcome in run_tasks([t for t in tasks if t.label not in done], root, jobs):
            outcomes.keep(task, outcome)
            done[task.label] = outcome
            show(len(done))
        for outcome in done.values():
            rows += outcome.rows
        rows = overrides.noted(rows, candidates)
        rows.sort(key=lambda r: (r["ptid"] or "", adni.order_of(_id(r)), r["n_files"] == 0, str(r)))
        kept = [r for r in rows if r["status"] == "kept"]
        if gone := [r["output"] for r in kept if not (root / r["output"]).is_file()]:
            raise MachineError(
                "vanished while the dataset was written", file=root / gone[0],
                hint="see to its disk and run it again",
            )  # fmt: skip
        if not kept:
            raise ReladError(f"no series can be used: {_tally(rows)}", file=source)
        _copy_derivatives(contents, kept, root)
        write_table(root / "ingest.tsv", rows, INGEST_COLUMNS)
        write_table(root / "pairs.tsv", pair(kept, settings.ingest.max_gap_days), PAIR_COLUMNS)
        people = [
            {
                "participant_id": f"sub-{bids_label(ptid)}",
                **cells,
                "ptid": ptid,
                "sessions": _sessions(done.get(bids_label(ptid))),
            }
            for ptid, cells in sorted(contents.people.items())
        ]
        kind = Kind.of_scans((r["kind"], is_simulated(root / r["output"])) for r in kept)
        bids.write_root(root, people, what=contents.what, kind=kind)
        packages = ("dcm2niix", "pydicom", "nibabel", "numpy")
        write_json(root / "provenance.json", describe("ingest", plain(settings), *packages))
        outcomes.forget()
    return rows


def _sessions(outcome: Outcome | None) -> str | None:
    return ",".join(outcome.sessions) or None if outcome else None


def _copy_derivatives(contents: Contents, kept: Sequence[Row], root: Path) -> None:
    """Brain masks and labels of other programs go along with the T1w they were made of.

    A T1w to which none of its session's is known to belong is given a note.
    """
    own = contents.derivatives
    for t1w in (r for r in kept if r["kind"] == "T1w"):
        image, session = t1w["image_id"], t1w["session"]
        if stray := own.strays.get(image):
            t1w["note"] = "; ".join(filter(None, (t1w["note"], stray)))
        labels, table = own.labels.get(image, (None, None))
        for file, ending in (
            (own.masks.get(image), derivatives.MASK),
            (labels, derivatives.LABELS),
            (table, derivatives.TABLE),
        ):
            if file is None:
                continue
            parts = [f"sub-{t1w['subject']}", *([f"ses-{session}"] if session else [])]
            folder = root.joinpath("derivatives", "source", *parts, "anat")
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, folder / "_".join([*parts, ending]))
            write_json(
                root / "derivatives" / "source" / "dataset_description.json",
                {
                    "Name": "Brain masks and segmentations that came with the source",
                    "BIDSVersion": bids.VERSION,
                    "DatasetType": "derivative",
                    "GeneratedBy": [{"Name": "unknown"}],
                },
            )


def _id(entry: Row) -> str | None:
    return entry["image_id"] if adni.image_id(entry["image_id"] or "") else None


def _tally(rows: Iterable[Row]) -> str:
    """Every kind of reason, for a message: one of each, those of few images too."""
    kinds: dict[str, list[str]] = defaultdict(list)
    for one in rows:
        what = one["reason"].removeprefix(f"{one['image_id']}: ")
        kinds[re.sub(r"\S*\d\S*|'[^']*'", "_", what)].append(what)
    said = sorted(kinds.values(), key=len, reverse=True)
    more = f"; and {len(said) - _REASONS} other reasons" if len(said) > _REASONS else ""
    return "; ".join(f"{len(same)} x {same[0]}" for same in said[:_REASONS]) + more


def _check_out(source: Path, out: Path) -> None:
    """Neither lies in the other: ``out`` is replaced as a whole, and would be read as a source."""
    if out.resolve() in (source.resolve(), *source.resolve().parents):
        raise ReladError("the output would replace the source", file=out)
    if source.resolve() in out.resolve().parents:
        raise ReladError(
            "the output would lie in the source, and the next run take it for a part of that",
            file=out,
            hint="name a folder elsewhere",
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, metavar="SOURCE", help="folder that holds the scans")
    parser.add_argument("out", type=Path, metavar="OUT", help="BIDS dataset to write")
    parser.add_argument(
        "--source",
        dest="kind",
        metavar="NAME",
        help=f"what SOURCE is: {', '.join(known_sources())} (default: what it looks like)",
    )
    parser.add_argument(
        "--collection",
        type=Path,
        action="extend",
        nargs="+",
        metavar="CSV",
        help="collection CSV(s) of the download; default: the CSVs in SOURCE or beside it",
    )
    parser.add_argument(
        "--checksums",
        type=Path,
        metavar="FILE",
        help="manifest as sha256sum or md5sum print it; a file that differs from it is not used",
    )
    parser.add_argument(
        "--max-gap-days",
        type=whole_number(0),
        metavar="DAYS",
        help="most days between PET and T1w; default: ingest.max_gap_days of the configuration",
    )
    parser.add_argument(
        "--jobs", type=whole_number(1), default=1, metavar="N",
        help="subjects at a time (default: 1)",
    )  # fmt: skip
    parser.add_argument(
        "--cohort", metavar="NAME", help="whose ingest.overrides hold, where they are of several"
    )
    add_settings(parser)


def run(args: argparse.Namespace) -> int:
    settings = load_settings(args.settings, IngestSettings)
    if args.cohort is not None:
        of_cohort(settings.cohorts, args.cohort)
    own = overrides.of_cohort(settings.ingest.overrides, args.cohort)
    options = replace(settings.ingest, overrides=tuple(own))
    if args.max_gap_days is not None:
        options = replace(options, max_gap_days=args.max_gap_days)
    settings = replace(settings, ingest=options)
    rows = ingest(
        args.source,
        args.out,
        settings,
        kind=args.kind,
        collections=args.collection,
        checksums=args.checksums,
        jobs=args.jobs,
    )
    kept = [r for r in rows if r["status"] == "kept"]
    people = len({r["ptid"] for r in kept})
    noted = sum(r["note"] is not None for r in kept)
    paired = Counter(r["status"] for r in read_table(args.out / "pairs.tsv"))
    print(
        f"{args.out}: {len(kept)} series of {people} subjects kept ({noted} with a note), "
        f"{len(rows) - len(kept)} dropped (reasons in {args.out / 'ingest.tsv'}); "
        f"{paired['paired']} PET paired with MRI, {paired['unpaired']} not "
        f"(reasons in {args.out / 'pairs.tsv'})"
    )
    return 0
