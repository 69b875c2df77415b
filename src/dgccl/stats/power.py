"""Planning: how many cases an AUROC, or a difference of two, needs; what power given cases have.

Cases are taken as independent: with several lesions a patient, more of them are needed than these plans say.
"""

from dgccl.stats._inputs import check_confidence
from dgccl.stats._plan import SampleSize, Spread, apart, check_inside, power_with, solve_cases, tail_of
from dgccl.stats.area_variance import AreaVariance, area_variance, difference_variance


def auroc_sample_size(
    auroc: float,
    *,
    null: float = 0.5,
    ratio: float = 1.0,
    power: float = 0.8,
    alpha: float = 0.05,
    one_sided: bool = False,
    variance: AreaVariance = "obuchowski",
) -> SampleSize:
    """Cases needed to show that an AUROC is not a given one.

    Args:
        auroc: expected AUROC, in (0, 1).
        null: AUROC to be ruled out, in (0, 1).
        ratio: negative cases a positive case.
        power: chance of a significant result if the AUROC is as expected.
        alpha: level of the test.
        one_sided: whether alpha is spent on the side of the expected AUROC alone.
        variance: `obuchowski`, the published formula, as power.roc.test of pROC: it asks for more cases than needed,
            the more so the higher the area; `hanley_mcneil`, the exponential formula; `empirical`, what DeLong's
            variance comes to if scores are normal, whose plans reach their power
            (`benchmarks/results/comparison_size.md`).

    Raises:
        StatsError: `auroc_out_of_range`, `ratio_out_of_range`, `power_out_of_range`, `alpha_out_of_range`,
            `no_difference`, `option_unknown`.

    Source: Obuchowski and McClish, Stat Med 16 (1997) 1529-1542; Hanley and McNeil, Radiology 143 (1982) 29-36.

    Example:
        >>> plan = auroc_sample_size(0.8, ratio=2.0, power=0.9)
        >>> plan.positives, plan.negatives
        (13, 26)
    """
    spread = _one_area(auroc, null, variance)
    return solve_cases(
        spread, apart(auroc, null), ratio, power, tail_of(alpha, one_sided=one_sided), method=variance
    )


def auroc_power(
    auroc: float,
    *,
    positives: int,
    negatives: int,
    null: float = 0.5,
    alpha: float = 0.05,
    one_sided: bool = False,
    variance: AreaVariance = "obuchowski",
) -> float:
    """Chance that given cases show that an AUROC is not a given one.

    Args:
        auroc: expected AUROC, in (0, 1).
        positives: positive cases.
        negatives: negative cases.
        null: AUROC to be ruled out, in (0, 1).
        alpha: level of the test.
        one_sided: whether alpha is spent on the side of the expected AUROC alone.
        variance: as for `auroc_sample_size`.

    Raises:
        StatsError: as `auroc_sample_size`; `too_few_cases`.

    Source: as `auroc_sample_size`.

    Example:
        >>> round(auroc_power(0.8, positives=15, negatives=30), 3)
        0.941
    """
    spread = _one_area(auroc, null, variance)
    return power_with(spread, apart(auroc, null), positives, negatives, tail_of(alpha, one_sided=one_sided))


def auroc_precision_sample_size(
    auroc: float,
    *,
    half_width: float,
    ratio: float = 1.0,
    confidence: float = 0.95,
    variance: AreaVariance = "obuchowski",
) -> SampleSize:
    """Cases needed for an interval of an AUROC that reaches so far to either side.

    Args:
        auroc: expected AUROC, in (0, 1).
        half_width: half of the width of the interval, in (0, 0.5).
        ratio: negative cases a positive case.
        confidence: nominal coverage of the interval.
        variance: as for `auroc_sample_size`.

    Raises:
        StatsError: `auroc_out_of_range`, `half_width_out_of_range`, `ratio_out_of_range`, `confidence_out_of_range`,
            `option_unknown`.

    Source: as `auroc_sample_size`.

    Example:
        >>> auroc_precision_sample_size(0.8, half_width=0.05, variance="hanley_mcneil").positives
        151
    """
    check_confidence(confidence)
    check_inside(half_width, 0.0, 0.5, name="half_width")
    spread = _one_area(auroc, auroc, variance)
    # The plan of a test with a power of one half: the interval just reaches the other value.
    return solve_cases(spread, half_width, ratio, 0.5, (1.0 - confidence) / 2.0, method=variance)


def paired_auroc_sample_size(
    auroc_a: float,
    auroc_b: float,
    *,
    correlation_positive: float,
    correlation_negative: float,
    ratio: float = 1.0,
    power: float = 0.8,
    alpha: float = 0.05,
    one_sided: bool = False,
    margin: float | None = None,
    variance: AreaVariance = "obuchowski",
) -> SampleSize:
    """Cases needed to tell two AUROCs on the same cases apart, or to show that a is not inferior to b.

    Args:
        auroc_a: expected AUROC of the first (new) score, in (0, 1).
        auroc_b: expected AUROC of the second (old) score, in (0, 1).
        correlation_positive: correlation of the two scores among positive cases, in (-1, 1).
        correlation_negative: the same among negative cases.
        ratio: negative cases a positive case.
        power: chance of success if the areas are as expected.
        alpha: level of the two-sided test, or of the two-sided interval whose lower end is held to the margin.
        one_sided: whether alpha is spent on one side alone.
        margin: None to test for a difference; else the loss that is accepted, positive, for non-inferiority of a.
        variance: as for `auroc_sample_size`.

    Raises:
        StatsError: `auroc_out_of_range`, `correlation_out_of_range`, `ratio_out_of_range`, `power_out_of_range`,
            `alpha_out_of_range`, `margin_not_positive`; `no_difference` if the areas are equal, or a is expected to be
            worse than b by the margin or more; `no_variance` if the formula gives none; `option_unknown`.

    Source: Obuchowski and McClish, Stat Med 16 (1997) 1529-1542; Hanley and McNeil, Radiology 148 (1983) 839-843;
        non-inferiority: Obuchowski, Am J Roentgenol 168 (1997) 13-17.

    Example:
        >>> plan = paired_auroc_sample_size(0.85, 0.8, correlation_positive=0.5, correlation_negative=0.5)
        >>> plan.positives, plan.negatives
        (410, 410)
    """
    spread = _two_areas(auroc_a, auroc_b, correlation_positive, correlation_negative, margin, variance)
    delta = apart(auroc_a, auroc_b, margin)
    return solve_cases(spread, delta, ratio, power, tail_of(alpha, one_sided=one_sided), method=variance)


def paired_auroc_power(
    auroc_a: float,
    auroc_b: float,
    *,
    correlation_positive: float,
    correlation_negative: float,
    positives: int,
    negatives: int,
    alpha: float = 0.05,
    one_sided: bool = False,
    margin: float | None = None,
    variance: AreaVariance = "obuchowski",
) -> float:
    """Chance that given cases tell two AUROCs apart, or show that a is not inferior to b.

    Args:
        auroc_a: expected AUROC of the first (new) score, in (0, 1).
        auroc_b: expected AUROC of the second (old) score, in (0, 1).
        correlation_positive: correlation of the two scores among positive cases, in (-1, 1).
        correlation_negative: the same among negative cases.
        positives: positive cases.
        negatives: negative cases.
        alpha: as for `paired_auroc_sample_size`.
        one_sided: whether alpha is spent on one side alone.
        margin: as for `paired_auroc_sample_size`.
        variance: as for `auroc_sample_size`.

    Raises:
        StatsError: as `paired_auroc_sample_size`; `too_few_cases`.

    Source: as `paired_auroc_sample_size`.

    Example:
        >>> of = dict(correlation_positive=0.5, correlation_negative=0.5, positives=100, negatives=200)
        >>> round(paired_auroc_power(0.85, 0.85, margin=0.05, **of), 3)
        0.312
    """
    spread = _two_areas(auroc_a, auroc_b, correlation_positive, correlation_negative, margin, variance)
    delta = apart(auroc_a, auroc_b, margin)
    return power_with(spread, delta, positives, negatives, tail_of(alpha, one_sided=one_sided))


def _one_area(auroc: float, null: float, variance: AreaVariance) -> Spread:
    check_inside(auroc, 0.0, 1.0, name="auroc")
    check_inside(null, 0.0, 1.0, name="auroc")

    def spread(positives: int | float, negatives: int | float) -> tuple[float, float]:
        return (
            area_variance(null, positives, negatives, variance=variance),
            area_variance(auroc, positives, negatives, variance=variance),
        )

    return spread


def _two_areas(
    auroc_a: float,
    auroc_b: float,
    correlation_positive: float,
    correlation_negative: float,
    margin: float | None,
    variance: AreaVariance,
) -> Spread:
    for area in (auroc_a, auroc_b):
        check_inside(area, 0.0, 1.0, name="auroc")
    for correlation in (correlation_positive, correlation_negative):
        check_inside(correlation, -1.0, 1.0, name="correlation")

    def spread(positives: int | float, negatives: int | float) -> tuple[float, float]:
        null, expected = difference_variance(
            auroc_a,
            auroc_b,
            positives,
            negatives,
            correlation_positive=correlation_positive,
            correlation_negative=correlation_negative,
            variance=variance,
        )
        # At the margin the areas do differ, so the variance without a difference has no place there.
        return (null if margin is None else expected), expected

    return spread
