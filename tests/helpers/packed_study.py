"""A study of a packed toy cohort and one method: the shortest way through the workflow's rules."""

from __future__ import annotations

from pathlib import Path

from relad.study import paths
from tests.helpers.packing import WINDOWS, write_packed
from tests.helpers.small_study import Study

CONFIG = """
cohorts:
  toy: {{role: train, source: packed, path: "{packed}"}}
tracers:
{tracers}
grid: {{voxel_mm: 8.0, shape: [16, 20, 12]}}
folds: {{count: 2, run: [0]}}
training: {{updates: 4, batch_size: 1, validation: {{subjects: 0}}, device: cpu}}
sampling: {{sampler: ddim, steps: 2}}
methods: config/test/methods.yaml
ablations: config/test/ablations.yaml
"""
METHODS = """
template:
  class: baselines.template:MeanTemplate
  label: Mean template
  family: floor
"""
WEIGHTS = str(paths.model("template", 0, 0) / "model.safetensors")


def packed_study(folder: Path) -> Study:
    """A study of one method that learns in no time, on a packed toy cohort."""
    study = Study.create(folder)
    ligands = {"tau": "AV1451", "amyloid": "AV45", "tspo": "PBR28"}
    tracers = "\n".join(
        f"  {tracer}: {{ligand: {ligand}, suvr_window: {list(WINDOWS[tracer])}}}"
        for tracer, ligand in ligands.items()
    )
    packed = write_packed(folder / "toy", folds=2)
    study.configfile.write_text(CONFIG.format(packed=packed, tracers=tracers), encoding="utf-8")
    tests = study.repository / "config" / "test"
    (tests / "methods.yaml").write_text(METHODS, encoding="utf-8")
    (tests / "ablations.yaml").write_text("{}", encoding="utf-8")
    return study
