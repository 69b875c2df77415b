"""The continuous anatomy of one lesion and its surroundings, from which CT and PET are both rendered.

Everything is a list of layers painted in order: each has a shape, a density (HU) and an activity (SUV). What a
layer looks like depends on the latents that the law names and on nuisances that are independent of the class,
never on the class or the hidden kind: else an image could say more than the ideal observer knows.

Coordinates are millimetres from the lesion's center, (x, y, z) as in LPS.
"""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64

AIR_HU = -1000.0
LUNG_HU = -865.0
LUNG_SUV = 0.5
BLOOD_HU = 40.0
BLOOD_SUV = 1.7
MUSCLE_HU = 50.0
MUSCLE_SUV = 0.7
FAT_HU = -100.0
FAT_SUV = 0.3
BONE_HU = 350.0
MAX_LESION_HU = 150.0
# Parenchyma on two scales: lobules of about 9 mm, and what lies below the resolution of single vessels.
COARSE_MM, COARSE_NODES = 9.0, 24
FINE_MM, FINE_NODES = 2.2, 48
TEXTURE_HU = 20.0
TEXTURE_SUV = 0.06
Latent = Mapping[str, float | int | str]


@dataclass(frozen=True, eq=False)
class Blob:
    """A lobulated ellipsoid around `center_mm`.

    Args:
        center_mm: (x, y, z), mm.
        radius_mm: radius of the ball of equal volume, mm.
        shape: maps an offset to the unit ball of the unperturbed ellipsoid (volume preserved).
        waves: directions and frequencies of the lobulation.
        phases: of the waves.
        amplitude: relative radial amplitude of the lobulation.
    """

    center_mm: Float64[np.ndarray, "3"]
    radius_mm: float
    shape: Float64[np.ndarray, "3 3"]
    waves: Float64[np.ndarray, "waves 3"]
    phases: Float64[np.ndarray, "waves"]
    amplitude: float

    @property
    def bound_mm(self) -> float:
        """Radius of a ball around the center that holds the whole blob, mm."""
        longest = 1.0 / float(np.linalg.svd(self.shape, compute_uv=False).min())
        return self.radius_mm * longest * (1.0 + self.amplitude * len(self.waves))


@dataclass(frozen=True, eq=False)
class Tube:
    """A tapered straight tube from `start_mm` to `end_mm`, radii in mm."""

    start_mm: Float64[np.ndarray, "3"]
    end_mm: Float64[np.ndarray, "3"]
    start_radius_mm: float
    end_radius_mm: float


@dataclass(frozen=True, eq=False)
class Wall:
    """Everything beyond a cylinder along z: the inner face of the chest wall, or of the mediastinum.

    Args:
        normal: unit vector in the axial plane, away from the lesion.
        distance_mm: from the lesion's center to the face along `normal`.
        curvature_mm: radius of the cylinder; positive: concave as the chest wall, negative: convex.
    """

    normal: Float64[np.ndarray, "2"]
    distance_mm: float
    curvature_mm: float


@dataclass(frozen=True, eq=False)
class Layer:
    """A shape painted over what is below it.

    Args:
        shape: where.
        hu: density, HU.
        suv: activity, g/mL.
        opacity: 1 replaces what is below; less lets it shine through on CT.
        halo_mm: beyond the surface the coverage falls off exponentially over this length; 0: a sharp edge.
        in_pet: whether PET sees it.
    """

    shape: Blob | Tube | Wall
    hu: float
    suv: float
    opacity: float = 1.0
    halo_mm: float = 0.0
    in_pet: bool = True


@dataclass(frozen=True, eq=False)
class Anatomy:
    """What surrounds and makes one lesion.

    Args:
        layers: in painting order.
        lesion: the outline of the lesion, spicules left out as readers do.
        coarse_texture: relative density of lung on a lattice of `COARSE_MM`, mean 0, SD 1.
        fine_texture: the same on a lattice of `FINE_MM`, skewed to the dense side as small vessels make it.
        gradient_hu_per_mm: density towards the back, where blood pools.
        breathing_mm: peak-to-peak motion along z, mm.
        pet_shift_mm: where PET's mean position lies relative to CT's, mm.
    """

    layers: tuple[Layer, ...]
    lesion: Blob
    coarse_texture: Float[np.ndarray, "coarse coarse coarse"]
    fine_texture: Float[np.ndarray, "fine fine fine"]
    gradient_hu_per_mm: float
    breathing_mm: float
    pet_shift_mm: Float64[np.ndarray, "3"]


def build_anatomy(latent: Latent, rng: np.random.Generator) -> Anatomy:
    """Draw the nuisances of one lesion (shape, orientation, vessels, walls, texture) around its latents.

    Args:
        latent: one row of the law and of its acquisition.
        rng: source of randomness.
    """
    lesion = _lesion_blob(latent, rng)
    wall_distance = lesion.radius_mm + rng.gamma(2.0, 11.0)
    angle = rng.uniform(0, 2 * np.pi)
    normal = np.array([np.cos(angle), np.sin(angle)])
    layers = [
        *_mediastinum(-normal, rng),
        *_vessels(lesion.radius_mm, rng),
        *_chest_wall(normal, wall_distance, rng),
        *_lesion_layers(latent, lesion, rng),
    ]
    return Anatomy(
        layers=tuple(layers),
        lesion=lesion,
        coarse_texture=rng.standard_normal((COARSE_NODES,) * 3, dtype=np.float32),
        fine_texture=rng.standard_exponential((FINE_NODES,) * 3, dtype=np.float32) - 1.0,
        gradient_hu_per_mm=float(rng.uniform(0.15, 0.5)),
        breathing_mm=float(latent["breathing_mm"]),
        pet_shift_mm=rng.normal(0.0, (1.0, 1.0, 1.5)),
    )


def _lesion_blob(latent: Latent, rng: np.random.Generator) -> Blob:
    """The lesion's outline: diameter is that of the ball of equal volume."""
    axes = np.exp(rng.normal(0.0, 0.13, 3))
    axes /= np.cbrt(axes.prod())
    rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    waves = rng.normal(size=(5, 3))
    waves *= rng.uniform(2.5, 8.0, (5, 1)) / np.linalg.norm(waves, axis=1, keepdims=True)
    return Blob(
        center_mm=np.zeros(3),
        radius_mm=float(latent["diameter_mm"]) / 2,
        shape=rotation / axes,
        waves=waves,
        phases=rng.uniform(0, 2 * np.pi, 5),
        amplitude=0.02 + 0.035 * float(latent["spiculation"]),
    )


def _lesion_layers(latent: Latent, lesion: Blob, rng: np.random.Generator) -> list[Layer]:
    """Inflamed rim, spicules, glass, solid core and the part that takes up FDG."""
    density_hu, uptake = float(latent["density_hu"]), float(latent["uptake_suv"])
    density_hu = float(np.clip(density_hu, LUNG_HU + 60.0, MAX_LESION_HU))
    glass_hu = float(np.clip(rng.normal(-600.0, 60.0), -750.0, -400.0))
    spicules = _spicules(float(latent["spiculation"]), lesion, rng)
    offset = rng.normal(size=3)
    offset *= rng.uniform(0.0, 0.6) / np.linalg.norm(offset)
    layers = []
    if (strength := float(latent["inflammation"])) > 0:
        layers.append(
            Layer(lesion, hu=-350.0, suv=0.0, opacity=0.25 + 0.55 * strength, halo_mm=3.5, in_pet=False)
        )
    solid = float(latent["solid_fraction"])
    outer_hu = density_hu if solid in (0.0, 1.0) else glass_hu
    layers += [Layer(tube, hu=min(outer_hu, 0.0), suv=0.0, in_pet=False) for tube in spicules]
    # Glass takes up in proportion to its tissue; a lesion all of glass has the uptake that the law states.
    avid = float(latent["avid_fraction"])
    outer_suv = uptake if avid == 1.0 else max(LUNG_SUV, uptake * (1000.0 + glass_hu) / 1000.0 * 0.5)
    layers.append(Layer(lesion, hu=outer_hu, suv=outer_suv))
    if 0.0 < solid < 1.0:
        core = _shrunk(lesion, solid, offset)
        layers.append(Layer(core, hu=density_hu, suv=uptake if avid < 1.0 else outer_suv))
    return layers


def _shrunk(lesion: Blob, factor: float, offset: Float64[np.ndarray, "3"]) -> Blob:
    """A smaller blob of the same form inside, off center by `offset` of the room that is left."""
    return Blob(
        center_mm=lesion.center_mm + offset * (1.0 - factor) * lesion.radius_mm,
        radius_mm=lesion.radius_mm * factor,
        shape=lesion.shape,
        waves=lesion.waves,
        phases=lesion.phases + 1.0,
        amplitude=lesion.amplitude,
    )


def _spicules(spiculation: float, lesion: Blob, rng: np.random.Generator) -> list[Tube]:
    """Thin strands that radiate from the margin: their number and length grow with spiculation."""
    count = rng.poisson(90.0 * spiculation)
    directions = rng.normal(size=(count, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    lengths = (2.0 + 11.0 * spiculation * rng.beta(2.0, 3.0, count)) * (lesion.radius_mm / 10.0) ** 0.5
    roots = rng.uniform(0.7, 1.4, count) * (lesion.radius_mm / 8.0) ** 0.5
    return [
        Tube(0.8 * lesion.radius_mm * d, (lesion.radius_mm + length) * (d + tilt), root, 0.25)
        for d, length, root, tilt in zip(
            directions, lengths, roots, rng.normal(0.0, 0.08, (count, 3)), strict=True
        )
    ]


def _vessels(radius_mm: float, rng: np.random.Generator) -> list[Layer]:
    """Branching vessels that run outwards from the hilum; one in two lesions has a vessel leading to it."""
    hilum = rng.normal(size=3)
    hilum *= 75.0 / np.linalg.norm(hilum)
    tubes: list[Tube] = []
    for _ in range(9):
        start = hilum + rng.normal(0.0, 14.0, 3)
        target = rng.uniform(-60.0, 60.0, 3)
        _branch(start, target, float(rng.uniform(1.4, 2.8)), 3, rng, tubes)
    if rng.random() < 0.5:
        middle = 0.5 * hilum + rng.normal(0.0, 6.0, 3)
        tubes += [Tube(hilum, middle, 2.0, 1.5), Tube(middle, np.zeros(3), 1.5, 0.9)]
    clear = _distances_to_origin(tubes) > radius_mm + 2.0
    keep = [tube for tube, far in zip(tubes, clear.tolist(), strict=True) if far or not tube.end_mm.any()]
    # Below this radius a vessel adds less than the noise to PET.
    return [Layer(t, hu=BLOOD_HU, suv=BLOOD_SUV, in_pet=t.start_radius_mm > 1.2) for t in keep]


def _branch(
    start: Float64[np.ndarray, "3"],
    target: Float64[np.ndarray, "3"],
    radius_mm: float,
    depth: int,
    rng: np.random.Generator,
    tubes: list[Tube],
) -> None:
    """A vessel in two bent pieces towards `target`, then two thinner ones."""
    middle = (start + target) / 2 + rng.normal(0.0, 0.1 * _length(target - start), 3)
    tubes.append(Tube(start, middle, radius_mm, 0.85 * radius_mm))
    tubes.append(Tube(middle, target, 0.85 * radius_mm, (0.7 if depth else 0.3) * radius_mm))
    if depth == 0:
        return
    for _ in range(2):
        direction = (target - middle) + rng.normal(0.0, 0.5 * _length(target - middle), 3)
        direction /= _length(direction)
        # Murray's law for two equal daughters: 2^(-1/3) = 0.79 of the parent's radius, here 0.7 at its end.
        _branch(target, target + direction * rng.uniform(10.0, 24.0), 0.58 * radius_mm, depth - 1, rng, tubes)


def _distances_to_origin(tubes: list[Tube]) -> Float64[np.ndarray, "n"]:
    """From the lesion's center to the nearest point of each tube's axis, mm."""
    start = np.array([tube.start_mm for tube in tubes])
    along = np.array([tube.end_mm for tube in tubes]) - start
    t = np.clip(-(start * along).sum(axis=1) / (along**2).sum(axis=1), 0.0, 1.0)
    return np.linalg.norm(start + t[:, None] * along, axis=1)


def _length(vector: Float64[np.ndarray, "3"]) -> float:
    """Length of a vector; `np.linalg.norm` takes several times as long, and a lesion needs 600 lengths."""
    return math.sqrt(vector @ vector)


def _chest_wall(
    normal: Float64[np.ndarray, "2"], distance_mm: float, rng: np.random.Generator
) -> list[Layer]:
    """Intercostal muscle, ribs and the fat outside, if near enough to be in the picture."""
    curvature = float(rng.uniform(85.0, 120.0))
    skin = float(rng.uniform(24.0, 50.0))
    layers = [
        Layer(Wall(normal, distance_mm, curvature), hu=MUSCLE_HU, suv=MUSCLE_SUV),
        Layer(Wall(normal, distance_mm + 16.0, curvature + 16.0), hu=FAT_HU, suv=FAT_SUV),
        Layer(Wall(normal, distance_mm + skin, curvature + skin), hu=AIR_HU, suv=0.0),
    ]
    tangent = np.array([-normal[1], normal[0], 0.0])
    outward = np.array([normal[0], normal[1], 0.0])
    slope = rng.uniform(-0.4, 0.4)
    first = rng.uniform(-100.0, -75.0)
    for level in first + 26.0 * np.arange(8):
        # Ribs follow the wall: three straight pieces of a circle, 7 mm behind its face.
        depth = distance_mm + 7.0 - curvature
        angles = np.array([-0.6, -0.2, 0.2, 0.6])
        knots = [
            outward * (depth + curvature * np.cos(a))
            + tangent * curvature * np.sin(a)
            + np.array([0, 0, level + slope * curvature * a])
            for a in angles
        ]
        layers += [
            Layer(Tube(a, b, 5.0, 5.0), hu=BONE_HU, suv=MUSCLE_SUV, in_pet=False)
            for a, b in itertools.pairwise(knots)
        ]
    return layers


def _mediastinum(normal: Float64[np.ndarray, "2"], rng: np.random.Generator) -> list[Layer]:
    """Heart and great vessels on the far side: blood pool for PET, seldom inside the CT field of view."""
    return [Layer(Wall(normal, float(rng.uniform(40.0, 80.0)), -60.0), hu=BLOOD_HU, suv=BLOOD_SUV)]
