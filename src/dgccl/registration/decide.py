"""Whether the move that the searches found is to be believed."""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float64

from dgccl.registration.images import Compared, compared
from dgccl.registration.move import distances_mm, moved_volume
from dgccl.registration.search import Parameters, information, move_of, one_thread, search, shift_within
from dgccl.types import Affine, Mask, PointMm, PointsMm
from dgccl.volume import Volume

Reason = Literal[
    "registered", "in_place", "field_too_small", "search_failed", "starts_disagree", "parts_disagree",
    "halves_disagree", "moves_too_far", "little_overlap", "no_gain", "lesion_loses",
]  # fmt: skip

_AWAY = 8.0 / np.sqrt(3.0)
STARTS_MM = (
    (0.0, 0.0, 0.0), (_AWAY, _AWAY, _AWAY), (-_AWAY, -_AWAY, _AWAY), (-_AWAY, _AWAY, -_AWAY), (_AWAY, -_AWAY, -_AWAY),
)  # fmt: skip
"""Where the searches begin, (x, y, z): as the headers say, and 8 mm off it in four directions."""
LEAST_FIELD_MM = 150.0
"""Along each axis CT and PET must have as much field in common: a box around a lesion has too few landmarks."""
AGREEMENT_MM = 2.0
"""How far most searches may end from their middle, anywhere in the body: half a PET voxel."""
LARGEST_ERROR_MM = 4.0
"""Standard error of the shift over parts of the body: one PET voxel."""
HALVES_MM = 4.0
"""By how much the upper or the lower half alone may shift: one PET voxel. A breath moves the diaphragm most."""
LEAST_MOVE_MM = 2.0
"""A PET that lies nearer than this already stays: it would gain less than the search can tell."""
FURTHEST_MM, FURTHEST_DEG = 30.0, 8.0
"""No patient lies further off within one examination; what is further is a wrong optimum."""
LEAST_GAIN = 0.005
"""Mutual information of the edges, nats, that a move must gain."""
LESION_MM = 25.0
"""Radius around a lesion in which a move must gain, too: a move that suits the rest but not the lesion is of no use."""
LEAST_OVERLAP = 0.6
"""Share of the body on CT that PET must cover after the move."""


@dataclass(frozen=True, eq=False)
class Registration:
    """What the searches found, and whether it is to be believed.

    Attributes:
        reason: `registered`, `in_place`, or why it is not sure.
        move: from where PET lay to where it belongs, (4, 4), LPS mm; the identity unless it was registered.
        found: what the searches would have done, (4, 4).
        translation_mm: of `found` at the middle of the CT, (x, y, z); like what follows NaN where nothing was found.
        rotation_deg: of `found` about x, y and z.
        distance_mm: largest distance by which `found` moves a point of the body.
        disagreement_mm: largest distance between the middle searches at a point of the body.
        error_mm: standard error of the shift by a jackknife over eighths of the body.
        halves_mm: by how much the upper or the lower half of the body alone would shift `found`, the larger of both.
        information: mutual information of the edges where PET lay, nats.
        information_found: the same after `found`.
    """

    reason: Reason
    move: Affine
    found: Affine
    translation_mm: Float64[np.ndarray, "3"]
    rotation_deg: Float64[np.ndarray, "3"]
    distance_mm: float
    disagreement_mm: float
    error_mm: float
    halves_mm: float
    information: float
    information_found: float

    @property
    def refused(self) -> bool:
        """Whether PET stays because nobody can be sure of the move."""
        return self.reason not in ("registered", "in_place")


def register_pet(
    ct: Volume, suv_bw: Volume, *, lesions_mm: PointsMm | None = None, seed: int = 2026
) -> Registration:
    """Find the rigid move that brings PET onto CT; the same answer for the same images and seed.

    Five searches begin at different places with different samples of the voxels; the middle of what they find is
    tried without each eighth of the body (jackknife), by its upper and its lower half alone, and around each lesion.

    Args:
        ct: HU.
        suv_bw: SUVbw.
        lesions_mm: centers of the lesions, LPS mm, shape (n, 3); around each a move must gain.
        seed: of the sampled voxels.

    Source: `dgccl.registration.search`; why a registration is checked before use: Brock et al., Med Phys 44 (2017)
    e43-e76 (AAPM TG-132).
    """
    shared_mm = _shared_field_mm(ct, suv_bw)
    if min(shared_mm) < LEAST_FIELD_MM:
        return _nothing("field_too_small")
    with one_thread():
        return _registered(compared(ct, suv_bw), suv_bw, lesions_mm, seed=seed)


def _registered(pair: Compared, suv_bw: Volume, lesions_mm: PointsMm | None, *, seed: int) -> Registration:
    """The searches, what they found, and the verdict."""
    points = _points(pair)
    center = pair.grid.to_patient((np.array(pair.grid.shape)[None] - 1) / 2)[0]
    searches = [search(pair, center, start, seed=seed + n) for n, start in enumerate(STARTS_MM)]
    ends = [parameters for parameters in searches if parameters is not None]
    most = len(STARTS_MM) // 2 + 1
    if len(ends) < most:
        return _nothing("search_failed")
    middle = np.median(ends, axis=0)
    found = move_of(middle, center)
    # One stray start is no reason to refuse: more than half must lie together.
    apart = sorted(float(distances_mm(found, move_of(end, center), points).max()) for end in ends)
    registration = Registration(
        reason="registered",
        move=found,
        found=found,
        translation_mm=found[:3, :3] @ center + found[:3, 3] - center,
        rotation_deg=_angles_deg(found),
        distance_mm=float(distances_mm(found, np.eye(4), points).max()),
        disagreement_mm=apart[most - 1],
        error_mm=_jackknife_mm(pair, center, middle, seed=seed),
        halves_mm=_halves_mm(pair, center, middle, seed=seed),
        information=information(pair, center, np.zeros(6)),
        information_found=information(pair, center, middle),
    )
    lesions = () if lesions_mm is None else lesions_mm
    gains = [float("inf"), *(_gain_near(pair, center, middle, lesion) for lesion in lesions)]
    overlap = _overlap(points, moved_volume(suv_bw, found))
    reason = _judge(registration, overlap=overlap, lesion_gain=float(np.min(gains)))
    return registration if reason == "registered" else _unmoved(registration, reason)


def _judge(found: Registration, *, overlap: float, lesion_gain: float) -> Reason:
    """The first reason against a move, in the order in which a reader would ask."""
    turned_deg = float(np.degrees(np.arccos(np.clip((np.trace(found.found[:3, :3]) - 1) / 2, -1, 1))))
    against: list[tuple[Reason, bool]] = [
        ("starts_disagree", found.disagreement_mm > AGREEMENT_MM),
        ("parts_disagree", not found.error_mm <= LARGEST_ERROR_MM),
        ("halves_disagree", not found.halves_mm <= HALVES_MM),
        ("moves_too_far", found.distance_mm > FURTHEST_MM or turned_deg > FURTHEST_DEG),
        ("little_overlap", overlap < LEAST_OVERLAP),
        ("in_place", found.distance_mm < LEAST_MOVE_MM),
        ("no_gain", not found.information_found - found.information >= LEAST_GAIN),
        ("lesion_loses", not lesion_gain > 0),
    ]
    return next((reason for reason, holds in against if holds), "registered")


def _jackknife_mm(pair: Compared, center: PointMm, middle: Parameters, *, seed: int) -> float:
    """Standard error of the shift, the body's eighths as the sample; infinite where a search fails."""
    shifts = [
        shift_within(pair, center, middle, part=pair.body & ~eighth, seed=seed + len(STARTS_MM))
        for eighth in _eighths(pair.body)
    ]
    known = [shift for shift in shifts if shift is not None]
    n = len(shifts)
    if len(known) < n:
        return float("inf")
    return float(np.sqrt((n - 1) * np.var(known, axis=0).sum()))


def _halves_mm(pair: Compared, center: PointMm, middle: Parameters, *, seed: int) -> float:
    """Larger of the shifts that the upper and the lower half would make; infinite where a search fails."""
    along = int(np.abs(pair.grid.affine[2, :3]).argmax())  # the axis that runs from foot to head
    cut = round(float(np.argwhere(pair.body)[:, along].mean()))
    low = np.moveaxis(np.zeros_like(pair.body), along, 0)
    low[:cut] = True
    lower = np.moveaxis(low, 0, along)
    shifts = [
        shift_within(pair, center, middle, part=pair.body & half, seed=seed + len(STARTS_MM))
        for half in (lower, ~lower)
    ]
    return max(float("inf") if shift is None else float(np.linalg.norm(shift)) for shift in shifts)


def _gain_near(pair: Compared, center: PointMm, middle: Parameters, lesion_mm: PointMm) -> float:
    """Mutual information that the move gains around a lesion, nats; infinite where the body shows nothing of it."""
    index = np.argwhere(pair.body)
    near = np.linalg.norm(pair.grid.to_patient(index.astype(np.float64)) - lesion_mm, axis=1) <= LESION_MM
    if not near.any():
        return float("inf")
    part = np.zeros_like(pair.body)
    part[tuple(index[near].T)] = True
    around = replace(pair, body=part)
    return information(around, center, middle) - information(around, center, np.zeros(6))


def _eighths(body: Mask) -> list[Mask]:
    """The body cut at its center of mass along each axis; without those that hold nothing."""
    k, j, i = np.round(np.argwhere(body).mean(axis=0)).astype(int).tolist()
    eighths = []
    for z in (slice(0, k), slice(k, None)):
        for y in (slice(0, j), slice(j, None)):
            for x in (slice(0, i), slice(i, None)):
                eighth = np.zeros_like(body)
                eighth[z, y, x] = body[z, y, x]
                eighths += [eighth] if eighth.any() else []
    return eighths


def _points(pair: Compared) -> PointsMm:
    """Points of the body, LPS mm: every tenth voxel along each axis and the farthest ones."""
    coarse = np.zeros_like(pair.body)
    coarse[::10, ::10, ::10] = True
    index = np.argwhere(pair.body & coarse)
    inside = np.argwhere(pair.body)
    ends = [inside[pick(inside[:, axis])] for axis in range(3) for pick in (np.argmin, np.argmax)]
    return pair.grid.to_patient(np.concatenate([index, np.array(ends)]).astype(np.float64))


def _overlap(points_mm: PointsMm, pet: Volume) -> float:
    """Share of the points that lie within PET."""
    index = pet.grid.to_index(points_mm)
    return float(((index >= -0.5) & (index <= np.array(pet.array.shape) - 0.5)).all(axis=1).mean())


def _shared_field_mm(ct: Volume, pet: Volume) -> tuple[float, float, float]:
    """Extent along x, y and z of what the fields of two images share; negative where they are apart."""
    spans = []
    for volume in (ct, pet):
        ends = np.array([(k, j, i) for k in (0, 1) for j in (0, 1) for i in (0, 1)], dtype=np.float64)
        corners = volume.grid.to_patient(ends * np.array(volume.array.shape) - 0.5)
        spans.append((corners.min(axis=0), corners.max(axis=0)))
    x, y, z = np.minimum(spans[0][1], spans[1][1]) - np.maximum(spans[0][0], spans[1][0])
    return float(x), float(y), float(z)


def _angles_deg(move: Affine) -> Float64[np.ndarray, "3"]:
    """Angles about x, y and z: the move turns about x first, then y, then z."""
    r = move[:3, :3]
    y = np.arcsin(np.clip(-r[2, 0], -1.0, 1.0))
    return np.degrees(np.array([np.arctan2(r[2, 1], r[2, 2]), y, np.arctan2(r[1, 0], r[0, 0])]))


def _nothing(reason: Reason) -> Registration:
    """A registration that found nothing to judge."""
    unknown = float("nan")
    nowhere = np.full(3, unknown)
    return Registration(
        reason, np.eye(4), np.eye(4), nowhere, nowhere, unknown, unknown, unknown, unknown, unknown, unknown
    )


def _unmoved(found: Registration, reason: Reason) -> Registration:
    """What was found, but PET stays."""
    return replace(found, reason=reason, move=np.eye(4))
