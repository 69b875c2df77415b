"""Tables of the benchmark from the scores of its jobs: regret, drops, comparisons, ablations, costs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Float64
from scipy.stats import ttest_1samp

from dgccl import stats
from dgccl.benchmark.scores import BenchmarkScores
from dgccl.benchmark.settings import Method
from dgccl.stats.contrast import delong_contrast

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Contrast:
    """A difference, or a difference of differences, of AUCs on the same lesions.

    Attributes:
        estimate: in AUC.
        ci_low: lower end of the 95 % interval.
        ci_high: upper end.
        p: two-sided, against 0, for these trained networks on other lesions.
        p_seeds: paired t test over the seeds, for networks trained anew; None for one seed.
    """

    estimate: float
    ci_low: float
    ci_high: float
    p: float
    p_seeds: float | None


@dataclass(frozen=True)
class Row:
    """One method with one pattern shown.

    Attributes:
        method: its name.
        pattern: modalities shown.
        auroc: over the pairs within seeds (seeds weigh by their pairs), with DeLong's interval stratified by seed.
        seed_sd: standard deviation of the AUC over seeds; None for one training.
        regret_upper: AUC of the ideal observer on the latent truth minus the method's.
        regret_lower: AUC of the network trained on many lesions minus the method's; None without one.
        upright: AUC in the first pose alone.
    """

    method: str
    pattern: str
    auroc: stats.Estimate
    seed_sd: float | None
    regret_upper: Contrast
    regret_lower: Contrast | None
    upright: float


@dataclass(frozen=True)
class Drop:
    """What a method loses with a modality missing, beside what nobody could have kept.

    Attributes:
        method: its name.
        pattern: modalities that are left.
        measured: AUC with all modalities minus AUC with this pattern.
        unavoidable_upper: the same of the ideal observer.
        unavoidable_lower: the same of the network trained on many lesions; None without one.
        excess_upper: measured minus unavoidable, by the ideal observer.
        excess_lower: measured minus unavoidable, by the network trained on many lesions.
    """

    method: str
    pattern: str
    measured: Contrast
    unavoidable_upper: float
    unavoidable_lower: float | None
    excess_upper: Contrast
    excess_lower: Contrast | None


@dataclass(frozen=True)
class Comparison:
    """One method against another with a pattern shown.

    Attributes:
        a: name of the first method.
        b: name of the second.
        pattern: modalities shown.
        difference: AUC of a minus AUC of b.
        p_holm: Holm's correction over the comparisons of its family; None outside of one.
        family: which comparisons are corrected together.
    """

    a: str
    b: str
    pattern: str
    difference: Contrast
    p_holm: float | None
    family: str


Bound = Literal["upper", "lower"]


def method_rows(scores: BenchmarkScores) -> list[Row]:
    """AUC and regret of every method in every pattern that it can judge."""
    rows = []
    for method in scores.config.methods:
        for pattern, score in scores.scores[method.name].items():
            by_seed = seed_areas(scores, score)
            lower = lower_scores(scores, pattern)
            rows.append(
                Row(
                    method.name,
                    pattern,
                    stats.auroc_delong(scores.label, score, confidence=CONFIDENCE, stratum=scores.seed),
                    float(np.std(by_seed, ddof=1)) if len(by_seed) > 1 and not method.large else None,
                    contrast(scores, [scores.ideal(pattern), score], [1, -1]),
                    None if lower is None or method.large else contrast(scores, [lower, score], [1, -1]),
                    float(np.mean(seed_areas(scores, scores.upright[method.name][pattern]))),
                )
            )
    return rows


def drops(scores: BenchmarkScores) -> list[Drop]:
    """Measured and unavoidable loss of every method that judges with and without a modality."""
    found = []
    whole = scores.patterns[0]
    for method in scores.config.methods:
        own = scores.scores[method.name]
        for pattern in scores.patterns[1:]:
            if pattern not in own or whole not in own or is_single(method):
                continue
            ideal = [scores.ideal(whole), scores.ideal(pattern)]
            lower = [lower_scores(scores, name) for name in (whole, pattern)]
            mine = [own[whole], own[pattern]]
            has_lower = lower[0] is not None and lower[1] is not None and not method.large
            found.append(
                Drop(
                    method.name,
                    pattern,
                    contrast(scores, mine, [1, -1]),
                    contrast(scores, ideal, [1, -1]).estimate,
                    contrast(scores, lower, [1, -1]).estimate if has_lower else None,  # type: ignore[arg-type]
                    contrast(scores, mine + ideal, [1, -1, -1, 1]),
                    contrast(scores, mine + lower, [1, -1, -1, 1]) if has_lower else None,  # type: ignore[operator]
                )
            )
    return found


def is_single(method: Method) -> bool:
    """Whether a method reads one modality only, so that another cannot be missing to it."""
    return method.group == "single"


def comparisons(scores: BenchmarkScores) -> list[Comparison]:
    """The recommended method against every rival, and each ablation against what it was taken from."""
    methods = scores.config.methods
    recommended = recommended_name(scores)
    whole = scores.patterns[0]
    rivals = [m.name for m in methods if m.group in ("published", "rival", "single")]
    found = _family(scores, [(recommended, name) for name in rivals], whole, "recommended against rivals")
    published = [m.name for m in methods if m.group == "published"]
    ablations = [m.name for m in methods if m.group == "ablation"]
    if published:
        pairs = [(published[0], name) for name in ablations]
        found += _family(scores, pairs, whole, "parts of the published method", upright=True)
    parts = [(recommended, m.name) for m in methods if m.group == "part" and not m.large]
    found += _family(scores, parts, whole, "parts of the recommended method", upright=True)
    for method in methods:
        if is_single(method):
            pattern = method.model.removeprefix("single_")
            found += _family(
                scores, [(recommended, method.name)], pattern, f"{pattern} alone", corrected=False
            )
    return found


def recommended_name(scores: BenchmarkScores) -> str:
    """Name of the recommended method."""
    return next(m.name for m in scores.config.methods if m.group == "recommended")


def _family(
    scores: BenchmarkScores,
    pairs: Sequence[tuple[str, str]],
    pattern: str,
    family: str,
    *,
    corrected: bool = True,
    upright: bool = False,
) -> list[Comparison]:
    """Tests of pairs; parts are compared in one pose, in which all of them are scored."""
    of = scores.upright if upright else scores.scores
    tests = [contrast(scores, [of[a][pattern], of[b][pattern]], [1, -1]) for a, b in pairs]
    adjusted = stats.holm(np.array([test.p for test in tests], dtype=np.float64))
    return [
        Comparison(a, b, pattern, test, float(p) if corrected else None, family)
        for (a, b), test, p in zip(pairs, tests, adjusted, strict=True)
    ]


def contrast(
    scores: BenchmarkScores, of: Sequence[Float64[np.ndarray, "n"]], weights: Sequence[int | float]
) -> Contrast:
    """A weighted sum of AUCs, each the mean over seeds of the AUC within a seed.

    The interval and `p` treat the trained networks as given and the test lesions, which differ from seed to seed, as
    sampled (DeLong's covariance, stratified by seed). `p_seeds` treats the seeds, each with its own training
    lesions, initial weights and test lesions, as the sample.
    """
    test = delong_contrast(scores.label, list(of), list(weights), confidence=CONFIDENCE, stratum=scores.seed)
    areas = np.array([seed_areas(scores, score) for score in of])
    by_seed = np.asarray(weights) @ areas
    p_seeds = None
    if len(by_seed) > 1:
        p_seeds = float(ttest_1samp(by_seed, 0.0).pvalue) if np.ptp(by_seed) > 0 else 1.0
    return Contrast(test.difference, test.ci_low, test.ci_high, test.p, p_seeds)


def seed_areas(scores: BenchmarkScores, score: Float64[np.ndarray, "n"]) -> list[float]:
    """AUC within each seed."""
    return [
        stats.auroc(scores.label[own], score[own])
        for own in (scores.seed == seed for seed in dict.fromkeys(scores.seed.tolist()))
    ]


def lower_scores(scores: BenchmarkScores, pattern: str) -> Float64[np.ndarray, "n"] | None:
    """Scores of the network trained on many lesions; None if the benchmark trains none."""
    large = [method.name for method in scores.config.methods if method.large]
    return scores.scores[large[0]][pattern] if large else None


def dropout_curve(
    scores: BenchmarkScores, method: str, *, missing: str, repeats: int = 20, seed: int = 0
) -> list[tuple[float, float]]:
    """AUC where a growing share of the lesions lacks a modality, at random.

    Args:
        scores: of the benchmark; scores of different patterns are ranked together, as in a clinic they would be.
        method: its name.
        missing: name of the modality that is missing, or `either` for one of them by a fair coin.
        repeats: draws of who lacks what, over which the AUC is averaged.
        seed: of the draws.

    Returns:
        Pairs of (share, AUC), the share from 0 to 1.
    """
    own = scores.scores[method]
    whole = own[scores.patterns[0]]
    names = scores.config.experiment.modality_names
    left = {name: own.get("+".join(n for n in names if n != name)) for name in names}
    curve = []
    for share in np.linspace(0.0, 1.0, 11):
        rng = np.random.default_rng(seed)
        areas = []
        for _ in range(repeats if share > 0.0 or missing == "either" else 1):
            who = rng.random(len(whole)) < share
            which = rng.integers(len(names), size=len(whole)) if missing == "either" else names.index(missing)
            mixed = whole.copy()
            for index, name in enumerate(names):
                rest = left[name]
                chosen = who & (which == index)
                if chosen.any():
                    if rest is None:
                        raise ValueError(f"{method} has no scores without {name}")
                    mixed[chosen] = rest[chosen]
            areas.append(float(np.mean(seed_areas(scores, mixed))))
        curve.append((float(share), float(np.mean(areas))))
    return curve
