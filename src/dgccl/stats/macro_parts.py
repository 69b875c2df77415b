"""What a macro AUROC and its variance are made of: one-versus-rest AUROCs over the same cases.

A one-versus-rest AUROC is the mean of a placement value over the cases of its class and over the rest, so all of
them are sums over the same cases and their covariance is that of the cases' contributions. A case counts once in
each AUROC, as a positive in one and as a negative in the others. Which class a case has is taken as chance, as in
the one-versus-rest AUROC of each class.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from dgccl.errors import StatsError
from dgccl.stats.roc import in_mixed_strata, stratified_residuals


@dataclass(frozen=True, eq=False)
class MacroParts:
    """One-versus-rest AUROCs with what each patient adds to their error.

    Rows of `sums` and `member` are the cases of class 0, the rest of class 0, the cases of class 1, and so on.

    Attributes:
        auroc: of each class against the rest, (C,).
        sums: a patient's residuals, summed over its cases of the group and divided by the group's cases, (2 C, K).
        member: whether a patient has a case of the group, (2 C, K).
        used: cases that have a case of another group in their stratum, for any class, (n,).
    """

    auroc: Float64[np.ndarray, "classes"]
    sums: Float64[np.ndarray, "groups patients"]
    member: Bool[np.ndarray, "groups patients"]
    used: Bool[np.ndarray, "n"]

    @property
    def value(self) -> float:
        """The macro AUROC."""
        return float(self.auroc.mean())


def macro_parts(
    labels: Int64[np.ndarray, "n"],
    scores: Float64[np.ndarray, "n classes"],
    *,
    patients: Int64[np.ndarray, "n"],
    strata: Int64[np.ndarray, "n"],
) -> MacroParts:
    """One-versus-rest AUROCs over the pairs within strata, with every patient's part in their errors.

    Args:
        labels: class indices, (n,).
        scores: a column a class, (n, C).
        patients: index of each case's patient, (n,).
        strata: index of each case's stratum, (n,).

    Raises:
        StatsError: `class_absent` if a class has no case that can be compared with one of another class.
    """
    classes, count = scores.shape[1], int(patients.max()) + 1
    areas = np.empty(classes)
    sums, member = np.zeros((2 * classes, count)), np.zeros((2 * classes, count), dtype=bool)
    used = np.zeros(len(labels), dtype=bool)
    for index in range(classes):
        own = labels == index
        try:
            mixed = in_mixed_strata(own, strata)
        except StatsError as error:
            raise StatsError(
                "class_absent",
                f"Class {index} has {int(own.sum())} of {len(own)} cases and none beside a case of another class; "
                "its AUROC is not defined, nor is the mean over classes.",
                remedy="Add cases of the class, or leave `stratum` out.",
            ) from error
        parts = stratified_residuals(own[mixed], scores[mixed, index], strata[mixed])
        areas[index] = parts.auroc
        for row, group, residual in (
            (2 * index, mixed & own, parts.positive),
            (2 * index + 1, mixed & ~own, parts.negative),
        ):
            weights = (residual - residual.mean()) / len(residual)
            sums[row] = np.bincount(patients[group], weights=weights, minlength=count)
            member[row, patients[group]] = True
        used |= mixed
    return MacroParts(areas, sums, member, used)


def macro_variance(
    sums: Float64[np.ndarray, "groups patients"], member: Bool[np.ndarray, "groups patients"]
) -> float:
    """Variance of the mean over classes from what patients add to each group (or from differences of two scores).

    The product of two groups' sums is scaled by k / (k - 1), k being the patients that have a case of either. Of one
    class alone that is Obuchowski's correction, hence DeLong's with one case a patient. The scaling matrix is
    positive definite (a mixture of exp(-t |A union B|)), so that no variance comes out below 0.

    Args:
        sums: (2 C, K), as in `MacroParts`.
        member: (2 C, K).

    Raises:
        StatsError: `too_few_cases` if a class, or the rest of one, comes from fewer than two patients.

    Source: Obuchowski, Biometrics 53 (1997) 567-578, eq. 3 to 6, for the covariance of AUROCs of other groups.
    """
    counts = member.sum(axis=1)
    if counts.min() < 2:
        group = int(counts.argmin())
        name = f"Class {group // 2}" if group % 2 == 0 else f"The rest of class {group // 2}"
        raise StatsError(
            "too_few_cases",
            f"{name} comes from {int(counts[group])} patients; an interval needs at least 2.",
            remedy="Add cases of the rarer class.",
        )
    flags = member.astype(np.float64)
    either = counts[:, None] + counts[None, :] - flags @ flags.T
    products = (sums @ sums.T) * (either / (either - 1.0))
    return float(products.sum()) / (len(sums) // 2) ** 2


def ranked_alike(
    labels: Int64[np.ndarray, "n"],
    scores_a: Float64[np.ndarray, "n classes"],
    scores_b: Float64[np.ndarray, "n classes"],
    *,
    strata: Int64[np.ndarray, "n"],
) -> bool:
    """Whether both rank every case of a class and every other case alike, for each class by its own column."""
    each = np.arange(len(labels))
    a, b = (macro_parts(labels, x, patients=each, strata=strata) for x in (scores_a, scores_b))
    return bool(np.array_equal(a.auroc, b.auroc) and np.array_equal(a.sums, b.sums))
