"""What a dry run says in a few lines: what would run, and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

#: Line -> rules that it counts, and the wildcard whose values it names.
_LINES = {
    "scans": (("phantom", "ingest", "enroll"), "cohort"),
    "people": (("register", "normalize", "qc", "pack", "ceiling"), "cohort"),
    "methods": (("train", "synthesize", "evaluate", "derivatives"), "method"),
    "tuning": (("search", "tune"), "method"),
    "results": (("tables", "figures", "report", "paper"), "name"),
}
#: More names than these are counted.
_NAMED = 6


@dataclass(frozen=True)
class Job:
    """One job of the plan: its rule, its wildcards, and why it runs of itself, if it does."""

    rule: str
    wildcards: Mapping[str, str]
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Submission:
    """What a cluster is asked for at once: people it is about, cores, memory (MB), time (min)."""

    people: int
    cores: int
    memory_mb: int
    minutes: int


def summary(jobs: Iterable[Job], submissions: Iterable[Submission] = ()) -> list[str]:
    """A line per part of the study, one of reasons and, on a cluster, those of submissions.

    Empty where nothing would run. The sampler study's rules count with those they are made of. A
    job that runs only because another one does is no reason.
    """
    jobs = [job for job in jobs if job.rule != "all"]
    lines = []
    for line, (rules, wildcard) in _LINES.items():
        mine = [job for job in jobs if job.rule.removesuffix("_sampler") in rules]
        if not mine:
            continue
        count = Counter(job.rule.removesuffix("_sampler") for job in mine)
        told = ", ".join(f"{rule} {count[rule]}" for rule in rules if rule in count)
        names = {job.wildcards[wildcard] for job in mine if wildcard in job.wildcards}
        lines.append(f"{line}: {told}" + (f" ({_listed(sorted(names))})" if names else ""))
    why = Counter((r, job.rule.removesuffix("_sampler")) for job in jobs for r in job.reasons)
    reasons: dict[str, list[str]] = {}
    for (reason, rule), number in sorted(why.items()):
        reasons.setdefault(reason, []).append(f"{rule} {number}")
    if reasons:
        told = "; ".join(f"{reason}: {', '.join(of)}" for reason, of in reasons.items())
        lines.append(f"because of {told}")
    return lines + _told(list(submissions))


def _told(submissions: list[Submission]) -> list[str]:
    """How many submissions there are, and the most that one of each kind asks for."""
    of_people = [each for each in submissions if each.people]
    others = [each for each in submissions if not each.people]
    lines = []
    for what, mine in (("of people", of_people), ("other", others)):
        if mine:
            cores, memory, minutes = (
                max(getattr(each, asked) for each in mine)
                for asked in ("cores", "memory_mb", "minutes")
            )
            most = max(each.people for each in mine)
            lines.append(
                f"submissions {what}: {len(mine)}"
                + (f", of up to {most} each" if most else "")
                + f" (at most {cores} cores, {memory} MB, {minutes} min)"
            )
    return lines


def _listed(names: list[str]) -> str:
    if len(names) <= _NAMED:
        return ", ".join(names)
    return f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED} more"
