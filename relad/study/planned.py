"""What a run decided when it was planned, for its jobs, which may start days later.

A job on a cluster reads the workflow again, and every job reads the code when it starts. Were
something edited meanwhile, a job would do another thing than was planned and recorded. So the
controller writes down once what it planned with: jobs take settings and people from there, and stop
where the code is another. Standard library only, since the Snakefile imports it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from relad.errors import ReladError
from relad.fileio import read_object, write_json
from relad.study.fingerprints import PACKAGES, digest, fingerprint, sources
from relad.study.paths import REPOSITORY
from relad.study.settings import typed
from relad.study.site import Site

#: Environment variable that tells jobs where the controller wrote it down.
VARIABLE = "RELAD_PLAN"
#: Environment variable of a step that the workflow starts: the code it was planned with.
CODE = "CODE"
_AGAIN = "run the same snakemake command again: it plans anew, and nothing that is done is lost"


@dataclass(frozen=True)
class Code:
    """Code of some modules: its fingerprint, and that of what of it is this project's own.

    The second one can be taken in every environment; a method of another package may be installed
    in some alone.

    Attributes
    ----------
    files
        Of this project, below the repository: so that not every job has to follow all imports.
    own
        Their hash.
    """

    modules: tuple[str, ...]
    fingerprint: str
    files: tuple[str, ...]
    own: str

    @classmethod
    def of(cls, modules: Sequence[str]) -> Code:
        """Code of some modules as it is now.

        Raises
        ------
        ReladError
            Where a module of this project has no file.
        """
        files = sources(*(m for m in modules if m.partition(".")[0] in PACKAGES))
        names = tuple(file.relative_to(REPOSITORY).as_posix() for file in files)
        return cls(tuple(modules), fingerprint(*modules), names, digest(files))

    def was_edited(self) -> bool:
        """Whether a file of this project is another by now, or gone."""
        try:
            return digest(REPOSITORY / file for file in self.files) != self.own
        except FileNotFoundError:
            return True


@dataclass(frozen=True)
class Planned:
    """Resolved configuration, everybody's label by cohort, the site, and the code of every job.

    ``cores`` are the most that one of its jobs may ask of SLURM; None where that runs none.
    """

    study: dict[str, Any]
    subjects: dict[str, list[str]]
    site: Site
    cores: int | None
    workflow: str
    code: tuple[Code, ...]

    def write(self, file: Path) -> None:
        write_json(file, asdict(self))

    @classmethod
    def read(cls, file: Path) -> Planned:
        """Read what a controller wrote.

        Raises
        ------
        ReladError
            Where there is none: the run is over.
        """
        if not file.is_file():
            raise ReladError("the run that planned this job has ended", file=file, hint=_AGAIN)
        held = read_object(file, ("study", "subjects", "site", "cores", "workflow", "code"))
        code = tuple(
            Code(tuple(c["modules"]), c["fingerprint"], tuple(c["files"]), c["own"])
            for c in held["code"]
        )
        return cls(**held | {"site": typed(Site, held["site"]), "code": code})

    def of_modules(self, modules: Iterable[str]) -> str:
        """Fingerprint that some modules had."""
        wanted = tuple(modules)
        return next(code.fingerprint for code in self.code if code.modules == wanted)

    def require_workflow(self) -> None:
        """Refuse a workflow that was edited since.

        Raises
        ------
        ReladError
            Where a rule, or what turns settings into jobs, is another.
        """
        if workflow_code() != self.workflow:
            raise ReladError("workflow/ or relad/study/ changed since this job was planned",
                             hint=_AGAIN)  # fmt: skip

    def require_code(self, modules: Iterable[str]) -> None:
        """Refuse code that was edited since.

        Raises
        ------
        ReladError
            Where the code of ``modules`` is another.
        """
        wanted = tuple(modules)
        if fingerprint(*wanted) != self.of_modules(wanted):
            raise changed(wanted)


@cache
def workflow_code() -> str:
    """Hash of the rules and of what they import to turn settings into jobs."""
    workflow = REPOSITORY / "workflow"
    rules = [workflow / "Snakefile", *(workflow / "rules").glob("*.smk")]
    return digest(sorted([*rules, *(REPOSITORY / "relad" / "study").glob("*.py")]))


def require_planned_code(environ: Mapping[str, str] = os.environ) -> None:
    """Refuse to run a step of a workflow with other code than it was planned with.

    Of a step that no workflow started nothing is asked.

    Raises
    ------
    ReladError
        Where this project's code was edited since, or the plan has no such code.
    """
    if VARIABLE not in environ or CODE not in environ:
        return
    file = Path(environ[VARIABLE])
    mine = [code for code in Planned.read(file).code if code.fingerprint == environ[CODE]]
    if not mine:
        raise ReladError("has no code of this job", file=file, hint=_AGAIN)
    for code in mine:
        if code.was_edited():
            raise changed(code.modules)


def changed(modules: Sequence[str]) -> ReladError:
    """The error that says that code was edited."""
    step = modules[0].rpartition(".")[2].replace("_", "-")
    return ReladError(f"the code of {step!r} changed since this job was planned", hint=_AGAIN)
