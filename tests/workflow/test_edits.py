"""Code that is edited while a run is at work, on a machine of its own."""

from __future__ import annotations

from pathlib import Path

from relad.study import paths
from tests.helpers.packed_study import WEIGHTS, packed_study

#: As what is edited in an editor while a training runs.
EDITS = """
from pathlib import Path

from baselines.template import MeanTemplate
from relad.steps import synthesize


class Edits(MeanTemplate):
    def __init__(self, **given):
        super().__init__(**given)
        with Path(synthesize.__file__).open("a") as file:
            file.write("EDITED = True\\n")
"""


def test_a_job_whose_code_was_edited_since_the_plan_stops(tmp_path: Path) -> None:
    study = packed_study(tmp_path)
    methods = study.repository / "config" / "test" / "methods.yaml"
    methods.write_text(
        methods.read_text(encoding="utf-8").replace("template:MeanTemplate", "edits:Edits"),
        encoding="utf-8",
    )
    (study.repository / "baselines" / "edits.py").write_text(EDITS, encoding="utf-8")
    target = paths.synthesized("toy", "template", 0, 0)
    done = study.snakemake(str(target), "--cores", "1")
    assert done.returncode == 1
    assert (study.folder / "study" / WEIGHTS).is_file(), done.stderr
    log = study.folder / "study" / paths.log("synthesize", "toy", "template", 0, 0)
    assert log.read_text(encoding="utf-8").startswith(
        "relad synthesize: error: the code of 'synthesize' changed since this job was planned"
    )
    assert not (study.folder / "study" / target).exists()
