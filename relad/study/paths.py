"""The one place that builds a path below ``results/``.

Used by the workflow to declare inputs and outputs, and by the steps to find what they need.
Standard library only, since the Snakefile imports it.
"""

from __future__ import annotations

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent
RESULTS = Path("results")


def truth(cohort: str) -> Path:
    """What is known of a simulated cohort, a folder ``sub-<label>`` a person."""
    return raw(cohort) / "truth"


def raw(cohort: str) -> Path:
    """Folder of a simulated cohort: ``loni/``, ``collection.csv`` and ``truth/``."""
    return RESULTS / "raw" / cohort


def bids(cohort: str) -> Path:
    """BIDS dataset of a cohort, with ``participants.tsv`` and ``ingest.tsv``."""
    return RESULTS / "bids" / cohort


def enrolled(cohort: str) -> Path:
    """Table of a cohort's people, and whether their scans may be of use."""
    return RESULTS / "enrolled" / f"{cohort}.tsv"


def registered(cohort: str, subject: str) -> Path:
    """Folder of one subject's transforms, brain mask and averaged PET."""
    return RESULTS / "registered" / cohort / f"sub-{subject}"


def normalized(cohort: str, subject: str) -> Path:
    """Folder of one subject's images on the MNI grid: MRI, PET in SUVR, mask, QC."""
    return RESULTS / "normalized" / cohort / f"sub-{subject}"


def quality(cohort: str) -> Path:
    """Folder of a cohort's quality control: page, table, and ``subjects.json``, the verdicts."""
    return RESULTS / "qc" / cohort


def packed(cohort: str) -> Path:
    """Memory-mapped dataset of a cohort."""
    return RESULTS / "packed" / cohort


def model(method: str, fold: int | str, seed: int | str) -> Path:
    """Folder of one trained model."""
    return RESULTS / "models" / method / f"fold-{fold}_seed-{seed}"


def search(method: str, fold: int | str) -> Path:
    """Folder of the search of one method's parameters on one fold."""
    return tuning() / method / f"fold-{fold}"


def tuning() -> Path:
    """Folder of what was found for all methods: ``tuned.yaml`` and ``tuning.csv``."""
    return RESULTS / "tuning"


def synthesized(cohort: str, method: str, fold: int | str, seed: int | str) -> Path:
    """Folder of the PET a model synthesised for a cohort."""
    return RESULTS / "synthesized" / cohort / method / f"fold-{fold}_seed-{seed}"


def evaluated(cohort: str, method: str, fold: int | str, seed: int | str) -> Path:
    """Tidy table of one model's metrics on one cohort."""
    return RESULTS / "metrics" / cohort / method / f"fold-{fold}_seed-{seed}.csv"


def ceiling(cohort: str) -> Path:
    """Tidy table of how near one could come to the true PET of a simulated cohort's people."""
    return RESULTS / "metrics" / cohort / "ceiling" / "all.csv"


def sampled(cohort: str, method: str, sampler: str, fold: int | str, seed: int | str) -> Path:
    """Folder of the PET of one sampling of the sampler study."""
    return RESULTS / "sampler_study" / cohort / method / sampler / f"fold-{fold}_seed-{seed}"


def derivatives(cohort: str, method: str, fold: int | str, seed: int | str) -> Path:
    """BIDS derivative dataset of the PET that a model made of a cohort it was applied to."""
    return RESULTS / "derivatives" / cohort / method / f"fold-{fold}_seed-{seed}"


def table(name: str, suffix: str = "csv") -> Path:
    return RESULTS / "tables" / f"{name}.{suffix}"


def figure(name: str, suffix: str = "png") -> Path:
    return RESULTS / "figures" / f"{name}.{suffix}"


def plan() -> Path:
    """Jobs of the last run, written when it began, see :mod:`relad.study.progress`."""
    return RESULTS / "plan.json"


def report() -> Path:
    """The study on one page."""
    return RESULTS / "report.html"


def paper() -> Path:
    """Folder of the paper's skeleton, ``paper.tex`` and what it inputs."""
    return RESULTS / "paper"


#: File that marks a folder of results as one that was passed on, without images and weights.
CRATE = "ro-crate-metadata.json"


def settings(step: str, name: str) -> Path:
    """A file of settings or of words that jobs of a step read."""
    return RESULTS / "settings" / step / name


def log(step: str, *parts: object) -> Path:
    return RESULTS / "logs" / step / ("_".join(map(str, parts)) + ".log" if parts else "all.log")


def benchmark(step: str, *parts: object) -> Path:
    name = "_".join(map(str, parts)) if parts else "all"
    return RESULTS / "benchmarks" / step / f"{name}.tsv"


# --- names inside the folders above -------------------------------------------------------------

#: Of a trained model's folder: what it tells of itself, its weights, its losses by update.
TRAINING_RECORD, WEIGHTS, TRAINING_LOG = "train.json", "model.safetensors", "log.csv"


def preprocessed_mri(subject: str, modality: str) -> str:
    """``modality``: T1w or FLAIR."""
    return f"sub-{subject}_space-MNI_desc-preproc_{modality}.nii.gz"


def preprocessed_pet(subject: str, tracer: str) -> str:
    return f"sub-{subject}_trc-{tracer}_space-MNI_desc-suvr_pet.nii.gz"


def brain_mask(subject: str) -> str:
    return f"sub-{subject}_space-MNI_desc-brain_mask.nii.gz"


def predictable_truth(subject: str, tracer: str) -> str:
    """What anatomy determines of a simulated PET, on the scan's own grid, in a folder of truth."""
    return f"sub-{subject}_trc-{tracer}_desc-predictable_pet.nii.gz"


def predictable_pet(subject: str, tracer: str) -> str:
    """The same in SUVR on the MNI grid, brought there as the PET was."""
    return f"sub-{subject}_trc-{tracer}_space-MNI_desc-predictable_pet.nii.gz"


def field_of_view(subject: str, tracer: str) -> str:
    """Where every frame of a PET shows something; elsewhere its SUVR means nothing."""
    return f"sub-{subject}_trc-{tracer}_space-MNI_desc-fov_mask.nii.gz"


def own_regions(subject: str) -> str:
    """Regions of the evaluation from the person's own segmentation, one a volume."""
    return f"sub-{subject}_space-MNI_desc-regions_mask.nii.gz"


def qc_picture(subject: str) -> str:
    return f"sub-{subject}_qc.png"


def flicker_picture(subject: str) -> str:
    """Views of a subject between which the quality page flips, see :mod:`relad.qc.flicker`."""
    return f"sub-{subject}_flicker.jpg"


def flicker_outline(subject: str) -> str:
    return f"sub-{subject}_flicker.png"


def flicker_views(subject: str) -> str:
    return f"sub-{subject}_flicker.json"


def motion(subject: str, tracer: str) -> str:
    """Motion of every frame of a PET, in the folders of `register` and of `normalize`."""
    return f"sub-{subject}_trc-{tracer}_desc-motion.json"


def synthetic_pet(subject: str, tracer: str) -> str:
    return f"sub-{subject}_trc-{tracer}_space-MNI_desc-synthetic_pet.nii.gz"


def spread_pet(subject: str, tracer: str) -> str:
    """Standard deviation of several samples in SUVR, beside :func:`synthetic_pet`, their mean."""
    return f"sub-{subject}_trc-{tracer}_space-MNI_desc-spread_pet.nii.gz"


def sample_pet(subject: str, tracer: str, number: int) -> str:
    """One of several samples (from 1) in SUVR, beside :func:`synthetic_pet`, their mean."""
    return f"sub-{subject}_trc-{tracer}_space-MNI_desc-sample{number}_pet.nii.gz"
