"""A small made-up study in the folder formats of the steps, for tests of what follows synthesis.

Brains are ellipsoids, PET is smooth noise, methods are the truth plus an error of known size.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from relad.cli import main
from relad.data.dataset import SUBJECT_COLUMNS
from relad.data.window import to_unit
from relad.fileio import save_nifti, write_json, write_table
from relad.study import paths

SHAPE = (14, 16, 13)
AFFINE = np.array([[8.0, 0, 0, -52], [0, 8, 0, -77], [0, 0, 8, -43], [0, 0, 0, 1]])

#: Standard deviation (SUVR) of each method's error.
ERROR = {
    "rela": 0.10,
    "unet": 0.15,
    "template": 0.40,
    "rela-no-t1w": 0.20,
}

#: Standard deviation (SUVR) of the error of "rela" under each sampling of the sampler study.
SAMPLED = {"ddim-2": 0.3, "ddim-10": 0.2, "ddim-10x4": 0.1, "regression-1": 0.25}


def method(label: str, family: str, ablates: str | None = None) -> dict[str, Any]:
    return {
        "class": "module:Class",
        "label": label,
        "family": family,
        "inputs": ["T1w", "FLAIR"],
        "params": {},
        "updates": None,
        "groups": ["main" if ablates is None else "ablation"],
        "ablates": ablates,
    }


def make_settings(source: str = "phantom") -> dict[str, Any]:
    return {
        "cohorts": {
            "study": {"role": "train", "source": source},
            "elsewhere": {"role": "external", "source": source},
        },
        "tracers": {
            "tau": {"ligand": "AV1451", "suvr_window": [0.0, 4.0]},
            "amyloid": {"ligand": "AV45", "suvr_window": [0.0, 3.0]},
        },
        "evaluation": {"interval": 0.95, "bootstrap": 200},
        "methods": {
            "rela": method("RelA-Diffusion", "diffusion"),
            "unet": method("U-Net (L1)", "regression"),
            "template": method("Mean template", "floor"),
            "rela-no-t1w": method("w/o T1w", "diffusion", "rela"),
        },
    }


class FakeStudy:
    """Packed data, synthetic PET, models and metrics below ``root``.

    Parameters
    ----------
    root
        Folder to write in.
    subjects
        Per cohort. The training cohort has two folds, of which fold 0 is tested; the second half of
        the subjects is in it. The last subject of each cohort lacks the second tracer.
    """

    def __init__(
        self,
        root: Path,
        subjects: int = 6,
        settings: dict[str, Any] | None = None,
        errors: dict[str, float] | None = None,
        shape: tuple[int, int, int] = SHAPE,
        affine: np.ndarray = AFFINE,
    ):
        self.root, self.shape, self.affine = root, shape, affine
        self.settings = settings or make_settings()
        self.errors = errors or ERROR
        self.tracers = list(self.settings["tracers"])
        self.truth: dict[tuple[str, str, str], np.ndarray] = {}
        self.mask = self.brain()
        for number, cohort in enumerate(self.settings["cohorts"]):
            self.pack(cohort, number, subjects)
            for name in self.errors:
                self.synthesize(cohort, name)
        for name in self.errors:
            self.train(name)

    # --- places and commands -------------------------------------------------------------------

    def packed(self, cohort: str) -> Path:
        return self.root / paths.packed(cohort)

    def synthesized(self, cohort: str, name: str, seed: int = 0) -> Path:
        return self.root / paths.synthesized(cohort, name, 0, seed)

    def metrics(self, cohort: str, name: str, seed: int = 0) -> Path:
        return self.root / paths.evaluated(cohort, name, 0, seed)

    def model(self, name: str) -> Path:
        return self.root / paths.model(name, 0, 0)

    @property
    def settings_json(self) -> str:
        return json.dumps(self.settings)

    def evaluate(self, cohort: str, name: str, seed: int = 0) -> int:
        return main(
            [
                "evaluate",
                str(self.synthesized(cohort, name, seed)),
                str(self.metrics(cohort, name, seed)),
                "--packed",
                str(self.packed(cohort)),
                "--settings",
                self.settings_json,
            ]
        )

    def evaluate_samplings(self) -> list[Path]:
        """Metrics of "rela" on the first cohort under every sampling of :data:`SAMPLED`."""
        cohort, files = next(iter(self.settings["cohorts"])), []
        for sampler, error in SAMPLED.items():
            folder = self.root / paths.sampled(cohort, "rela", sampler, 0, 0)
            self.synthesize(cohort, "rela", folder=folder, sampler=sampler, size=error)
            files.append(folder.with_suffix(".csv"))
            packed = str(self.packed(cohort))
            assert main(["evaluate", str(folder), str(files[-1]), "--packed", packed]) == 0
        return files

    def evaluate_all(self) -> None:
        for cohort in self.settings["cohorts"]:
            for name in self.errors:
                assert self.evaluate(cohort, name) == 0

    def summarize(self, step: str, out: Path, *options: str) -> int:
        """Run ``tables`` or ``figures`` on everything there is."""
        runs = [(c, m) for c in self.settings["cohorts"] for m in self.errors]
        arguments = [step, *(str(self.metrics(c, m)) for c, m in runs)]
        arguments += ["--models", *(str(self.model(m)) for m in self.errors)]
        arguments += ["--synthesized", *(str(self.synthesized(c, m)) for c, m in runs)]
        if step == "figures":
            arguments += ["--packed", *(str(self.packed(c)) for c in self.settings["cohorts"])]
        return main([*arguments, "--out", str(out), "--settings", self.settings_json, *options])

    # --- contents --------------------------------------------------------------------------------

    def brain(self) -> np.ndarray:
        grid = np.meshgrid(*[np.linspace(-1.15, 1.15, n) for n in self.shape], indexing="ij")
        return sum(g**2 for g in grid) < 1

    def smooth(self, seed: int) -> np.ndarray:
        noise = np.random.default_rng(seed).normal(size=self.shape)
        field = ndimage.gaussian_filter(noise, 1.2)
        return field / field.std()

    def pack(self, cohort: str, number: int, subjects: int) -> None:
        folder = self.packed(cohort)
        folder.mkdir(parents=True)
        external = self.settings["cohorts"][cohort]["role"] == "external"
        mri = np.full((subjects, 2, *self.shape), -1, np.float32)
        pet = np.full((subjects, len(self.tracers), *self.shape), np.nan, np.float32)
        rows = []
        for i in range(subjects):
            label = f"{941 + number}S{i + 1:04d}"
            mri[i][:, self.mask] = np.tanh(self.smooth(1000 * number + i))[self.mask]
            have = self.tracers if i < subjects - 1 else self.tracers[:1]
            for k, tracer in enumerate(have):
                suvr = 1.3 + 0.3 * self.smooth(1000 * number + 10 * i + k + 500)
                suvr = np.where(self.mask, suvr, 0).astype(np.float32)
                pet[i, k] = to_unit(suvr, self.settings["tracers"][tracer]["suvr_window"])
                self.truth[cohort, label, tracer] = suvr
            rows.append(
                {
                    "subject": label,
                    "session": "m00",
                    "included": "yes",
                    "index": i,
                    "fold": None if external else int(i < subjects // 2),
                    "tracers": ",".join(have),
                }
            )
        np.save(folder / "mri.npy", mri)
        np.save(folder / "pet.npy", pet)
        np.save(folder / "mask.npy", np.broadcast_to(self.mask, (subjects, *self.shape)))
        write_table(folder / "subjects.tsv", rows, SUBJECT_COLUMNS)
        write_json(
            folder / "dataset.json",
            {
                "cohort": cohort,
                "role": self.settings["cohorts"][cohort]["role"],
                "simulated": True,
                "modalities": ["T1w", "FLAIR"],
                "tracers": self.tracers,
                "windows": {t: e["suvr_window"] for t, e in self.settings["tracers"].items()},
                "affine": self.affine.tolist(),
                "shape": list(self.shape),
            },
        )

    def tested(self, cohort: str) -> list[str]:
        """Subjects that a model of fold 0 is tested on."""
        subjects = sorted({s for c, s, _ in self.truth if c == cohort})
        external = self.settings["cohorts"][cohort]["role"] == "external"
        return subjects if external else subjects[len(subjects) // 2 :]

    def synthesize(
        self,
        cohort: str,
        name: str,
        seed: int = 0,
        folder: Path | None = None,
        sampler: str = "ddim-10",
        size: float | None = None,
    ) -> None:
        folder = folder or self.synthesized(cohort, name, seed)
        size = self.errors[name] if size is None else size
        number = list(self.errors).index(name)
        for i, subject in enumerate(self.tested(cohort)):
            for k, tracer in enumerate(self.tracers):
                truth = self.truth.get((cohort, subject, tracer))
                if truth is None:
                    continue
                error = self.smooth(7000 + 100 * number + 10 * i + k + 1000 * seed)
                error = (error - error[self.mask].mean()) / error[self.mask].std()
                suvr = truth + size * (1 + 0.2 * (i % 3)) * error
                save_nifti(
                    folder / paths.synthetic_pet(subject, tracer),
                    np.where(self.mask, suvr, 0).astype(np.float32),
                    self.affine,
                )
        write_json(
            folder / "synthesis.json",
            {
                "cohort": cohort,
                "method": name,
                "sampler": sampler if "rela" in name else "forward",
                "evaluations": 10 if "rela" in name else 1,
                "fold": 0,
                "seed": seed,
                "subjects": self.tested(cohort),
                "seconds_per_volume": 0.05 * (1 + number) if name != "template" else 0.0,
                "peak_memory_mb": 512.0,
                "device": "cpu",
            },
        )

    def train(self, name: str) -> None:
        folder = self.model(name)
        losses = ["denoising", "l1", "adversarial"] if name.startswith("rela") else ["l1"]
        noise = np.random.default_rng(3)
        rows = [
            {
                "update": u,
                "seconds": 0.2 * u,
                # The adversary starts after a warm-up: its first cells are empty.
                **{
                    loss: None
                    if loss == "adversarial" and u <= 100
                    else float(np.exp(-u / 300) * noise.uniform(0.8, 1.2))
                    for loss in losses
                },
            }
            for u in range(5, 505, 5)
        ]
        write_table(folder / "log.csv", rows, ["update", "seconds", *losses])
        write_json(
            folder / "train.json",
            {
                "method": name,
                "fold": 0,
                "seed": 0,
                "counts": {
                    "parameters_generator": 0 if name == "template" else 1_234_567,
                    "parameters_total": 0 if name == "template" else 1_300_000,
                    "updates": 500,
                },
                "measured": {"seconds": 100.5, "peak_memory_mb": 900.2, "device": "cpu"},
            },
        )
