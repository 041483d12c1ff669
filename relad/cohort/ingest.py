"""Turn a download from LONI's image archive into BIDS, every series accounted for.

SOURCE is the folder that holds the tree of scans, one folder per subject:

    <PTID>/<Description>/<YYYY-MM-DD_HH_MM_SS.f>/<I… or S…>/*_I<image id>.dcm (or .nii, .nii.gz)

The collection CSV that the archive offers beside a download says what each image is; without
--collection the CSVs in SOURCE or beside it are read. T1w, FLAIR and PET of the configured tracers
are kept; DICOM is converted by dcm2niix, NIfTI is checked and copied.

OUT becomes a BIDS dataset with two tables at its root:

    participants.tsv   every subject of the collection, also those with no usable scan
    ingest.tsv         every series of the download and every row of the collection that has no
                       files: kept (where to) or dropped (why)

A damaged scan is dropped with the file's name; the rest of the cohort goes on. Of several images of
one kind in a session the first is kept (original before processed, then by date, then by image id).
OUT is written whole: it appears when all is done, and replaces an earlier dataset of that name.

    relad ingest ADNI bids/adni --collection ADNI_3_15_2024.csv --jobs 8
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from relad.cohort import adni, bids, convert
from relad.cohort.scans import Candidate, Outcome, Row, Task, ingest_subject, row
from relad.cohort.subjects import bids_label
from relad.errors import ReladError
from relad.fileio import whole_folder, write_json, write_table
from relad.provenance import describe

#: Without a terminal a line of progress is written this often (s).
_PROGRESS_EVERY_S = 10.0


def match(
    found: Sequence[adni.Found], collection: adni.Collection, source: Path
) -> tuple[list[Candidate], list[Row]]:
    """Match images on disk with the collection's rows.

    Returns
    -------
    Images that stand in both, once each, and the rows of ingest.tsv for all the others.
    """
    rows = [row(entry, None, reason=reason) for entry, reason in collection.unusable]
    candidates = []
    places: dict[str, list[adni.Found]] = defaultdict(list)
    for image in found:
        if image.image_id is None:
            name = image.files[0].name
            rows.append(row(None, image, reason=f"{name}: no image id in its name"))
        else:
            places[image.image_id].append(image)
    for image_id, images in places.items():
        entry = collection.entries.get(image_id)
        where = "; ".join(i.files[0].parent.relative_to(source).as_posix() for i in images)
        copies = {(image.ptid, _sizes(image)) for image in images} if len(images) > 1 else ()
        for number, image in enumerate(images):
            reason = None
            if entry is None:
                reason = "not in the collection"
            elif image_id in collection.conflicts:
                reason = collection.conflicts[image_id]
            elif len(copies) > 1:
                reason = f"duplicate image id: {image_id} stands in {len(images)} places ({where})"
            elif number > 0:
                reason = f"duplicate image id: {image_id} was downloaded twice ({where})"
            elif entry.ptid != image.ptid:
                reason = f"lies in the folder of {image.ptid}, but is {entry.ptid}'s"
            if reason:
                rows.append(row(entry if entry else None, image, reason=reason))
            else:
                candidates.append(Candidate(image, entry))
    rows += [
        row(entry, None, reason="no files in the download")
        for image_id, entry in collection.entries.items()
        if image_id not in places
    ]
    return candidates, rows


def _sizes(image: adni.Found) -> tuple[tuple[str, int], ...]:
    """Names and sizes (bytes) of an image's files; a dangling link has size -1."""
    return tuple((f.name, f.stat().st_size if f.exists() else -1) for f in image.files)


def make_tasks(
    candidates: Iterable[Candidate], tracers: Mapping[str, Mapping[str, Any]], root: Path
) -> tuple[list[Task], list[Row]]:
    """Group images by subject; of two subjects with one BIDS label only the first is kept."""
    people: dict[str, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        people[candidate.entry.ptid].append(candidate)
    owners: dict[str, str] = {}
    tasks, rows = [], []
    for ptid, images in sorted(people.items()):
        label = bids_label(ptid)
        if owners.setdefault(label, ptid) == ptid:
            tasks.append(Task(label, tuple(images), tracers, root))
            continue
        reason = f"its subject has the same BIDS label as {owners[label]}"
        rows += [row(image.entry, image.found, reason=reason) for image in images]
    return tasks, rows


def _run_tasks(tasks: Sequence[Task], jobs: int) -> Iterator[tuple[Task, Outcome]]:
    if jobs == 1 or len(tasks) < 2:
        for task in tasks:
            yield task, ingest_subject(task)
        return
    with ProcessPoolExecutor(min(jobs, len(tasks))) as pool:
        try:
            futures = {pool.submit(ingest_subject, task): task for task in tasks}
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _progress(total: int) -> Callable[[int], None]:
    """A function to call with the number of subjects done: a bar, or lines without a terminal."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        bar = tqdm(total=total, unit="subject", desc="ingest")

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
            left = (now - start) / done * (total - done)
            print(f"ingest: {done}/{total} subjects, {left:.0f} s left", file=sys.stderr)

    return say


def ingest(
    source: Path,
    out: Path,
    tracers: Mapping[str, Mapping[str, Any]],
    *,
    collections: Sequence[Path] | None = None,
    jobs: int = 1,
) -> list[Row]:
    """Convert a LONI download to a BIDS dataset.

    Parameters
    ----------
    source
        Folder that holds the tree of scans.
    out
        BIDS dataset to write.
    tracers
        Tracer id -> ``{ligand, aliases, …}``, as in the configuration.
    collections
        Collection CSVs; by default those in or beside ``source``.
    jobs
        Subjects at a time.

    Returns
    -------
    The rows of ingest.tsv.

    Raises
    ------
    ReladError
        Where the source is no LONI download or no series of it can be used.
    """
    _check_out(source, out)
    if not source.is_dir():
        raise ReladError("no such folder", file=source)
    files = adni.find_collections(source, collections)
    collection = adni.read_collections(files)
    found = adni.find_series(source, collection.subjects)
    candidates, rows = match(found, collection, source)
    if any(file.name.lower().endswith(".dcm") for c in candidates for file in c.found.files):
        convert.find_dcm2niix()
    with whole_folder(out) as root:
        tasks, dropped = make_tasks(candidates, tracers, root)
        rows += dropped
        sessions: dict[str, tuple[str, ...]] = {}
        simulated = False
        show = _progress(len(tasks))
        for done, (task, outcome) in enumerate(_run_tasks(tasks, jobs), start=1):
            rows += outcome.rows
            sessions[task.label] = outcome.sessions
            simulated |= outcome.simulated
            show(done)
        rows.sort(key=lambda r: (r["ptid"] or "", adni.order_of(_id(r)), r["n_files"] == 0, str(r)))
        if not any(r["status"] == "kept" for r in rows):
            raise ReladError(f"no series can be used: {_tally(rows)}", file=source)
        write_table(root / "ingest.tsv", rows, bids.INGEST_COLUMNS)
        people = [
            {
                "participant_id": f"sub-{bids_label(ptid)}",
                "age": entry.age or None,
                "sex": entry.sex or None,
                "group": entry.group or None,
                "ptid": ptid,
                "sessions": ",".join(sessions.get(bids_label(ptid), ())) or None,
            }
            for ptid, entry in sorted(collection.subjects.items())
        ]
        bids.write_root(root, people, simulated=simulated)
        packages = ("dcm2niix", "pydicom", "nibabel", "numpy")
        write_json(root / "provenance.json", describe("ingest", {"tracers": tracers}, *packages))
    return rows


def _id(entry: Row) -> str | None:
    return entry["image_id"] if adni.image_id(entry["image_id"] or "") else None


def _tally(rows: Iterable[Row]) -> str:
    """The most frequent reasons, for a message."""
    counts = Counter(r["reason"] for r in rows)
    return "; ".join(f"{n} x {reason}" for reason, n in counts.most_common(3))


def _check_out(source: Path, out: Path) -> None:
    """``out`` is replaced as a whole, so it must not be something else than a dataset of ours."""
    if out.resolve() in (source.resolve(), *source.resolve().parents):
        raise ReladError("the output would replace the source", file=out)
    ours = not out.exists() or (out / "ingest.tsv").is_file()
    if not ours and not (out.is_dir() and not any(out.iterdir())):
        raise ReladError(
            "exists and is not a dataset written by this step", file=out, hint="remove it"
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from relad.cli import add_settings

    parser.add_argument("source", type=Path, metavar="SOURCE", help="folder with the LONI tree")
    parser.add_argument("out", type=Path, metavar="OUT", help="BIDS dataset to write")
    parser.add_argument(
        "--collection",
        type=Path,
        action="extend",
        nargs="+",
        metavar="CSV",
        help="collection CSV(s) of the download; default: the CSVs in SOURCE or beside it",
    )
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="subjects at a time (default: 1)"
    )
    add_settings(parser)


def run(args: argparse.Namespace) -> int:
    from relad.config import load_settings

    if args.jobs < 1:
        raise ReladError(f"--jobs must be at least 1, not {args.jobs}")
    settings = load_settings(args.settings)
    rows = ingest(
        args.source, args.out, settings["tracers"], collections=args.collection, jobs=args.jobs
    )
    kept = sum(r["status"] == "kept" for r in rows)
    people = len({r["ptid"] for r in rows if r["status"] == "kept"})
    print(
        f"{args.out}: {kept} series of {people} subjects kept, {len(rows) - kept} dropped "
        f"(reasons in {args.out / 'ingest.tsv'})"
    )
    return 0
