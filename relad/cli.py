"""``relad STEP …``: every step of the study as one command, files in, files out.

A word @FILE stands for the words in FILE, one on each line.

A step's module holds ``add_arguments(parser)`` and ``run(args)``; its docstring is the help.
Modules are imported only when their step is asked for, so each runs in its own small environment.
"""

from __future__ import annotations

import argparse
import importlib
import math
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from relad import __version__
from relad.errors import ReladError, machine_failure

#: Step, with a module of its name in :mod:`relad.steps` (``_`` for ``-``), -> one line of help. In
#: the order of the study.
STEPS: dict[str, str] = {
    "phantom": "simulate a multi-tracer study as a LONI download",
    "ingest": "turn a LONI download into BIDS, every series accounted for",
    "enroll": "list who of a cohort may be of use",
    "register": "register one subject's scans: FLAIR, PET, MNI",
    "normalize": "resample a subject to MNI and SUVR, measure quality",
    "qc": "judge a cohort's quality, shown as one page to go through",
    "pack": "pack a cohort into one memory-mapped dataset with folds",
    "train": "train one method on one fold",
    "search": "search one method's parameters on validation subjects",
    "tune": "put searches of methods together, for a study to take",
    "synthesize": "synthesise PET for a fold's test subjects or a cohort",
    "export": "a trained model as one file with its card, to pass on",
    "evaluate": "compare synthetic with real PET, one row per value",
    "ceiling": "how near to simulated PET any method could come",
    "derivatives": "a cohort's synthetic PET as BIDS, by person, with pages",
    "tables": "the study's tables as CSV, LaTeX and Markdown",
    "figures": "the study's figures as PNG and PDF",
    "explain": "where one cell of a table comes from, down to the scans",
    "report": "the study on one page: verdict, tables, figures, origin",
    "paper": "a skeleton of the paper, its numbers and methods generated",
    "crate": "a finished study as an RO-Crate, to publish",
    "status": "how far a study is, what failed and why, what is left",
    "coregister": "register one image of a person to another, rigidly",
    "preprocess": "one person's scans to MNI and SUVR, without Snakemake",
    "predict": "one person's PET from their own scans, by a trained model",
    "metrics": "every metric of one image against another",
    "doctor": "tell what a study lacks on this machine, and the remedy",
    "check-method": "tell whether a method keeps the protocol, and what to mend",
}


def main(argv: list[str] | None = None, *, before: Callable[[], None] | None = None) -> int:
    """Run the step that ``argv`` names; gives the exit status.

    ``before`` is called when the words are understood; what it raises is told as the step's error.
    """
    argv = sys.argv[1:] if argv is None else argv
    parser = argparse.ArgumentParser(
        prog="relad", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--version", action="version", version=f"relad {__version__}")
    steps = parser.add_subparsers(dest="step", metavar="STEP", required=True)
    wanted = next((word for word in argv if word in STEPS), None)
    for name, summary in STEPS.items():
        if name != wanted:
            steps.add_parser(name, help=summary)
            continue
        step = importlib.import_module(f"relad.steps.{name.replace('-', '_')}")
        sub = steps.add_parser(
            name,
            help=summary,
            description=step.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            fromfile_prefix_chars="@",  # thousands of folders fit on no command line
        )
        step.add_arguments(sub)
        sub.set_defaults(run=step.run)
    try:
        args = parser.parse_args(argv)
    except (UnicodeDecodeError, RecursionError, OSError) as error:  # of @FILE, or of FILE in FILE
        parser.error(f"cannot read the words of a file given as @FILE ({error})")
    try:
        if before is not None:
            before()
        status = args.run(args) or 0
        sys.stdout.flush()  # here, where a full disk is still told in one line
        return status
    except BrokenPipeError:
        # The reader (head, less) closed early: not an error of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ReladError, OSError, MemoryError) as error:
        print(f"relad {args.step}: error: {_in_one_line(error)}", file=sys.stderr)
        return 2


def _in_one_line(error: Exception) -> str:
    """What an error says, with the file it is about where it names one."""
    said: object = error
    if isinstance(error, OSError) and error.strerror:
        said = ReladError(error.strerror, file=error.filename)
    elif isinstance(error, MemoryError):
        said = machine_failure(error)
    return " ".join(str(said).split())


def whole_number(least: int, most: int = 2**31 - 1) -> Callable[[str], int]:
    """Type of an argument that is a whole number between two."""

    def read(text: str) -> int:
        if not re.fullmatch(r"[+-]?\d{1,18}", text) or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not a whole number from {least} to {most}"
            )
        return int(text)

    return read


def add_settings(parser: argparse.ArgumentParser, default: Path | None = None) -> None:
    """The option that every configurable step has; without a default it is the default study."""
    name = "config.yaml" if default is None else default.name
    parser.add_argument(
        "--settings",
        metavar="FILE",
        type=Path,
        default=default,
        help="a study's configuration (.yaml), or the part of it that this step reads, resolved "
        f"(.json); default: config/{name} of this repository",
    )


def above_zero(text: str) -> float:
    """Type of an argument that is a finite number above 0."""
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return number


def folders_of(given: Sequence[Path]) -> list[Path]:
    """Subjects' folders, each of ``given`` or the folders ``sub-*`` in it, in order.

    Raises
    ------
    ReladError
        Where one of ``given`` is no folder, or neither a subject's nor one that holds some.
    """
    found = []
    for path in given:
        if not path.is_dir():
            raise ReladError("no such folder", file=path)
        inside = [path]
        if not path.name.startswith("sub-"):
            inside = [folder for folder in sorted(path.glob("sub-*")) if folder.is_dir()]
        if not inside:
            hint = "it is one person's: rename it sub-LABEL"
            raise ReladError(
                "holds no subject's folder (sub-*)", file=path,
                hint=hint if (path / "status.json").is_file() else None,
            )  # fmt: skip
        found += inside
    return found
