"""What the figures are drawn from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from relad.data.dataset import PackedDataset
from relad.results.scores import Scores
from relad.study.sampling import Sampling


@dataclass
class Study:
    """Results of one study.

    Attributes
    ----------
    settings
        Sections ``cohorts``, ``tracers``, ``evaluation`` and ``methods``.
    scores
        Values per subject.
    sampler_scores
        Values per subject of every sampling of the sampler study.
    models, synthesized
        Folders of ``relad train`` and ``relad synthesize``.
    packed
        Packed datasets by cohort.
    """

    settings: dict[str, Any]
    scores: Scores
    models: list[Path] = field(default_factory=list)
    synthesized: list[Path] = field(default_factory=list)
    packed: dict[str, PackedDataset] = field(default_factory=dict)
    sampler_scores: dict[Sampling, Scores] = field(default_factory=dict)

    def label(self, method: str) -> str:
        """Name of a method for reading."""
        return self.settings["methods"][method]["label"]
