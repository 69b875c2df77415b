"""Rigid moves, (4, 4), LPS mm: of points, of volumes, of a study's PET with what was outlined on it."""

from dataclasses import replace

import numpy as np

from dgccl.study import Study
from dgccl.types import Affine, PointsMm
from dgccl.volume import Volume


def moved_points(points_mm: PointsMm, move: Affine) -> PointsMm:
    """Points after a move."""
    return points_mm @ move[:3, :3].T + move[:3, 3]


def moved_volume(volume: Volume, move: Affine) -> Volume:
    """A volume at another place; its array is the same."""
    return Volume(volume.array, move @ volume.affine)


def moved_study(study: Study, move: Affine) -> Study:
    """A study whose PET, and what was outlined on it, is moved; CT, other images and other outlines stay.

    Args:
        study: with or without PET.
        move: of the PET.
    """
    if study.pet is None:
        return study
    pet = replace(study.pet, suv_bw=moved_volume(study.pet.suv_bw, move))
    rois = tuple(
        replace(roi, mask=moved_volume(roi.mask, move)) if roi.drawn_on == "pet" else roi
        for roi in study.rois
    )
    return replace(study, pet=pet, rois=rois)


def distances_mm(one: Affine, other: Affine, points_mm: PointsMm) -> np.ndarray:
    """How far two moves take each point apart, mm."""
    return np.linalg.norm(moved_points(points_mm, one) - moved_points(points_mm, other), axis=1)
