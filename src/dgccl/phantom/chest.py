"""A chest around a phantom lesion, for what a lesion's box is too small for: aligning PET with CT.

Wall, ribs, table, spine, mediastinum, heart, spleen, liver and bowel under a diaphragm, of random size, place and
uptake, with the scanner, noise and breathing blur of the lesion phantom. Ribs and table show on CT only. No claim is
made that a chest looks like that: organs are ellipsoids, arms and shoulders are missing, all but the lesion is simple.
"""

import itertools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dgccl.phantom.acquisition import scanner_of
from dgccl.phantom.anatomy import (
    AIR_HU,
    BLOOD_HU,
    BLOOD_SUV,
    BONE_HU,
    FAT_HU,
    FAT_SUV,
    MUSCLE_HU,
    MUSCLE_SUV,
    Blob,
    Layer,
    Tube,
    Wall,
    build_anatomy,
)
from dgccl.phantom.imaging import Scan
from dgccl.types import PointMm
from dgccl.volume import Grid, Volume

CT_SHAPE, CT_SPACING_MM = (140, 192, 192), (2.0, 1.95, 1.95)
PET_FIELD_MM = (300.0, 420.0, 420.0)


@dataclass(frozen=True, eq=False)
class Chest:
    """Images of one patient, the lesion's center and the middle of the chest, LPS mm."""

    ct: Volume
    pet: Volume
    lesion_mm: PointMm
    middle_mm: PointMm


def draw_chest(row: dict, seed: int, *, diaphragm_mm: float = 0.0) -> Chest:
    """Draw one patient's chest, CT and PET exactly on each other.

    Args:
        row: of `dgccl.phantom.patient.sample_cohort`.
        seed: of the patient.
        diaphragm_mm: by how much the diaphragm, and what lies on it, stands higher in PET, as after breathing out.
    """
    anatomy_rng, form_rng, place_rng, ct_rng, pet_rng = np.random.default_rng(seed).spawn(5)
    small = build_anatomy(row, anatomy_rng)
    side = place_rng.choice([-1.0, 1.0])
    middle = -np.array(
        [side * place_rng.uniform(55, 75), place_rng.uniform(-35, 35), place_rng.uniform(-30, 60)]
    )
    lesion = place_rng.uniform(-30, 30, 3)
    form = form_rng.bit_generator.state
    layers = _chest(small.layers, middle, form_rng, diaphragm_mm=0.0)
    form_rng.bit_generator.state = form
    in_pet = _chest(small.layers, middle, form_rng, diaphragm_mm=diaphragm_mm)
    still = replace(small, layers=layers, pet_shift_mm=np.zeros(3))
    spacing_z, spacing_xy = scanner_of(row["site"]).pet_spacing_mm
    pet_spacing = (spacing_z, spacing_xy, spacing_xy)
    pet_shape = tuple(round(field / step) for field, step in zip(PET_FIELD_MM, pet_spacing, strict=True))
    field = lesion + middle + np.array([0.0, 0.0, -20.0])
    ct_grid = _grid(field + place_rng.uniform(-5, 5, 3), CT_SHAPE, CT_SPACING_MM)
    pet_grid = _grid(field + place_rng.uniform(-5, 5, 3), pet_shape, pet_spacing)
    ct = Scan(still, row, lesion).ct(ct_grid, ct_rng)
    pet = Scan(replace(still, layers=in_pet), row, lesion).pet(pet_grid, pet_rng)
    return Chest(ct, pet, lesion, lesion + middle)


def _chest(
    lesion: tuple[Layer, ...], middle: np.ndarray, rng: np.random.Generator, *, diaphragm_mm: float
) -> tuple[Layer, ...]:
    """The layers of a chest around those of a lesion; `middle` is relative to the lesion."""

    def organ(center: tuple, semi_axes: tuple, hu: float, suv: float) -> Layer:
        semi = np.array(semi_axes) * np.exp(rng.normal(0.0, 0.08))
        radius = float(np.cbrt(semi.prod()))
        at = middle + np.array(center) + rng.normal(0.0, 6.0, 3)
        blob = Blob(at, radius, np.diag(radius / semi), np.zeros((0, 3)), np.zeros(0), 0.0)
        return Layer(blob, hu=hu, suv=suv)

    def rod(start: tuple, end: tuple, radius: float, hu: float, suv: float, *, in_pet: bool = True) -> Layer:
        a, b = (middle + np.array(point, float) for point in (start, end))
        return Layer(Tube(a, b, radius, radius), hu=hu, suv=suv, in_pet=in_pet)

    uptake = {name: float(rng.uniform(*ends)) for name, ends in _UPTAKE.items()}
    radius, skin = float(rng.uniform(108.0, 138.0)), float(rng.uniform(24.0, 45.0))
    dome = rng.normal(0.0, 10.0) + diaphragm_mm
    own = [one for one in lesion if not isinstance(one.shape, Wall) and one.hu not in (BLOOD_HU, BONE_HU)]
    layers = [one for one in lesion if isinstance(one.shape, Tube) and one.hu == BLOOD_HU]
    layers += [
        organ((-50, -5, -165 + dome), (85, 95, 95), 55.0, uptake["liver"]),
        organ((65, 5, -160 + dome), (70, 85, 75), 40.0, uptake["bowel"]),
        organ((70, 50, -120 + dome), (25, 30, 45), 50.0, uptake["spleen"]),
        organ((28, -35, -60 + dome / 2), (50, 45, 50), 45.0, BLOOD_SUV),
        organ((38, -40, -62 + dome / 2), (28, 25, 28), 45.0, uptake["heart"]),
        rod((0, -5, -260), (0, -5, 200), float(rng.normal(30, 2)), 20.0, 1.2),
        rod((18, 38, -260), (18, 38, 70), 12.0, BLOOD_HU + 5.0, BLOOD_SUV),
        organ((0, 0, 205), (118, 110, 95), 45.0, 0.8),
    ]
    for z in np.arange(-260.0, 220.0, 26.0) + rng.uniform(-13, 13):
        back = radius - 63
        layers += [
            rod((0, back, z - 10), (0, back, z + 10), 19.0, 220.0, uptake["marrow"]),
            rod((0, back, z + 10), (0, back, z + 16), 19.0, 60.0, MUSCLE_SUV),
        ]
    return (*layers, *_walls(middle, radius, skin), *_bones(rod, radius, skin, rng), *own)


_UPTAKE = {
    "liver": (1.8, 2.8),
    "bowel": (0.6, 1.4),
    "spleen": (1.5, 2.3),
    "heart": (1.7, 5.0),
    "marrow": (1.0, 2.0),
}
"""Ranges of SUVmean in healthy organs, rounded from what FDG PET commonly shows; nothing depends on them exactly."""


def _walls(middle: np.ndarray, radius: float, skin: float) -> list[Layer]:
    """Muscle, fat and the air outside, around the middle."""
    off = float(np.hypot(*middle[:2]))
    outward = -middle[:2] / off
    rings = ((0.0, MUSCLE_HU, MUSCLE_SUV), (14.0, FAT_HU, FAT_SUV), (skin, AIR_HU, 0.0))
    return [
        Layer(Wall(outward, radius + more - off, radius + more), hu=hu, suv=suv) for more, hu, suv in rings
    ]


def _bones(rod: Any, radius: float, skin: float, rng: np.random.Generator) -> list[Layer]:
    """Ribs and the table, on CT only."""
    layers = []
    for z, side in itertools.product(np.arange(-200.0, 180.0, 26.0) + rng.uniform(-13, 13), (-1, 1)):
        knots = [
            (side * (radius + 6) * np.sin(t), (radius + 6) * np.cos(t), z - 12 * t)
            for t in np.linspace(0.2, 2.6, 6)
        ]
        layers += [rod(a, b, 5.0, BONE_HU, MUSCLE_SUV, in_pet=False) for a, b in itertools.pairwise(knots)]
    y = radius + skin + 12
    return layers + [
        rod((x, y, -300), (x, y, 300), 7.0, -150.0, 0.0, in_pet=False) for x in range(-150, 151, 20)
    ]


def _grid(center_mm: np.ndarray, shape: Any, spacing: tuple[float, float, float]) -> Grid:
    affine = np.zeros((4, 4))
    affine[[2, 1, 0], [0, 1, 2]] = spacing
    affine[:3, 3] = center_mm - (np.array(shape) - 1)[::-1] / 2 * np.array(spacing)[::-1]
    affine[3, 3] = 1.0
    return Grid(tuple(shape), affine)
