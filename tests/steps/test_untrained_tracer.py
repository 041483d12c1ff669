"""A tracer of which a model saw no PET is synthesised by nobody, and nobody is asked for it."""

from __future__ import annotations

import shutil

from relad import cli
from relad.data.dataset import PackedDataset
from relad.fileio import read_json
from relad.results.records import read_synthesis
from relad.steps.evaluate import evaluate
from tests.helpers.fake_study import amend
from tests.helpers.packing import write_packed
from tests.helpers.settings import file_of, study
from tests.helpers.trainings import train


def test_it_is_told_in_words_and_in_the_record(tmp_path, capsys):
    packed = write_packed(tmp_path / "packed", shape=(12, 12, 12))
    model, out = tmp_path / "model", tmp_path / "out"
    assert train(packed, model, "template") == 0
    amend(model / "train.json", trained_tracers=["tspo"])
    command = ["synthesize", str(model), str(packed), str(out), "--settings", file_of(study())]
    assert cli.main(command) == 0
    assert "not synthesised: tau, amyloid, of which it saw no PET" in capsys.readouterr().err
    assert read_json(out / "synthesis.json")["untrained"] == ["tau", "amyloid"]
    files = sorted(file.name for file in out.glob("*.nii.gz"))
    assert len(files) == 2 and all("tspo" in name for name in files)
    rows = list(evaluate(read_synthesis(out), PackedDataset(packed)))
    assert {row["tracer"] for row in rows} == {"tspo"}
    shutil.rmtree(out)
    amend(model / "train.json", trained_tracers=["another"])
    assert cli.main(command) == 2
    assert "has no PET of the tracers another" in capsys.readouterr().err
