"""Which MR series of a patient goes with its CT and PET, and why each other is not taken."""

import re
from collections.abc import Collection, Sequence

from dgccl.dicom.elements import read_elements
from dgccl.dicom.scan import SeriesFiles
from dgccl.dicom.select import Decision, exclusion
from dgccl.errors import DicomError

_SERIES_DESCRIPTION = 0x0008103E


def select_mr(
    series: Sequence[SeriesFiles], *, name: str, pattern: str, frames_of_reference: Collection[str]
) -> tuple[SeriesFiles | None, tuple[Decision, ...]]:
    """The one MR series that can be used; where several can, the user has to say which.

    Sequences differ in what they show, so that no rule may choose among them. Left out are localizers, single
    slices, series with defects, those whose Series Description does not match, and those that do not share the
    frame of reference of the CT or PET: they would have to be registered first.

    Args:
        series: all series of a patient.
        name: of the modality, for messages.
        pattern: regular expression that the Series Description must match in part, in any letter case.
        frames_of_reference: Frame of Reference UIDs of the CT and PET in use; empty where there are none.

    Returns:
        The series or None, and a decision for each MR series.

    Raises:
        DicomError: `several_series`, more than one is left.
    """
    entries = [entry for entry in series if entry.modality == "MR"]
    reasons = [_reason(entry, pattern, frames_of_reference) for entry in entries]
    fitting = [entry for entry, reason in zip(entries, reasons, strict=True) if reason is None]
    if len(fitting) > 1:
        raise DicomError(
            "several_series",
            f"{len(fitting)} MR series can be the image {name!r}; one was expected.",
            remedy=f"Choose by Series Description: --image '{name}=PATTERN', a regular expression.",
        )
    decisions = [
        Decision(entry.series_uid, reason is None, *(reason or ("selected", "Kept.")))
        for entry, reason in zip(entries, reasons, strict=True)
    ]
    return (fitting[0] if fitting else None), tuple(decisions)


def _reason(entry: SeriesFiles, pattern: str, frames: Collection[str]) -> tuple[str, str] | None:
    """Code and message if a series is left out."""
    excluded = exclusion(entry)
    if excluded:
        return excluded
    if frames and entry.frame_of_reference_uid not in frames:
        return "other_frame_of_reference", "Left out: it does not share the frame of reference of CT and PET."
    description = read_elements(entry.paths[0], pixels=False).text(_SERIES_DESCRIPTION)
    if not re.search(pattern, description, flags=re.IGNORECASE):
        return "other_description", "Left out: its Series Description does not match."
    return None
