"""Body sizes by which uptake is normalized: lean body mass, body surface area, ideal body weight."""

from typing import Literal

from dgccl.errors import SuvError

LeanBodyMassFormula = Literal["janmahasatian", "james", "james128"]


def lean_body_mass_kg(
    weight_kg: float,
    height_m: float,
    *,
    sex: Literal["M", "F"],
    formula: LeanBodyMassFormula = "janmahasatian",
) -> float:
    """Lean body mass, kg.

    Args:
        weight_kg: body weight, kg.
        height_m: body height, m.
        sex: M or F.
        formula: `janmahasatian` stays sensible in obesity; `james` has the factor 120 for men that DICOM's
            plain SUVlbm and most software carry, `james128` the factor 128 of the original.

    Raises:
        SuvError: `body_size_not_positive` if weight or height is not positive, or if the formula gives no
            positive mass, as James does in severe obesity.

    Source: Janmahasatian et al., Clin Pharmacokinet 2005;44:1051; James, Research on Obesity, HMSO 1976, and
        Sugawara et al., Radiology 1999;213:521; DICOM PS3.16 CID 85 for the naming.
    """
    _require_positive(weight_kg, height_m)
    if formula == "janmahasatian":
        bmi = weight_kg / height_m**2
        fixed, per_bmi = (6680.0, 216.0) if sex == "M" else (8780.0, 244.0)
        return 9270.0 * weight_kg / (fixed + per_bmi * bmi)
    male_square = 120.0 if formula == "james" else 128.0
    linear, square = (1.10, male_square) if sex == "M" else (1.07, 148.0)
    mass_kg = linear * weight_kg - square * (weight_kg / (100.0 * height_m)) ** 2
    if mass_kg <= 0:
        raise SuvError(
            "body_size_not_positive",
            "James's formula gives no positive lean body mass for this weight and height.",
            remedy="Use the Janmahasatian formula.",
        )
    return mass_kg


def body_surface_area_m2(weight_kg: float, height_m: float) -> float:
    """Body surface area by Du Bois, m2, from weight (kg) and height (m).

    Raises:
        SuvError: `body_size_not_positive`.

    Source: Du Bois and Du Bois, Arch Intern Med 1916;17:863.
    """
    _require_positive(weight_kg, height_m)
    return 0.007184 * weight_kg**0.425 * (100.0 * height_m) ** 0.725


def ideal_body_weight_kg(height_m: float, *, sex: Literal["M", "F"]) -> float:
    """Ideal body weight, kg, from height (m) and sex.

    Raises:
        SuvError: `body_size_not_positive`, as for heights far below the adult range.

    Source: Sugawara et al., Radiology 1999;213:521.
    """
    base, slope = (48.0, 1.06) if sex == "M" else (45.5, 0.91)
    weight_kg = base + slope * (100.0 * height_m - 152.0)
    _require_positive(weight_kg, height_m)
    return weight_kg


def _require_positive(weight_kg: float, height_m: float) -> None:
    if not (weight_kg > 0 and height_m > 0):
        raise SuvError(
            "body_size_not_positive",
            "Weight and height must be positive.",
            remedy="Correct the patient's data.",
        )
