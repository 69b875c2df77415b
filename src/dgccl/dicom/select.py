"""Which CT and which PET of a patient are used, by one ordered rule, and why each other series is not."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dgccl.dicom.describe import IMAGE_CLASSES
from dgccl.dicom.scan import SeriesFiles
from dgccl.types import PointsMm

_COVERAGE_STEP = 0.1
_MARGIN_MM = 1.0


@dataclass(frozen=True)
class Decision:
    """Why a series was kept or left out; `code` is a stable reason code."""

    series_uid: str
    kept: bool
    code: str
    message: str


@dataclass(frozen=True)
class PairSelection:
    """The CT and PET to use (None where there is none), and one decision a CT or PET series."""

    ct: SeriesFiles | None
    pet: SeriesFiles | None
    decisions: tuple[Decision, ...]


# The criteria in their order of weight: what a series that loses by it is told.
_CRITERIA = (
    ("not_drawn_on", "another series is the one that an outline refers to"),
    ("no_matching_partner", "no CT or PET of the same study or frame of reference goes with it"),
    ("other_frame_of_reference", "another series shares its frame of reference with its partner"),
    ("other_study", "another pair comes from one study"),
    ("repeated_positions", "it shows positions several times, as dynamic or gated series do"),
    ("not_attenuation_corrected", "another PET series is attenuation-corrected"),
    ("does_not_cover", "another series covers more of the lesion or of the PET"),
    ("thicker_slices", "another series has a smaller slice spacing"),
    ("fewer_slices", "another series has more slices"),
    ("higher_uid", "it is equal to the chosen one in every respect; the lower series UID is taken"),
)


def select_pair(series: Sequence[SeriesFiles], *, lesions_mm: PointsMm | None = None) -> PairSelection:
    """Choose one CT and one PET series.

    Left out beforehand: other modalities and secondary captures, localizers, single slices, and series with
    defects. Among the rest the pair is taken that is best by these criteria, each deciding only among
    equals of those before: an outline (RTSTRUCT or SEG in `series`) refers to it; CT and PET are both there;
    same frame of reference; same study; every position once; PET attenuation-corrected (unknown before not);
    covers the lesions, or else, to a tenth, most of the PET (for a PET: of the CT); smaller slice spacing;
    more slices; lower series UID. CT and PET of different studies and frames of reference are never paired.

    Args:
        series: all series of one study or of one patient, outlines included.
        lesions_mm: points of the lesions, LPS mm, shape (n, 3), if known.

    Returns:
        The pair, with a decision for every CT and PET series.
    """
    excluded = {_identity(entry): reason for entry in series if (reason := exclusion(entry))}
    images = [entry for entry in series if entry.modality in ("CT", "PT")]
    usable = [entry for entry in images if _identity(entry) not in excluded]
    references = frozenset(
        uid
        for entry in series
        if entry.modality in ("RTSTRUCT", "SEG")
        for uid in entry.referenced_series_uids
    )
    cts: list[SeriesFiles | None] = [None, *(entry for entry in usable if entry.modality == "CT")]
    pets: list[SeriesFiles | None] = [None, *(entry for entry in usable if entry.modality == "PT")]
    pairs = [(ct, pet) for ct, pet in itertools.product(cts, pets) if (ct or pet) and _may_pair(ct, pet)]
    ranks = {_pair_identity(pair): _rank(*pair, references, lesions_mm) for pair in pairs}
    best = min(pairs, key=lambda pair: ranks[_pair_identity(pair)], default=(None, None))
    decisions = []
    for entry in images:
        if reason := excluded.get(_identity(entry)):
            decisions.append(Decision(entry.series_uid, False, *reason))
        elif entry is best[0] or entry is best[1]:
            decisions.append(Decision(entry.series_uid, True, *_kept(entry, best)))
        else:
            own = min(ranks[_pair_identity(pair)] for pair in pairs if entry is pair[0] or entry is pair[1])
            lost = next(
                k for k, (a, b) in enumerate(zip(own, ranks[_pair_identity(best)], strict=True)) if a != b
            )
            code, why = _CRITERIA[lost]
            decisions.append(Decision(entry.series_uid, False, code, f"Left out: {why}."))
    return PairSelection(*best, tuple(decisions))


def _identity(entry: SeriesFiles) -> tuple[str, str, str, str, bool]:
    return entry.study_uid, entry.series_uid, entry.modality, entry.sop_class_uid, entry.localizer


def _pair_identity(pair: tuple[SeriesFiles | None, SeriesFiles | None]) -> tuple[int, int]:
    return id(pair[0]), id(pair[1])


def exclusion(entry: SeriesFiles) -> tuple[str, str] | None:
    """Code and message if a CT, PET or MR series can never be used; None if it may, or is no image."""
    if entry.modality not in IMAGE_CLASSES:
        return None
    if entry.sop_class_uid not in IMAGE_CLASSES[entry.modality]:
        return "wrong_sop_class", "Left out: not stored as an image of its modality (e.g. a screen capture)."
    if entry.localizer:
        return "localizer", "Left out: a localizer."
    if entry.defects:
        return entry.defects[0].code, f"Left out: {entry.defects[0].message}"
    if entry.frames < 2:
        return "single_slice", "Left out: a single slice is no volume."
    return None


def _kept(entry: SeriesFiles, best: tuple[SeriesFiles | None, SeriesFiles | None]) -> tuple[str, str]:
    """Code and message of a series that is used, with the reservation that weighs most."""
    ct, pet = best
    if entry.modality == "PT" and entry.attenuation_corrected is False:
        return "not_attenuation_corrected", "Kept, but Corrected Image does not list ATTN."
    if ct and pet and ct.frame_of_reference_uid != pet.frame_of_reference_uid:
        return "frame_of_reference_differs", "Kept, but CT and PET of the study name two frames of reference."
    return "selected", "Kept."


def _may_pair(ct: SeriesFiles | None, pet: SeriesFiles | None) -> bool:
    return ct is None or pet is None or ct.study_uid == pet.study_uid or _same_frame(ct, pet)


def _same_frame(ct: SeriesFiles, pet: SeriesFiles) -> bool:
    return ct.frame_of_reference_uid == pet.frame_of_reference_uid != ""


def _rank(
    ct: SeriesFiles | None, pet: SeriesFiles | None, references: frozenset[str], lesions_mm: PointsMm | None
) -> tuple:
    """Lower is better; one entry a criterion of `_CRITERIA`."""
    present = [entry for entry in (ct, pet) if entry is not None]
    correction = {True: 0, None: 1, False: 2}
    return (
        -sum(entry.series_uid in references for entry in present),
        -len(present),
        not (ct and pet and _same_frame(ct, pet)),
        not (ct and pet and ct.study_uid == pet.study_uid),
        sum(entry.planes != entry.frames for entry in present),
        correction[pet.attenuation_corrected] if pet else 0,
        _uncovered(ct, pet, lesions_mm),
        tuple(round(entry.slice_spacing_mm or 1e3, 2) for entry in present),
        tuple(-entry.planes for entry in present),
        tuple((entry.series_uid, entry.study_uid, entry.patient_id, entry.paths) for entry in present),
    )


def _uncovered(ct: SeriesFiles | None, pet: SeriesFiles | None, lesions_mm: PointsMm | None) -> float:
    """Share of the lesions' points outside the images; without lesions, of the PET's length outside the CT."""
    if lesions_mm is not None and len(lesions_mm):
        inside = np.ones(len(lesions_mm), dtype=bool)
        for entry in (ct, pet):
            if entry is not None:
                low, high = np.array(entry.box_mm or np.full((2, 3), np.nan))
                inside &= ((lesions_mm >= low - _MARGIN_MM) & (lesions_mm <= high + _MARGIN_MM)).all(axis=1)
        return float(1 - inside.mean())
    if ct is None or pet is None or ct.box_mm is None or pet.box_mm is None:
        return 0.0
    low, high = np.array(ct.box_mm), np.array(pet.box_mm)
    overlap = np.minimum(low[1], high[1]) - np.maximum(low[0], high[0])
    # A CT may see less of the table's sides than the PET; what counts is how far it reaches head to foot.
    share = max(0.0, float(overlap[2])) / max(float(high[1, 2] - high[0, 2]), 1e-6)
    return round((1 - min(1.0, share)) / _COVERAGE_STEP) * _COVERAGE_STEP
