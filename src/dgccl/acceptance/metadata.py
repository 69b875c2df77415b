"""What is known of a lesion without looking at it, as levels; and how well the class can be told from that."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float64, Int64

from dgccl.cohort import Cohort, image_flag
from dgccl.evaluation.lesion_groups import recorded_words

NUMBERS = (
    "ct_slice_spacing_mm",
    "ct_pixel_spacing_mm",
    "pet_slice_spacing_mm",
    "pet_pixel_spacing_mm",
    "uptake_time_min",
)
FEW_VALUES = 10
"""A column of numbers with at most so many different values has a level for each; else bands."""
BANDS = 5
DIGITS = 6
TREES, LEAF, SEED = 100, 3, 2026
"""The forest: trees, and the fewest lesions of a leaf, so that a single lesion teaches nothing."""


def metadata_words(cohort: Cohort, column: str) -> pd.Series:
    """A column of the cohort as words, empty where not recorded, indexed by lesion id.

    Numbers are given to six digits; `images` names the images that a lesion has, as `ct+pet`.
    """
    lesions = cohort.lesions.set_index("lesion_id")
    if column == "images":
        names = ["ct", "pet", *cohort.other_images]
        flags = lesions[[image_flag(name) for name in names]].to_numpy(bool)
        words = ["+".join(np.array(names)[row]) or "none" for row in flags]
        return pd.Series(words, index=lesions.index, dtype="str")
    if column in NUMBERS:
        values = lesions[column].to_numpy(np.float64)
        words = ["" if np.isnan(value) else f"{value:.{DIGITS}g}" for value in values]
        return pd.Series(words, index=lesions.index, dtype="str")
    return recorded_words(lesions[column])


def levels_of(words: pd.Series, column: str, *, learn: Sequence[str]) -> pd.Series:
    """Levels by which a classifier sees a column, from the lesions that it learns from.

    Words are levels as they stand, and so are few different numbers, as spacings are; many become bands with an equal
    share of the lesions that are learned from. What is not recorded is a level too.

    Args:
        words: of `metadata_words`.
        column: its name.
        learn: ids of the lesions that the classifier learns from.
    """
    if column not in NUMBERS:
        return words
    known = words.loc[list(learn)]
    known = known[known != ""].astype(np.float64)
    if known.nunique() <= FEW_VALUES:
        return words
    edges = np.unique(np.quantile(known, np.linspace(0.0, 1.0, BANDS + 1)[1:-1]))
    numbers = pd.to_numeric(words.where(words != ""))
    bands = pd.Series(np.searchsorted(edges, numbers).astype("str"), index=words.index, dtype="str")
    return bands.where(words != "", "")


def one_hot(levels: Sequence[pd.Series], *, learn: Sequence[str]) -> Float64[np.ndarray, "lesion level"]:
    """A column of 0 and 1 for each level that is learned from; a level that was never seen has none."""
    columns = [
        (words == level).to_numpy(np.float64)
        for words in levels
        for level in sorted(set(words.loc[list(learn)]))
    ]
    return np.stack(columns, axis=1)


def class_probabilities(
    inputs: Float64[np.ndarray, "lesion level"],
    y_true: Int64[np.ndarray, "lesion"],
    *,
    learn: Int64[np.ndarray, "learned"],
    test: Int64[np.ndarray, "tested"],
    classes: int,
    trees: bool,
) -> Float64[np.ndarray, "tested classes"]:
    """Probabilities of the classes from one-hot metadata, learned from some lesions and asked of others.

    Logistic regression, which needs few lesions; with `trees` averaged with a random forest, which also sees what only
    several columns together imply. (Boosted trees do not: where neither column alone tells anything, no first split
    gains.)

    Args:
        inputs: of all lesions.
        y_true: class indices of all lesions.
        learn: rows that are learned from.
        test: rows that are asked for.
        classes: number of classes.
        trees: whether the forest joins in.
    """
    # Slow to import, and the other gates do not need it.
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression

    learners: list[LogisticRegression | RandomForestClassifier] = [LogisticRegression(max_iter=1000)]
    if trees:
        learners.append(RandomForestClassifier(TREES, min_samples_leaf=LEAF, random_state=SEED))
    total = np.zeros((len(test), classes))
    for learner in learners:
        learner.fit(inputs[learn], y_true[learn])
        total[:, learner.classes_.astype(int)] += learner.predict_proba(inputs[test])
    return total / len(learners)
