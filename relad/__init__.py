"""relad: a reproducible benchmark for synthesising brain PET from structural MRI."""

__version__ = "0.1.0"
