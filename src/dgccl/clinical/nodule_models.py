"""Published models of the chance that a lung nodule is malignant: Mayo, Herder, Brock. NumPy in, NumPy out."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int64, Shaped
from scipy.special import expit

from dgccl.errors import StatsError

Numbers = Float64[np.ndarray, "n"]
Flags = Bool[np.ndarray, "n"]

UPTAKE = {"none": 0.0, "faint": 2.322, "moderate": 4.617, "intense": 4.771}
"""FDG uptake as Herder's readers graded it, with its coefficient."""
NODULE_TYPES = {"solid": 0.0, "part_solid": 0.377, "nonsolid": -0.1276}
"""Nodule types of the Brock model, with their coefficients."""


def mayo_probability(
    *,
    age_years: Numbers,
    ever_smoker: Flags,
    cancer_history: Flags,
    diameter_mm: Numbers,
    spiculation: Flags,
    upper_lobe: Flags,
) -> Numbers:
    """Chance of malignancy of a solitary nodule by the Mayo model (Swensen).

    Derived from nodules of 4 to 30 mm on chest radiographs of patients without cancer in the last five years.

    Args:
        age_years: age, years, (n,).
        ever_smoker: smokes or has smoked, (n,).
        cancer_history: cancer outside of the chest more than five years ago, (n,).
        diameter_mm: diameter, mm, (n,).
        spiculation: spiculated margin, (n,).
        upper_lobe: in an upper lobe, (n,).

    Raises:
        StatsError: `predictor_not_finite`, `predictor_out_of_range`.

    Source: Swensen, Silverstein, Ilstrup, Schleck and Edell, Arch Intern Med 157 (1997) 849-855.

    Example:
        >>> yes, no = np.array([True]), np.array([False])
        >>> p = mayo_probability(age_years=np.array([65.0]), ever_smoker=yes, cancer_history=no,
        ...                      diameter_mm=np.array([15.0]), spiculation=yes, upper_lobe=no)
        >>> round(float(p[0]), 3)
        0.368
    """
    _check("age_years", age_years, low=0.0)
    _check("diameter_mm", diameter_mm, low=0.0)
    linear = (
        -6.8272
        + 0.0391 * age_years
        + 0.7917 * ever_smoker
        + 1.3388 * cancer_history
        + 0.1274 * diameter_mm
        + 1.0407 * spiculation
        + 0.7838 * upper_lobe
    )
    return np.asarray(expit(linear))


def herder_probability(mayo: Numbers, *, uptake: Shaped[np.ndarray, "n"]) -> Numbers:
    """Chance of malignancy by the Mayo model and FDG uptake (Herder).

    Args:
        mayo: probability of the Mayo model, (n,).
        uptake: `none`, `faint`, `moderate` or `intense`, (n,).

    Raises:
        StatsError: `predictor_not_finite`, `predictor_out_of_range`, `predictor_unknown`.

    Source: Herder, van Tinteren, Golding, Kostense, Comans, Smit and Hoekstra, Chest 128 (2005) 2490-2496.

    Example:
        >>> round(float(herder_probability(np.array([0.361]), uptake=np.array(["intense"]))[0]), 3)
        0.796
    """
    _check("mayo", mayo, low=0.0, high=1.0)
    return np.asarray(expit(-4.739 + 3.691 * mayo + _coefficients("uptake", uptake, UPTAKE)))


def brock_probability(
    *,
    age_years: Numbers,
    female: Flags,
    family_history: Flags,
    emphysema: Flags,
    diameter_mm: Numbers,
    nodule_type: Shaped[np.ndarray, "n"],
    upper_lobe: Flags,
    nodule_count: Int64[np.ndarray, "n"],
    spiculation: Flags,
) -> Numbers:
    """Chance of malignancy by the full Brock (PanCan) model with spiculation.

    Derived from nodules found by screening, of which 5.5 % were malignant: in a hospital's patients it is too low.

    Args:
        age_years: age, years, (n,).
        female: sex, (n,).
        family_history: lung cancer in the family, (n,).
        emphysema: emphysema on CT, (n,).
        diameter_mm: longest diameter, mm, above 0, (n,).
        nodule_type: `solid`, `part_solid` or `nonsolid` (ground glass), (n,).
        upper_lobe: in an upper lobe, (n,).
        nodule_count: nodules of the patient, at least 1, (n,).
        spiculation: spiculated margin, (n,).

    Raises:
        StatsError: `predictor_not_finite`, `predictor_out_of_range`, `predictor_unknown`.

    Source: McWilliams et al., N Engl J Med 369 (2013) 910-919, full model with spiculation (2b); the coefficients agree
    with those printed, not centered, in Eur Radiol 29 (2019) 5367-5377, table 2.

    Example:
        >>> yes, no = np.array([True]), np.array([False])
        >>> p = brock_probability(age_years=np.array([62.0]), female=no, family_history=no, emphysema=no,
        ...                       diameter_mm=np.array([4.0]), nodule_type=np.array(["solid"]), upper_lobe=no,
        ...                       nodule_count=np.array([4]), spiculation=no)
        >>> round(float(p[0]), 5)
        0.00112
    """
    _check("age_years", age_years, low=0.0)
    _check("diameter_mm", diameter_mm, low=np.nextafter(0.0, 1.0))
    _check("nodule_count", nodule_count, low=1.0)
    linear = (
        -6.7892
        + 0.0287 * (age_years - 62.0)
        + 0.6011 * female
        + 0.2961 * family_history
        + 0.2953 * emphysema
        - 5.3854 * ((diameter_mm / 10.0) ** -0.5 - 1.58113883)
        + _coefficients("nodule_type", nodule_type, NODULE_TYPES)
        + 0.6581 * upper_lobe
        - 0.0824 * (nodule_count - 4.0)
        + 0.7729 * spiculation
    )
    return np.asarray(expit(linear))


def _check(name: str, values: Shaped[np.ndarray, "n"], *, low: float, high: float = np.inf) -> None:
    if not np.isfinite(values).all():
        raise StatsError("predictor_not_finite", f"{name} holds values that are no finite numbers.")
    if len(values) and (values.min() < low or values.max() > high):
        raise StatsError("predictor_out_of_range", f"{name} must lie between {low:g} and {high:g}.")


def _coefficients(name: str, words: Shaped[np.ndarray, "n"], known: dict[str, float]) -> Any:
    unknown = sorted(set(map(str, words)) - set(known))
    if unknown:
        raise StatsError(
            "predictor_unknown", f"{name} holds {unknown[0]!r}; it must be one of {', '.join(known)}."
        )
    return np.array([known[str(word)] for word in words])
