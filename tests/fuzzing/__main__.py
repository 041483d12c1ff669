"""Alter NIfTI headers and arguments at random, and print what became of each kind, in Markdown.

  python -m tests.fuzzing
  python -m tests.fuzzing --headers 2000 --arguments 1000 --seed 7

The same seed gives the same cases. The exit status is 1 where a traceback came up, an input was
changed, something half done was left behind, or an altered header changed what was read without a
word; these are printed whole.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

from tests.fuzzing import arguments, headers


def table(title: str, rows: Iterable[tuple[str, str]]) -> str:
    """Markdown table of how often each outcome came up, by kind."""
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    for kind, outcome in rows:
        counted[kind][outcome] += 1
        counted["all"][outcome] += 1
    outcomes = sorted(counted["all"])
    kinds = [*sorted(counted.keys() - {"all"}), "all"]
    lines = [f"| {title} | {' | '.join(outcomes)} |", f"|---{'|---:' * len(outcomes)}|"]
    for kind in kinds:
        lines.append(f"| {kind} | {' | '.join(str(counted[kind][o]) for o in outcomes)} |")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzzing",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--headers", type=int, default=150, metavar="N")
    parser.add_argument("--arguments", type=int, default=200, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="relad-fuzzing-") as name:
        folder = Path(name)
        altered = list(headers.run(folder, args.headers, args.seed))
        lines = list(arguments.run(folder / "world", args.arguments, args.seed))
    wrong = [f"{r.field}: {r.outcome}: {r.said}" for r in altered if not r.fine]
    wrong += [f"relad {r.command} {' '.join(r.words)}: {r.outcome}: {r.said}"
              for r in lines if not r.fine]  # fmt: skip
    print(table("header", ((r.about, r.outcome) for r in altered)), end="\n\n")
    print(table("command", ((r.command, r.outcome) for r in lines)))
    for line in wrong:
        print(line, file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
