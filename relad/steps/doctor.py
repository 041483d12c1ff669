"""Tell what the embedded study lacks on this machine, and what to do about it.

  relad doctor
  relad doctor --json

Looks at Python and the packages (installed, importable, of the versions that the lock names), the
converter of DICOM, the brain extractor and its weights, GPU and driver, conda, SLURM, and the room
that there is: results in this folder, temporary files, memory, CPUs. It changes nothing.

One line per finding: ok, note (the study runs all the same) or LACK, with the remedy. The exit
status is 0 where the embedded study (`make demo`, `snakemake all`) can run here, and else 1.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from relad.doctor.checks import examine
from relad.doctor.finding import Finding, Level
from relad.doctor.machine import Machine


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="findings as JSON, for programs")


def run(args: argparse.Namespace) -> int:
    findings = []
    for finding in examine(Machine()):
        findings.append(finding)
        if not args.json:
            print(_line(finding), flush=True)  # some questions take seconds
    lacks = sum(finding.level is Level.LACK for finding in findings)
    if args.json:
        told = {"can_run": not lacks, "findings": [asdict(finding) for finding in findings]}
        print(json.dumps(told, indent=2, ensure_ascii=False))
    elif lacks:
        print(f"\nThe embedded study cannot run here: {lacks} LACK above.")
    else:
        print("\nThe embedded study can run here.")
    return 1 if lacks else 0


def _line(finding: Finding) -> str:
    remedy = f"\n{'':16}-> {finding.remedy}" if finding.remedy else ""
    return f"{finding.level:<5}{finding.about:<10} {finding.what}{remedy}"
