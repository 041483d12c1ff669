"""What a header, of DICOM or a sidecar, says an image shows, where that decides its use.

A scan described as "MPRAGE" may be its phase, a map computed from it, one inversion of an MP2RAGE,
or acquired after a contrast agent; a PET may be a projection, or not corrected for attenuation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

#: Parts of a complex image.
MAGNITUDE, PHASE, REAL, IMAGINARY = "magnitude", "phase", "real", "imaginary"
_PARTS = {
    **dict.fromkeys(("M", "MAGNITUDE", "M_FFE", "M_IR", "M_SE"), MAGNITUDE),
    **dict.fromkeys(("P", "PHASE", "PHASE MAP", "P_FFE", "PHASE_MAP"), PHASE),
    **dict.fromkeys(("R", "REAL", "R_FFE", "R_IR", "R_SE"), REAL),
    **dict.fromkeys(("I", "IMAGINARY", "I_FFE", "I_IR", "I_SE"), IMAGINARY),
}
#: GE's private number of the part (0043,102F).
_GE_PARTS = (MAGNITUDE, PHASE, REAL, IMAGINARY)
#: Words of ImageType for images that are computed from others and no longer weighted as they are.
_COMPUTED = {
    "T1 MAP": "a map of T1",
    "T1MAP": "a map of T1",
    "T2 MAP": "a map of T2",
    "T2MAP": "a map of T2",
    "T2_STAR MAP": "a map of T2*",
    "R1 MAP": "a map of R1",
    "R2 MAP": "a map of R2",
    "B0 MAP": "a map of B0",
    "B1 MAP": "a map of B1",
    "ADC": "a map of diffusion",
    "FA": "a map of diffusion",
    "SUBTRACTION": "a difference of images",
    "SUBTRACT": "a difference of images",
    "SUB": "a difference of images",
    "LOCALIZER": "a localiser",
    "PROJECTION IMAGE": "a projection",
    "MAX_IP": "a projection",
    "MIN_IP": "a projection",
    "MIP": "a projection",
    "MIN IP": "a projection",
    "MAX IP": "a projection",
    "MNIP": "a projection",
    "MINIP": "a projection",
    "SCREEN SAVE": "a picture of a screen",
    "SCREENSAVE": "a picture of a screen",
    "FUSED": "a fusion of images",
    "FUSION": "a fusion of images",
}
#: Words for slices that a console cut anew out of a volume.
_REFORMATTED = {"MPR", "MPR THICK", "REFORMATTED", "RESAMPLED"}
_UNIFORM = {"UNI", "UNIFORM"}
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_CONTRAST = (
    "ContrastBolusAgent",
    "ContrastBolusIngredient",
    "ContrastBolusVolume",
    "ContrastBolusTotalDose",
)
#: How an agent was given; a header that has these and names none may just have left it out.
_GIVEN = (
    "ContrastBolusRoute",
    "ContrastBolusStartTime",
    "ContrastBolusStopTime",
    "ContrastFlowRate",
    "ContrastFlowDuration",
    "ContrastBolusIngredientConcentration",
)
#: What stands for no contrast agent where a form wanted a word.
_NO_AGENT = re.compile(r"(?i)\W*(no(ne)?|n/?a|nil|0*\.?0*|without|unknown|false|no contrast)?\W*")
#: Statements of attenuation correction: BIDS has it in free text, and some put a boolean there.
_ATTENUATION = ("AttenuationCorrectionMethod", "AttenuationCorrection")
_NAMED = (
    r"(?:(?:attenuation|atten|attn|att)(?: (?:and|or|nor) \w+)?(?: corr(?:ections?|ected))?"
    r"|(?:ct|mr)? ?ac)"
)
_WHAT = r"(?:(?:the|of|pet|data|images?|scans?) )*"
_IS = r"(?:(?:there )?(?:was|were|is|are|has|have)(?: been)? )?"
_DONE = r"(?:done|made|used|applied|performed|corrected)"
_NOT = r"not(?: been)?"
#: What denies it where it is said first, as a whole, and where it is said of attenuation by name.
_DENIES = re.compile(
    rf"(?:none|no|without)(?: corrections?)?(?: {_IS}{_DONE})?|nil|nac|false|off|0|uncorrected"
    rf"|{_WHAT}{_IS}{_NOT} {_DONE}"
)
_DENIES_BY_NAME = re.compile(
    rf"{_WHAT}{_IS}(?:(?:no|non|neither|without|un|{_NOT}) (?:\w+ (?:and|or|nor) )?(?:any )?"
    rf"{_NAMED}(?: {_IS}{_DONE})?(?: recon(?:struction)?| images?)?"
    rf"|{_NAMED} (?:none|no|nil|off|false|uncorrected|{_IS}{_NOT} {_DONE})|non?ac"
    rf"|(?:uncorrected|{_NOT} corrected|(?:no|without) corrections?)"
    r" for (?:\w+ (?:and|or|nor) )?attenuation(?: (?:and|or|nor) \w+)?)"
)
_UNTOLD = re.compile(
    r"(?:n ?a|nan|null|unknown|unspecified|missing|tbd"
    r"|not (?:known|stated|specified|available|applicable|reported|given))?"
)


def words_of(told: Mapping[str, Any]) -> tuple[str, ...]:
    """Values of ImageType (or FrameType), upper case; the first two say whether it is original."""
    value = told.get("FrameType") or told.get("ImageType") or ()
    listed = value.split("\\") if isinstance(value, str) else value
    return tuple(str(word).strip().upper() for word in listed)


def part_of(told: Mapping[str, Any]) -> str:
    """Part of a complex image that a header tells of; empty where it does not tell."""
    stated = str(told.get("ComplexImageComponent") or "").strip().upper()
    if stated in _PARTS:
        return _PARTS[stated]
    found = {_PARTS[word] for word in words_of(told)[2:] if word in _PARTS}
    if PHASE in found:  # dcm2niix and Philips add it to what else is said
        return PHASE
    if len(found) == 1:
        return found.pop()
    private = getattr(told, "private_block", None)
    if private is not None:
        try:
            number = int(private(0x0043, "GEMS_PARM_01")[0x2F].value)
            return _GE_PARTS[number] if 0 <= number < 4 else ""
        except (KeyError, TypeError, ValueError):
            return ""
    return ""


def agent_of(told: Mapping[str, Any]) -> str:
    """Contrast agent that a header names; empty where it names none."""
    for key in _CONTRAST:
        value = told.get(key)
        text = " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value or "")
        if not _NO_AGENT.fullmatch(text):
            return text if "Volume" not in key and "Dose" not in key else f"{text} ml"
    for key in ("ContrastBolusAgentSequence", "ContrastBolusIngredientCodeSequence"):
        for item in told.get(key) or ():
            return str(item.get("CodeMeaning") or item.get("ContrastBolusAgent") or "not named")
    return ""


def unfit(told: Mapping[str, Any], kind: str) -> str | None:
    """Why an image cannot be used as what it is described as; None where it can.

    Parameters
    ----------
    told
        Header of a DICOM file, or a sidecar.
    kind
        T1w, FLAIR or PET.
    """
    words = words_of(told)
    if str(told.get("SOPClassUID") or "").startswith(_SECONDARY_CAPTURE):
        return "not used: a secondary capture, no scan"
    computed = next((_COMPUTED[word] for word in words[2:] if word in _COMPUTED), None)
    if computed:
        return f"not used: {computed}, as its header says ({', '.join(words)})"
    if kind == "PET":
        return _unfit_pet(told)
    if part_of(told) in (PHASE, IMAGINARY):
        return f"not used: the {part_of(told)} of a complex image ({', '.join(words)})"
    agent = agent_of(told)
    return (
        f"not used: acquired with a contrast agent ({agent}), as its header says" if agent else None
    )


def remarks(told: Mapping[str, Any]) -> list[str]:
    """What a header says of an image's making that a person should know though it can be used."""
    found = []
    if _REFORMATTED & set(words_of(told)):
        found.append(f"cut anew out of another image ({', '.join(words_of(told))})")
    if str(told.get("LossyImageCompression") or "") == "01":
        found.append("its pixels were compressed with losses, as its header says")
    given = [f"{key} {told.get(key)}" for key in _GIVEN if _is_given(told.get(key))]
    if given and told.get("Modality") != "PT" and not agent_of(told):
        found.append(f"a contrast agent may have been given, though none is named ({given[0]})")
    attenuation = _attenuation(told)
    if attenuation and not any(attenuation) and "ATTN" not in _corrections(told):
        found.append("whether it was corrected for attenuation is unknown")
    return found


def _is_given(value: Any) -> bool:
    return value is not None and not _NO_AGENT.fullmatch(str(value))


def _unfit_pet(told: Mapping[str, Any]) -> str | None:
    if str(told.get("CountsSource") or "").upper() == "TRANSMISSION":
        return "not used: a transmission scan, as its header says (CountsSource)"
    series_type = told.get("SeriesType") or ()
    listed = [series_type] if isinstance(series_type, str) else list(map(str, series_type))
    if "REPROJECTION" in listed:
        return "not used: a projection, as its header says (SeriesType)"
    if "GATED" in listed:
        return "not used: gated, as its header says (SeriesType): its frames are no times"
    stated = _attenuation(told)
    corrected = _corrections(told)
    denied = next((text for text in stated if _denies_attenuation(text)), None)
    if str(told.get("AttenuationCorrected") or "").strip().upper() == "NO":  # of an enhanced PET
        denied = "AttenuationCorrected NO"
    if denied is None and corrected and "ATTN" not in corrected and not any(stated):
        denied = f"CorrectedImage {', '.join(corrected)}"
    return denied and f"not used: not corrected for attenuation, as its header says ({denied})"


def _corrections(told: Mapping[str, Any]) -> list[str]:
    """What a header says that an image was corrected for."""
    corrected = told.get("CorrectedImage") or ()
    return [corrected] if isinstance(corrected, str) else list(map(str, corrected))


def _attenuation(told: Mapping[str, Any]) -> list[str]:
    """What is stated of attenuation correction; empty texts where that is unknown."""
    stated = [told.get(key, ()) for key in _ATTENUATION]
    texts = ["" if value in (None, []) else str(value) for value in stated if value != ()]
    return ["" if _UNTOLD.fullmatch(_plain(text).strip()) else text for text in texts]


def _denies_attenuation(text: str) -> bool:
    """Whether a text says that there was no correction, and not that there was none of scatter."""
    parts = [_plain(part).strip() for part in re.split(r"[,;|()\n]|\. ", text)]
    parts = [part for part in parts if part] or [""]
    return bool(_DENIES.fullmatch(parts[0])) or any(map(_DENIES_BY_NAME.fullmatch, parts))


def variant_rank(told: Mapping[str, Any], description: str) -> tuple[int, ...]:
    """Sort key of a T1w or FLAIR among others of its session; smaller is preferred.

    The magnitude before the real part, a volume acquired as one (3D) before a stack of slices (2D),
    an MP2RAGE after a T1w of another kind and of its images the uniform one (denoised first), an
    original before what was computed from it, and of one scan the image that the scanner corrected
    for its gradients' distortion (in 3D, then 2D) before the one that it did not.
    """
    return (
        int(part_of(told) == REAL),
        int(str(told.get("MRAcquisitionType") or "").strip().upper() == "2D"),
        _mp2rage_rank(told, description),
        *_processing_rank(told, description),
    )


def _mp2rage_rank(told: Mapping[str, Any], description: str) -> int:
    """0 of no MP2RAGE, 1 and 2 of its uniform image (denoised, plain), 3 of an unnamed one."""
    text = _plain(description)
    if _is_uniform(told, description):
        return 1 if re.search(r"\bden(oised)?\b|\brobust\b", text) else 2
    return 3 if "mp2rage" in text else 0


def _plain(description: str) -> str:
    return re.sub(r"[\W_]+", " ", description.lower())


def _is_uniform(told: Mapping[str, Any], description: str) -> bool:
    named = re.search(r"\buni(t1|form)?\b", _plain(description))
    return bool(_UNIFORM & set(words_of(told))) or named is not None


def _processing_rank(told: Mapping[str, Any], description: str) -> tuple[int, int]:
    """Whether an image was computed from another; how it was not corrected for distortion."""
    words = words_of(told)
    # Siemens calls the distortion-corrected image derived, where nothing else was done to it.
    distortion = 0 if "DIS3D" in words or told.get("NonlinearGradientCorrection") is True else 2
    distortion = 1 if "DIS2D" in words and "DIS3D" not in words else distortion
    made = words[:1] == ("DERIVED",) and not _is_uniform(told, description)
    corrected_only = distortion < 2 and words[1:2] == ("PRIMARY",)
    return int(made and not corrected_only), distortion


def is_bare_mp2rage(told: Mapping[str, Any], description: str) -> bool:
    """Whether an image is described as an MP2RAGE and nothing says which of its images it is."""
    return _mp2rage_rank(told, description) == 3
