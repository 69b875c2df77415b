"""From the columns of a cohort to the predictors of the published models; what is lacking is named."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float64

from dgccl.clinical.nodule_models import brock_probability, herder_probability, mayo_probability
from dgccl.errors import CohortError

YES, NO = {"1", "1.0", "yes", "y", "true"}, {"0", "0.0", "no", "n", "false"}
SMOKING = {"never": False, "former": True, "ex": True, "current": True}
UPPER = {"upper", "rul", "lul", "right upper", "left upper"}
OTHER_LOBES = {"middle", "lower", "rml", "rll", "lll", "right middle", "right lower", "left lower", "lingula"}
TYPE_WORDS = {
    "solid": "solid",
    "part_solid": "part_solid",
    "part-solid": "part_solid",
    "part solid": "part_solid",
    "subsolid": "part_solid",
    "nonsolid": "nonsolid",
    "non-solid": "nonsolid",
    "ground glass": "nonsolid",
    "ground_glass": "nonsolid",
    "ground-glass": "nonsolid",
    "ggo": "nonsolid",
}
INTENSE_RATIO = 3.0
"""SUVmax over the mediastinal blood pool from which uptake is called intense; the guideline says `markedly greater`
and gives no figure, this is the multiple that is commonly used with it."""


@dataclass(frozen=True)
class Comparator:
    """A published model that a clinician knows.

    Attributes:
        name: in small letters.
        title: as the report calls it.
        columns: columns of the cohort that it needs; `a|b` means either.
        source: the paper.
        thresholds: probabilities at which a guideline changes what is to be done.
        guideline: which one.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    source: str
    thresholds: tuple[float, ...]
    guideline: str


_BTS = "Callister et al., Thorax 2015;70 Suppl 2:ii1"
"""British Thoracic Society: PET-CT from 10 % by Brock on; by Herder, surveillance below 10 %, treatment above 70 %."""
_ACCP = "Gould et al., Chest 2013;143 Suppl 5:e93S"
"""American College of Chest Physicians: surveillance below 5 %, surgery above 65 %, the chance being judged by a model
as Mayo's."""
_MAYO = ("age_years", "smoking", "cancer_history", "diameter_mm", "spiculation", "lobe")
COMPARATORS = (
    Comparator(
        "mayo",
        "Mayo (Swensen)",
        _MAYO,
        "Swensen et al., Arch Intern Med 1997;157:849",
        (0.05, 0.65),
        _ACCP,
    ),
    Comparator(
        "herder",
        "Herder",
        (*_MAYO, "fdg_uptake|suv_blood_pool"),
        "Herder et al., Chest 2005;128:2490",
        (0.1, 0.7),
        _BTS,
    ),
    Comparator(
        "brock",
        "Brock (PanCan)",
        (
            "age_years",
            "sex",
            "family_history",
            "emphysema",
            "diameter_mm",
            "nodule_type",
            "lobe",
            "nodule_count",
            "spiculation",
        ),
        "McWilliams et al., N Engl J Med 2013;369:910",
        (0.1,),
        _BTS,
    ),
)


def comparator_probabilities(
    lesions: pd.DataFrame, comparator: Comparator
) -> Float64[np.ndarray, "n"] | tuple[str, ...]:
    """Probability of malignancy of every lesion by a published model.

    Words count in any letter case: yes/no (or 1/0) for findings; `never`, `former`, `current` for smoking; `upper`,
    `middle`, `lower` or RUL, RML, RLL, LUL, LLL for the lobe; `solid`, `part-solid`, `ground glass` for the type;
    `none`, `faint`, `moderate`, `intense` for FDG uptake. Without a graded uptake it is graded from `suv_max` and
    `suv_blood_pool` as the British Thoracic Society describes it: faint up to the blood pool, moderate above it,
    intense from three times it; `none` cannot be told from these two and is graded faint.

    Args:
        lesions: lesion table of a cohort, with the carried clinical columns as text.
        comparator: which model.

    Returns:
        Probabilities, (n,), NaN for a lesion that lacks a value; or the names of the columns that are lacking.

    Raises:
        CohortError: `predictor_unknown` for a word that means nothing here; `predictor_not_number`.

    Source: Callister et al., Thorax 70 (2015) ii1-ii54, for grading FDG uptake.
    """
    missing = lacking_columns(lesions, comparator)
    if missing:
        return missing
    found = np.full(len(lesions), np.nan)
    known = np.flatnonzero(_complete(lesions, comparator))
    if len(known):
        found[known] = _COMPUTE[comparator.name](lesions.iloc[known])
    return found


def lacking_columns(lesions: pd.DataFrame, comparator: Comparator) -> tuple[str, ...]:
    """Columns that a published model needs and that a lesion table does not have; `a|b` where either would do."""
    return tuple(
        words for words in comparator.columns if not any(name in lesions.columns for name in words.split("|"))
    )


def _complete(lesions: pd.DataFrame, comparator: Comparator) -> np.ndarray:
    """Which lesions have a value in every column that is needed."""
    known = np.ones(len(lesions), bool)
    for words in comparator.columns:
        given = [name for name in words.split("|") if name in lesions.columns]
        column = _text(lesions[given[0]])
        known &= (column != "").to_numpy()
        if given[0] == "suv_blood_pool":
            known &= lesions["suv_max"].notna().to_numpy()
    return known


def _text(column: pd.Series) -> pd.Series:
    words = column.astype("object").where(column.notna(), "").astype(str).str.strip().str.lower()
    return words.where(~words.isin({"nan", "na", "n/a"}), "")


def _mayo(lesions: pd.DataFrame) -> Float64[np.ndarray, "n"]:
    return mayo_probability(
        age_years=_numbers(lesions, "age_years"),
        ever_smoker=_mapped(
            lesions, "smoking", {**dict.fromkeys(YES, True), **dict.fromkeys(NO, False), **SMOKING}
        ),
        cancer_history=_flags(lesions, "cancer_history"),
        diameter_mm=_numbers(lesions, "diameter_mm"),
        spiculation=_flags(lesions, "spiculation"),
        upper_lobe=_upper(lesions),
    )


def _herder(lesions: pd.DataFrame) -> Float64[np.ndarray, "n"]:
    if "fdg_uptake" in lesions.columns:
        grades = ("none", "faint", "moderate", "intense")
        uptake = _mapped(lesions, "fdg_uptake", {grade: grade for grade in grades})
    else:
        ratio = _numbers(lesions, "suv_max") / _numbers(lesions, "suv_blood_pool")
        uptake = np.where(ratio >= INTENSE_RATIO, "intense", np.where(ratio > 1.0, "moderate", "faint"))
    return herder_probability(_mayo(lesions), uptake=uptake)


def _brock(lesions: pd.DataFrame) -> Float64[np.ndarray, "n"]:
    sexes = {"f": True, "female": True, "m": False, "male": False}
    return brock_probability(
        age_years=_numbers(lesions, "age_years"),
        female=_mapped(lesions, "sex", sexes),
        family_history=_flags(lesions, "family_history"),
        emphysema=_flags(lesions, "emphysema"),
        diameter_mm=_numbers(lesions, "diameter_mm"),
        nodule_type=_mapped(lesions, "nodule_type", TYPE_WORDS),
        upper_lobe=_upper(lesions),
        nodule_count=_numbers(lesions, "nodule_count").astype(np.int64),
        spiculation=_flags(lesions, "spiculation"),
    )


_COMPUTE: Mapping[str, Callable[[pd.DataFrame], Float64[np.ndarray, "n"]]] = {
    "mayo": _mayo,
    "herder": _herder,
    "brock": _brock,
}


def _flags(lesions: pd.DataFrame, name: str) -> np.ndarray:
    return _mapped(lesions, name, {**dict.fromkeys(YES, True), **dict.fromkeys(NO, False)})


def _upper(lesions: pd.DataFrame) -> np.ndarray:
    return _mapped(lesions, "lobe", {**dict.fromkeys(UPPER, True), **dict.fromkeys(OTHER_LOBES, False)})


def _mapped(lesions: pd.DataFrame, name: str, known: Mapping[str, bool | str]) -> np.ndarray:
    words = _text(lesions[name])
    unknown = sorted(set(words) - set(known))
    if unknown:
        raise CohortError(
            "predictor_unknown",
            f"The column {name!r} holds {unknown[0]!r}; known are {', '.join(sorted(known))}.",
            remedy="Write one of these words, or leave the entry empty.",
        )
    return np.array([known[word] for word in words])


def _numbers(lesions: pd.DataFrame, name: str) -> Float64[np.ndarray, "n"]:
    numbers = pd.to_numeric(lesions[name], errors="coerce").to_numpy(np.float64)
    if not np.isfinite(numbers).all():
        raise CohortError("predictor_not_number", f"The column {name!r} holds entries that are no numbers.")
    return numbers
