"""What a bundle consists of, and how large it may be."""

from __future__ import annotations

from dataclasses import dataclass

from relad.study.paths import TRAINING_LOG, TRAINING_RECORD, WEIGHTS

#: What ``manifest.json`` calls itself, and the one version of it that is read and written here.
FORMAT, VERSION = "relad-model", 1


@dataclass(frozen=True)
class Part:
    """One file of a bundle.

    Attributes
    ----------
    what
        What it holds, for the model card.
    limit
        Most bytes that it may have.
    needed
        Whether no bundle is without it.
    of_model
        Whether it is a file of the model folder; the others are made by the export.
    """

    what: str
    limit: int
    needed: bool = False
    of_model: bool = True


_TEXT = 2**22
MANIFEST, CARD, SCORES = "manifest.json", "README.md", "scores.csv"

#: Every file that a bundle may hold, in the order of the archive. The one list to which a file that
#: models come to carry is added, and with it :data:`VERSION`: older versions refuse what they do
#: not know. What is not here stays behind, such as ``checkpoint.pt``, which only continues a
#: training.
PARTS = {
    MANIFEST: Part("format, licence, sizes and checksums", 2**16, needed=True, of_model=False),
    CARD: Part("this text", _TEXT, needed=True, of_model=False),
    TRAINING_RECORD: Part(
        "method, inputs, tracers, training, preprocessing, provenance", _TEXT, needed=True
    ),
    TRAINING_LOG: Part("losses and validation during the training", 2**24),
    SCORES: Part("scores of test subjects", _TEXT, of_model=False),
    WEIGHTS: Part("weights of the generator and the data scaling", 2**31 - 2**26, needed=True),
}

#: Most bytes of a whole bundle: a zip without the extension for larger ones.
LARGEST = 2**31 - 1

#: Licence of a bundle whose maker stated none.
UNSPECIFIED = "unspecified"
