"""Snakemake, imported once and forked for every plan.

Its import takes a third of a plan's time. Nothing of relad is imported before the fork, so that a
plan reads the code of the repository it is of. Run as a file; standard library and Snakemake only.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import socket
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

#: What Snakemake imports when it is called, and what the Snakefile does, of other packages.
_AHEAD = (
    *("asyncio.runners", "jsonschema", "yaml", "snakemake.report"),
    *("smart_open", "requests", "snakemake_executor_plugin_slurm"),
)


class Server:
    """A process that has imported Snakemake, and does what it is asked in a fork of itself."""

    def __init__(self) -> None:
        mine, its = socket.socketpair()
        with its:
            process = subprocess.Popen(
                [sys.executable, __file__, str(its.fileno())], pass_fds=[its.fileno()]
            )
        self._asked = mine.makefile("rw", encoding="utf-8")
        atexit.register(lambda: (mine.shutdown(socket.SHUT_RDWR), process.wait()))

    def run(self, words: list[str], folder: Path, env: dict[str, str]) -> tuple[int, str, str]:
        """Exit status, output and errors of ``python -m snakemake WORDS``."""
        with tempfile.TemporaryDirectory() as place:
            files = [str(Path(place, name)) for name in ("out", "err")]
            self._asked.write(json.dumps([words, str(folder), env, *files]) + "\n")
            self._asked.flush()
            status = int(self._asked.readline())
            out, err = (Path(file).read_text(encoding="utf-8") for file in files)
        return status, out, err


@cache
def server() -> Server:
    """The one of this process, which ends with it."""
    return Server()


def _serve(connection: int) -> None:
    """Fork for every request; return in the fork, with everything as the request wants it."""
    with socket.socket(fileno=connection).makefile("rw", encoding="utf-8") as asked:
        for line in asked:
            child = os.fork()
            if child == 0:
                words, folder, env, out, err = json.loads(line)
                os.chdir(folder)
                os.environ.clear()
                os.environ.update(env)
                places = env.get("PYTHONPATH", "").split(os.pathsep)
                sys.path[:1] = [
                    folder,
                    *(place for place in places if place and place not in sys.path),
                ]
                sys.argv = ["snakemake", *words]
                for file, number in ((out, 1), (err, 2)):
                    os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
                return
            asked.write(f"{os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])}\n")
            asked.flush()
    sys.exit()


if __name__ == "__main__":
    from importlib import import_module
    from importlib.util import find_spec

    from snakemake.cli import main

    for name in _AHEAD:
        if find_spec(name):
            import_module(name)
    gc.freeze()  # or every fork would look through all that was imported, and so copy it
    _serve(int(sys.argv[1]))
    main()
