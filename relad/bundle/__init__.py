"""A trained model as one file, to pass on: written by ``relad export``, opened from disk alone."""

from relad.bundle.opening import model_folder, open_model

__all__ = ["model_folder", "open_model"]
