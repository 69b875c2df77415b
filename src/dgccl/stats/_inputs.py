"""Checks that every statistic shares: what is not defined is an error with a code, never a NaN."""

import operator
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64, Int64, Shaped

from dgccl.errors import StatsError

Values = Shaped[np.ndarray, "..."]
"""One value a case, shape (n,); the shape is checked here, not by the annotation, so that a misfit is a StatsError."""


def check_labels(y_true: Values) -> Bool[np.ndarray, "n"]:
    """Labels as booleans, True for class 1.

    Raises:
        StatsError: `not_one_dimensional`, `no_cases`, `labels_not_binary`.
    """
    labels = _one_dimensional(y_true, name="y_true")
    if not len(labels):
        raise StatsError("no_cases", "There are no cases.", remedy="Give at least one case of each class.")
    try:
        binary = bool(np.isin(labels, (0, 1)).all())
    except TypeError:
        binary = False
    if not binary or labels.dtype.kind not in "buifO":
        raise StatsError(
            "labels_not_binary",
            "y_true must hold only 0 and 1; other values were found.",
            remedy="Code the negative class as 0 and the positive class as 1; drop cases without a label.",
        )
    return labels.astype(bool)


def check_both_classes(y_true: Values) -> Bool[np.ndarray, "n"]:
    """Labels as booleans, with at least one case of each class.

    Raises:
        StatsError: as `check_labels`; `one_class`.
    """
    labels = check_labels(y_true)
    positives = int(labels.sum())
    if positives in (0, len(labels)):
        raise StatsError(
            "one_class",
            f"All {len(labels)} cases are of class {int(positives > 0)}; both classes are needed.",
            remedy="Add cases of the other class.",
        )
    return labels


def check_scores(y_score: Values, *, cases: int, name: str = "y_score") -> Float64[np.ndarray, "n"]:
    """Scores as float64, one a case; infinite scores are allowed, they have a rank.

    Raises:
        StatsError: `not_one_dimensional`, `scores_not_numbers`, `lengths_differ`, `scores_nan`.
    """
    scores = _one_dimensional(y_score, name=name)
    check_length(scores, cases=cases, name=name)
    if scores.dtype.kind not in "buifO":
        raise StatsError("scores_not_numbers", f"{name} must be real numbers, found dtype {scores.dtype}.")
    try:
        numbers = scores.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise StatsError("scores_not_numbers", f"{name} holds values that are no numbers.") from error
    missing = int(np.isnan(numbers).sum())
    if missing:
        raise StatsError(
            "scores_nan",
            f"{missing} of the {cases} values of {name} are NaN.",
            remedy="Leave out cases without a score, and say so.",
        )
    return numbers


def check_class_labels(y_true: Values, *, classes: int) -> Int64[np.ndarray, "n"]:
    """Labels as class indices, 0 to classes - 1; a class may be absent.

    Raises:
        StatsError: `not_one_dimensional`, `no_cases`, `labels_not_classes`.
    """
    labels = _one_dimensional(y_true, name="y_true")
    if not len(labels):
        raise StatsError("no_cases", "There are no cases.", remedy="Give at least one case of each class.")
    try:
        fits = labels.dtype.kind in "buifO" and bool(np.isin(labels, np.arange(classes)).all())
    except TypeError:
        fits = False
    if not fits:
        raise StatsError(
            "labels_not_classes",
            f"y_true must hold only whole numbers from 0 to {classes - 1}; other values were found.",
            remedy="Code the classes from 0 in the order of the scores' columns; drop cases without a label.",
        )
    return labels.astype(np.int64)


def check_score_matrix(y_score: Values, *, name: str = "y_score") -> Float64[np.ndarray, "n classes"]:
    """Scores as float64, one column a class, at least two.

    Raises:
        StatsError: `not_two_dimensional`, `scores_not_numbers`, `scores_nan`, `values_masked`.
    """
    scores = plain_array(y_score, name=name)
    if scores.ndim != 2 or scores.shape[1] < 2:
        raise StatsError(
            "not_two_dimensional",
            f"{name} must have one row a case and one column a class (two at least), found shape {scores.shape}.",
        )
    columns = [
        check_scores(column, cases=len(scores), name=f"{name}, class {index}")
        for index, column in enumerate(scores.T)
    ]
    return np.stack(columns, axis=1)


def check_sample(values: Values, *, name: str) -> Float64[np.ndarray, "n"]:
    """A sample of real numbers, at least one.

    Raises:
        StatsError: as `check_scores`; `no_cases`.
    """
    sample = check_scores(values, cases=len(_one_dimensional(values, name=name)), name=name)
    if not len(sample):
        raise StatsError("no_cases", f"{name} is empty.", remedy="Give at least one value.")
    return sample


def check_groups(group: Values | None, *, cases: int, name: str = "patient") -> Int64[np.ndarray, "n"]:
    """Index of each case's group, 0 to the number of groups - 1; without groups each case is one.

    Raises:
        StatsError: `not_one_dimensional`, `lengths_differ`, `patient_missing` (or by another name).
    """
    if group is None:
        return np.arange(cases, dtype=np.int64)
    ids = _one_dimensional(group, name=name)
    check_length(ids, cases=cases, name=name)
    if _some_missing(ids):
        raise StatsError(
            f"{name}_missing",
            f"Some cases have no {name}.",
            remedy=f"Give every case its {name}, or leave `{name}` out.",
        )
    keys = ids.astype(str) if ids.dtype.kind == "O" else ids
    return np.unique(keys, return_inverse=True)[1].astype(np.int64)


def check_strata(stratum: Values | None, *, cases: int) -> Int64[np.ndarray, "n"]:
    """Index of each case's stratum; without strata all cases are in one.

    Raises:
        StatsError: as `check_groups`.
    """
    if stratum is None:
        return np.zeros(cases, dtype=np.int64)
    return check_groups(stratum, cases=cases, name="stratum")


def check_confidence(confidence: float) -> None:
    """Refuse a confidence level outside (0, 1).

    Raises:
        StatsError: `confidence_out_of_range`.
    """
    if not 0.0 < confidence < 1.0:
        raise StatsError(
            "confidence_out_of_range",
            f"The confidence level must lie between 0 and 1, found {confidence}.",
            remedy="Use 0.95 for a 95 % interval.",
        )


def check_choice(value: object, choices: Sequence[str], *, name: str) -> None:
    """Refuse a word that is none of an option's, which would else be taken as one of them.

    Args:
        value: what was given.
        choices: the words of the option, as of `typing.get_args` of its Literal.
        name: name of the option.

    Raises:
        StatsError: `option_unknown`.
    """
    if not (isinstance(value, str) and value in choices):
        raise StatsError(
            "option_unknown",
            f"`{name}` must be one of {', '.join(choices)}; found {value!r}.",
            remedy=f"Write one of them as it stands here, e.g. {name}={choices[0]!r}.",
        )


def check_whole(value: object, *, least: int, name: str) -> int:
    """A whole number, at least so large.

    Raises:
        StatsError: `<name>_invalid`, e.g. `seed_invalid`.
    """
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = None
    if number is None or number < least:
        raise StatsError(
            f"{name}_invalid", f"`{name}` must be a whole number of {least} or more, found {value!r}."
        )
    return number


def check_length(values: Values, *, cases: int, name: str) -> None:
    """Refuse values that are not one a case.

    Raises:
        StatsError: `lengths_differ`.
    """
    if len(values) != cases:
        raise StatsError("lengths_differ", f"{name} has {len(values)} values for {cases} cases.")


def plain_array(values: Values, *, name: str) -> Values:
    """The values as an array without a mask; NumPy would else read what lies under it.

    Raises:
        StatsError: `values_masked`.
    """
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise StatsError(
            "values_masked",
            f"{int(np.ma.count_masked(values))} values of {name} are masked.",
            remedy="Leave out the masked cases in all arrays, e.g. with `values[~mask]`, and say so.",
        )
    return np.asarray(values)


def _some_missing(ids: Values) -> bool:
    if ids.dtype.kind == "f":
        return bool(np.isnan(ids).any())
    if ids.dtype.kind in "mM":
        return bool(np.isnat(ids).any())
    return ids.dtype.kind == "O" and any(_is_missing(value) for value in ids.tolist())


def _is_missing(value: object) -> bool:
    try:
        return value is None or bool(value != value)
    except TypeError:  # the NA of pandas is neither equal to itself nor not
        return True


def _one_dimensional(values: Values, *, name: str) -> Values:
    array = plain_array(values, name=name)
    if array.ndim != 1:
        raise StatsError(
            "not_one_dimensional",
            f"{name} must have one dimension (one value a case), found shape {array.shape}.",
        )
    return array
