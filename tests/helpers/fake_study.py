"""A small made-up study in the folder formats of the steps, for tests of what follows synthesis.

Brains are ellipsoids, PET is smooth noise, methods are the truth plus an error of known size.
"""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from relad.cli import main
from relad.data.dataset import SUBJECT_COLUMNS
from relad.data.window import to_unit
from relad.fileio import read_json, sha256_of, write_json, write_table
from relad.imaging.nifti import save_nifti
from relad.results.scores import COLUMNS
from relad.results.study import Study
from relad.study import paths
from relad.study.catalogue import RECORDS, Result, of_study
from relad.study.settings import ResultSettings, typed

SHAPE = (14, 16, 13)
AFFINE = np.array([[8.0, 0, 0, -52], [0, 8, 0, -77], [0, 0, 8, -43], [0, 0, 0, 1]])

#: What every run tells of what made it.
PROVENANCE = {
    "settings": {"grid": {"voxel_mm": 8.0}},
    "code": "hash",
    "versions": {"relad": "0.1.0", "numpy": "2.0"},
    "platform": "linux",
}

#: Standard deviation (SUVR) of each method's error.
ERROR = {
    "rela": 0.10,
    "unet": 0.15,
    "template": 0.40,
    "rela-no-t1w": 0.20,
}

#: Standard deviation (SUVR) of the error of "rela" under each sampling of the sampler study.
SAMPLED = {"ddim-2": 0.3, "ddim-10": 0.2, "ddim-10x4": 0.1, "regression-1": 0.25}
SAMPLED |= {"ddim-10-t1.5x4": 0.15}


def method(label: str, family: str, ablates: str | None = None) -> dict[str, Any]:
    return {
        "label": label,
        "family": family,
        "updates": None,
        "groups": ["main" if ablates is None else "ablation"],
        "ablates": ablates,
    }


def make_settings() -> dict[str, Any]:
    """What tables and figures read of the configuration."""
    methods = {
        "rela": method("RelA-Diffusion", "diffusion"),
        "unet": method("U-Net (L1)", "regression"),
        "template": method("Mean template", "floor"),
        "rela-no-t1w": method("w/o T1w", "diffusion", "rela"),
    }
    return {
        "cohorts": {"study": {"role": "train"}, "elsewhere": {"role": "external"}},
        "tracers": {
            "tau": {
                "ligand": "AV1451",
                "suvr_window": [0.0, 4.0],
                "regions": ["hippocampus", "thalamus"],  # which the made-up brain holds
                "positivity": {"region": "thalamus", "suvr": 1.3, "source": "Made up."},
            },
            "amyloid": {"ligand": "AV45", "suvr_window": [0.0, 3.0]},
        },
        "segmentation": {"regions": {}},
        "grid": {"voxel_mm": 8.0},
        "evaluation": {"interval": 0.95, "power": 0.8, "margins": {"psnr": 0.3, "mae": 0.005}},
        "methods": {name: {**entry, "trained_as": name} for name, entry in methods.items()},
    }


def score(**changes: Any) -> dict[str, Any]:
    """One row of a table of `relad evaluate`."""
    base = {
        "cohort": "study",
        "data": "simulated",
        "method": "unet",
        "sampler": "forward",
        "fold": 0,
        "seed": 0,
        "subject": "A",
        "tracer": "tau",
        "region": "brain",
        "metric": "psnr",
        "value": 20.0,
    }
    return {**base, **changes}


def scores_of(folder: Path, *rows: dict[str, Any], settings: dict[str, Any] | None = None) -> Study:
    """Study of these rows alone, read from a file."""
    write_table(folder / "metrics.csv", rows, COLUMNS)
    known = typed(ResultSettings, settings or make_settings())
    return Study.read(known, [folder / "metrics.csv"])


def entry(kind: str, name: str, settings: dict[str, Any] | None = None) -> Result:
    """The catalogue's entry of a table or figure."""
    methods = typed(ResultSettings, settings or make_settings()).methods
    return of_study(kind, methods)[name]


def amend(file: Path, **changes: Any) -> None:
    """Change keys of a JSON file; a dict is merged into the one that stands there."""
    told = read_json(file)
    for key, value in changes.items():
        told[key] = {**told.get(key, {}), **value} if isinstance(value, dict) else value
    write_json(file, told)


def accept(results: Path) -> None:
    """Take files that were changed for those that tables and figures were made of, and are."""
    for file in (f for kind in RECORDS.values() for f in results.glob(f"*/*.{kind}")):
        told = read_json(file)
        for entry in [entry for of in (told["made"], *told["files"].values()) for entry in of]:
            if (changed := file.parent / entry["path"]).is_file():
                entry["sha256"] = sha256_of(changed)
        write_json(file, told)


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
        kind: str = "simulated",
        shape: tuple[int, int, int] = SHAPE,
        affine: np.ndarray = AFFINE,
    ):
        self.root, self.kind, self.shape, self.affine = root, kind, shape, affine
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

    def copy(self, root: Path) -> FakeStudy:
        """The same study elsewhere, to be changed."""
        shutil.copytree(self.root, root)
        other = copy.copy(self)
        other.root = root
        return other

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
    def settings_file(self) -> str:
        file = self.root / "settings.json"
        write_json(file, self.settings)
        return str(file)

    @property
    def runs(self) -> list[tuple[str, str]]:
        """(cohort, method) of everything there is."""
        return [(c, m) for c in self.settings["cohorts"] for m in self.errors]

    def read(self) -> Study:
        """All results, as the steps read them."""
        return Study.read(
            typed(ResultSettings, self.settings),
            [self.metrics(*run) for run in self.runs],
            [self.model(method) for method in self.errors],
            [self.synthesized(*run) for run in self.runs],
            [self.packed(cohort) for cohort in self.settings["cohorts"]],
        )

    def evaluate(self, cohort: str, name: str, seed: int = 0) -> int:
        return main(
            [
                "evaluate",
                str(self.synthesized(cohort, name, seed)),
                str(self.metrics(cohort, name, seed)),
                "--packed",
                str(self.packed(cohort)),
                "--settings",
                self.settings_file,
            ]
        )

    def evaluate_samplings(self) -> list[Path]:
        """Metrics of "rela" on the first cohort under every sampling of :data:`SAMPLED`."""
        cohort, files = next(iter(self.settings["cohorts"])), []
        for sampler, error in SAMPLED.items():
            folder = self.root / paths.sampled(cohort, "rela", sampler, 0, 0)
            self.synthesize(cohort, "rela", folder=folder, sampler=sampler, size=error)
            files.append(folder.with_suffix(".csv"))
            given = [str(folder), str(files[-1]), "--packed", str(self.packed(cohort))]
            assert main(["evaluate", *given, "--image-only"]) == 0
        return files

    def evaluate_all(self) -> None:
        for run in self.runs:
            assert self.evaluate(*run) == 0

    def summarize(self, step: str, out: Path, *options: str) -> int:
        """Run ``tables`` or ``figures`` on everything there is."""
        return self.call(step, out, [self.metrics(*run) for run in self.runs], *options)

    def call(self, step: str, out: Path, metrics: list[Path], *options: str) -> int:
        """Run ``tables`` or ``figures`` on these metrics and all else that there is."""
        folders = {
            "models": [self.model(m) for m in self.errors],
            "synthesized": [self.synthesized(*run) for run in self.runs],
            "packed": [self.packed(c) for c in self.settings["cohorts"]],
        }
        given = [part for name, of in folders.items() for part in (f"--{name}", *of)]
        where = ["--out", out, "--settings", self.settings_file]
        return main([step, *map(str, [*metrics, *given, *where]), *options])

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
                "kind": self.kind,
                "modalities": ["T1w", "FLAIR"],
                "tracers": self.tracers,
                "windows": {t: e["suvr_window"] for t, e in self.settings["tracers"].items()},
                "affine": self.affine.tolist(),
                "shape": list(self.shape),
                "provenance": PROVENANCE,
            },
        )

    def know_ceiling(self, cohort: str, error: float = 0.05) -> Path:
        """Add what anatomy determines of a cohort's PET, and its metrics; their file."""
        folder, out = self.packed(cohort), self.root / paths.ceiling(cohort)
        pet = np.load(folder / "pet.npy")
        hidden = np.stack([self.smooth(8000 + i) for i in range(len(pet))])[:, None]
        np.save(folder / "ceiling.npy", np.where(self.mask, pet + error * hidden, pet))
        amend(folder / "dataset.json", ceiling=True)
        assert main(["ceiling", str(folder), str(out), "--settings", self.settings_file]) == 0
        return out

    def tested(self, cohort: str) -> list[str]:
        """Subjects that a model of fold 0 is tested on."""
        subjects = sorted({s for c, s, _ in self.truth if c == cohort})
        external = self.settings["cohorts"][cohort]["role"] == "external"
        return subjects if external else subjects[len(subjects) // 2 :]

    def trained(self) -> dict[str, list[str]]:
        """People of fold 0 of the first cohort, by what they are there for."""
        cohort = next(iter(self.settings["cohorts"]))
        everyone = sorted({s for c, s, _ in self.truth if c == cohort})
        test = self.tested(cohort)
        first, *others = [s for s in everyone if s not in test]
        return {"train": others, "validation": [first], "test": test}

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
        sampler = sampler if "rela" in name else "forward"
        samples = int(sampler.partition("x")[2] or 1)
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
                # Around the image with a deviation as large as its error; their mean is the image.
                drawn = np.stack([self.smooth(9000 + 10 * i + n) for n in range(samples)])
                for n, deviation in enumerate(size * (drawn - drawn.mean(axis=0)), start=1):
                    if samples > 1:
                        save_nifti(
                            folder / paths.sample_pet(subject, tracer, n),
                            np.where(self.mask, suvr + deviation, 0),
                            self.affine,
                            compact=True,
                        )
        write_json(
            folder / "synthesis.json",
            {
                "cohort": cohort,
                "kind": self.kind,
                "method": name,
                "sampler": sampler,
                "samples": samples,
                "evaluations": 10 if "rela" in name else 1,
                "fold": 0,
                "seed": seed,
                "subjects": self.tested(cohort),
                "seconds_per_volume": 0.05 * (1 + number) if name != "template" else 0.0,
                "peak_memory_mb": 512.0,
                "device": "cpu",
                "provenance": PROVENANCE,
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
        (folder / "model.safetensors").write_bytes(name.encode())
        write_json(
            folder / "train.json",
            {
                "method": name,
                "fold": 0,
                "seed": 0,
                "kind": self.kind,
                "subjects": self.trained(),
                "data": "fingerprint of the packed cohort",
                "code": {"training": "fingerprint of the loop", "method": name},
                "single_pass": name == "template",
                "reads_mri": name != "template",
                "counts": {
                    "parameters_generator": 0 if name == "template" else 1_234_567,
                    "parameters_total": 0 if name == "template" else 1_300_000,
                    "updates": 3 if name == "template" else 500,
                },
                "weights_sha256": sha256_of(folder / "model.safetensors"),
                "measured": {"seconds": 100.5, "peak_memory_mb": 900.2, "device": "cpu"},
                "provenance": PROVENANCE,
            },
        )
