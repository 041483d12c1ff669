"""Which of several images of one kind in a session is used, by their sort keys alone."""

from __future__ import annotations

import pytest

from relad.cohort import dicom_kind
from relad.cohort.adni import Entry
from relad.cohort.choice import Checked, coverage, partners, preference
from relad.cohort.images import Candidate
from relad.cohort.series import Product

WINDOW = (80, 100)
RAW, COREGISTERED = Product("raw", 0, False), Product("co-registered", 1, False)
AVERAGED = Product("averaged", 2, True)


def pet(
    number: int, minutes: list[float] | None, product: Product = RAW, length=5.0, **told
) -> Checked:
    """A PET with frames that start so many minutes after the injection; None: not timed."""
    times = dict(told)
    if minutes is not None:
        times |= {
            "TimeZero": "10:00:00",
            "InjectionStart": 0,
            "FrameTimesStart": [60 * m for m in minutes],
            "FrameDuration": [60 * length] * len(minutes),
        }
    candidate = Candidate(Entry(f"I{number}", "941_S_0001"), (), "bl", rank=(number,))
    return Checked(candidate, "PET", "tau", product, None, times)


def best(*images: Checked) -> str:
    return min(images, key=lambda i: preference(i, WINDOW)).candidate.entry.image_id


def test_frames_in_the_window_go_before_all_else():
    early, late = pet(1, [0, 5, 10, 15]), pet(2, [80, 85, 90, 95])
    assert best(early, late) == "I2"
    assert best(early, pet(3, [80, 85, 90, 95], COREGISTERED)) == "I3"
    assert best(early, pet(4, None, AVERAGED)) == "I4"


def test_the_less_processed_of_scans_that_cover_the_window_alike_is_used():
    raw, other = pet(2, [80, 85, 90, 95]), pet(1, [80, 85, 90, 95], COREGISTERED)
    assert best(raw, other, pet(3, None, AVERAGED)) == "I2"
    nearly = pet(5, [81, 86, 91, 95])  # scans rarely start to the minute
    assert best(nearly, other) == "I5"


def test_more_of_the_window_goes_before_less_and_both_before_an_average():
    half, whole = pet(1, [80, 85]), pet(2, [80, 85, 90, 95], COREGISTERED)
    assert best(half, whole) == "I2"
    assert best(half, pet(3, None, AVERAGED)) == "I1"


def test_a_scan_that_nothing_times_goes_after_an_average_and_before_one_that_misses():
    assert best(pet(1, None), pet(2, None, AVERAGED)) == "I2"
    assert best(pet(1, [0, 5]), pet(2, None)) == "I2"


def test_frames_that_cannot_be_averaged_go_after_what_can_be_used():
    undecayed = pet(1, [80, 85, 90, 95], ImageDecayCorrected=False)
    assert best(undecayed, pet(2, [80, 85, 90, 95], COREGISTERED)) == "I2"
    assert best(undecayed, pet(3, None, AVERAGED)) == "I3"
    one = pet(1, [80], length=20.0, ImageDecayCorrected=False)  # is not averaged
    assert best(one, pet(3, None, AVERAGED)) == "I1"
    unknown = pet(1, [80, 85, 90, 95], ImageDecayCorrected="unknown")
    assert best(unknown, pet(3, None, AVERAGED)) == "I1"


@pytest.mark.parametrize(
    ("minutes", "share"), [([80, 85, 90, 95], 1.0), ([80, 85], 0.5), ([0, 5], 0.0), (None, None)]
)
def test_coverage_is_the_share_of_the_window_in_frames(minutes, share):
    assert coverage([pet(1, minutes)], WINDOW) == (pytest.approx(share) if share else share)


def test_partners_cover_more_of_the_window_and_lie_apart_in_time():
    first, second = pet(1, [80, 85]), pet(2, [90, 95])
    assert partners(first, [first, second], WINDOW) == [second]
    again = pet(3, [80, 85])  # the same minutes, reconstructed again
    assert partners(first, [first, again], WINDOW) == []
    whole = pet(4, [80, 85, 90, 95])
    assert partners(whole, [whole, pet(5, [100, 105])], WINDOW) == []
    assert partners(first, [first, pet(6, [0, 5])], WINDOW) == []
    assert partners(first, [first, pet(7, [90, 95], COREGISTERED)], WINDOW) == []


def test_the_uniform_image_of_an_mp2rage_goes_before_its_others():
    def rank(description: str, *words: str) -> tuple[int, ...]:
        return dicom_kind.variant_rank({"ImageType": list(words)}, description)

    mprage = rank("MPRAGE", "ORIGINAL", "PRIMARY", "M", "ND")
    denoised = rank("MP2RAGE_UNI-DEN", "DERIVED", "PRIMARY", "M", "ND", "UNI")
    uniform = rank("MP2RAGE_UNI_Images", "DERIVED", "PRIMARY", "M", "ND", "UNI")
    bare = rank("mp2rage", "ORIGINAL", "PRIMARY", "M", "ND")
    assert sorted([bare, uniform, denoised, mprage]) == [mprage, denoised, uniform, bare]
    assert mprage < rank("MPRAGE MPR", "DERIVED", "SECONDARY", "M", "MPR")
    assert mprage < rank("MPRAGE", "ORIGINAL", "PRIMARY", "R", "ND"), "magnitude before real"


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (("ORIGINAL", "PRIMARY", "M", "ND", "NORM"), "magnitude"),
        (("ORIGINAL", "PRIMARY", "M_FFE", "M", "FFE"), "magnitude"),
        (("ORIGINAL", "PRIMARY", "PHASE MAP", "P", "FFE"), "phase"),
        (("ORIGINAL", "PRIMARY", "T1", "NONE", "PHASE"), "phase"),
        (("ORIGINAL", "PRIMARY", "R", "ND"), "real"),
        (("ORIGINAL", "PRIMARY", "I", "ND"), "imaginary"),
        (("ORIGINAL", "PRIMARY", "OTHER"), ""),
        ((), ""),
    ],
)
def test_parts_of_a_complex_image_are_told_by_image_type(words, part):
    assert dicom_kind.part_of({"ImageType": list(words)}) == part
