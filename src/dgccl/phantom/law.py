"""The class-conditional law of a lesion, from which it can be drawn and by which it can be judged ideally.

A lesion is of one hidden kind (say, active granuloma). Given its kind, what CT shows and what PET shows are
independent and of closed form; the kind is what couples them. Likelihood ratios are therefore exact sums over
kinds. What no view can show (breathing, noise, dose) is independent of the class and cancels.

Sources of the numbers, and the ideal AUCs that follow from them: docs/phantom.md.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float64, Shaped
from scipy import special, stats

from dgccl.errors import ConfigError
from dgccl.phantom.kinds import KINDS, Kind

View = Literal["ct", "pet", "both"]
VIEWS: tuple[View, ...] = ("ct", "pet", "both")
LAW_VERSION = "1"
TYPES = ("solid", "part_solid", "ground_glass")
LogDensity = Callable[[Kind], Float64[np.ndarray, "n"]]
"""Log density of something seen of each lesion, if the lesion is of a kind."""


@dataclass(frozen=True)
class LesionLaw:
    """The law of the latent lesion, with the dials that make fusion easy, hard or pointless.

    Args:
        prevalence: probability of the malignant class.
        interaction: probability that uptake follows the kind that CT shows, in [0, 1]; otherwise it follows
            another kind drawn from the same class. Below 1 the laws of the CT latents and of uptake stay as
            they are, only their coupling within the class goes, and with it that of uptake and size.
        conditional_independence: CT and PET latents independent given the class: no interaction, diameters of
            one law for both classes, uptake spread over the whole lesion. Then the log likelihood ratios of
            CT and PET add up exactly, so that late fusion by summed logits is optimal.
        label_noise: probability that the recorded label is the wrong class, in [0, 0.5).
        size_spread: factor on the standard deviation of ln(diameter); near 0 every kind has its median size.
        diameter_range_mm: inclusion criterion of the method's cohort, mm.
        kinds: hidden kinds of both classes.
    """

    prevalence: float = 0.5
    interaction: float = 1.0
    conditional_independence: bool = False
    label_noise: float = 0.0
    size_spread: float = 1.0
    diameter_range_mm: tuple[float, float] = (5.0, 30.0)
    kinds: tuple[Kind, ...] = field(default=KINDS, repr=False)

    def __post_init__(self) -> None:
        bounds = {
            "prevalence": (self.prevalence, 0.0 < self.prevalence < 1.0, "in (0, 1)"),
            "interaction": (self.interaction, 0.0 <= self.interaction <= 1.0, "in [0, 1]"),
            "label_noise": (self.label_noise, 0.0 <= self.label_noise < 0.5, "in [0, 0.5)"),
            "size_spread": (self.size_spread, self.size_spread > 0.0, "above 0"),
        }
        low, high = self.diameter_range_mm
        if not 0.0 < low < high:
            raise ConfigError(
                "phantom_setting_out_of_range",
                f"Phantom setting diameter_range_mm is {low:g} to {high:g}, expected two rising numbers above 0.",
                remedy="Correct the setting.",
            )
        for name, (value, valid, expected) in bounds.items():
            if not valid:
                raise ConfigError(
                    "phantom_setting_out_of_range",
                    f"Phantom setting {name} is {value:g}, expected a number {expected}.",
                    remedy="Correct the setting.",
                )

    def of_class(self, malignant: bool) -> tuple[Kind, ...]:
        """The kinds of one class."""
        return tuple(kind for kind in self.kinds if kind.malignant == malignant)


def sample_lesions(rng: np.random.Generator, n: int, *, law: LesionLaw | None = None) -> pd.DataFrame:
    """Draw latent lesions, one row each.

    Args:
        rng: source of randomness.
        n: number of lesions.
        law: settings; the default law if omitted.

    Returns:
        Columns `malignant` (true class, 0 or 1), `label` (recorded class), `kind`, `uptake_kind`,
        `density_type`, `diameter_mm`, `solid_fraction`, `spiculation`, `density_hu` (of the solid part, or of
        the glass if there is none), `inflammation` (strength of the hazy rim, 0 to 1), `uptake_suv`,
        `avid_fraction` (diameter that takes up FDG / whole diameter).
    """
    law = law or LesionLaw()
    malignant = rng.random(n) < law.prevalence
    kind = _draw_kinds(rng, malignant, law.kinds)
    coupled = rng.random(n) < (0.0 if law.conditional_independence else law.interaction)
    uptake_kind = np.where(coupled, kind, _draw_kinds(rng, malignant, law.kinds))
    size_kind = _draw_kinds(rng, rng.random(n) < 0.5, law.kinds) if law.conditional_independence else kind
    density_type = (rng.random(n)[:, None] > np.cumsum(_of(law, kind, "type_shares"), axis=1)).sum(axis=1)
    density_type = np.minimum(density_type, 2)
    part = rng.beta(*_of(law, kind, "solid_fraction_beta").T)
    solid_fraction = np.select([density_type == 0, density_type == 1], [1.0, part], 0.0)
    hu = np.where(density_type[:, None] == 2, _of(law, kind, "glass_hu"), _of(law, kind, "solid_hu"))
    inflamed = rng.random(n) < _of(law, kind, "inflammation_share")
    avid = np.where(density_type == 2, 1.0, solid_fraction)
    return pd.DataFrame(
        {
            "malignant": malignant.astype(np.int64),
            "label": (malignant ^ (rng.random(n) < law.label_noise)).astype(np.int64),
            "kind": np.array([k.name for k in law.kinds])[kind],
            "uptake_kind": np.array([k.name for k in law.kinds])[uptake_kind],
            "density_type": np.array(TYPES)[density_type],
            "diameter_mm": _draw_diameters(rng, law, size_kind),
            "solid_fraction": solid_fraction,
            "spiculation": rng.beta(*_of(law, kind, "spiculation_beta").T),
            "density_hu": rng.normal(*hu.T),
            # The strength given a rim is the same for every kind, so only its presence is informative.
            "inflammation": np.where(inflamed, rng.beta(2.0, 2.0, n), 0.0),
            "uptake_suv": np.exp(
                np.log(_of(law, uptake_kind, "uptake_median_suv"))
                + _of(law, uptake_kind, "uptake_log_sd") * rng.standard_normal(n)
            ),
            "avid_fraction": np.ones(n) if law.conditional_independence else avid,
        }
    )


def log_likelihood_ratio(
    latents: pd.DataFrame, view: View, *, law: LesionLaw | None = None
) -> Float64[np.ndarray, "n"]:
    """Exact ln p(latents | label 1) / p(latents | label 0) of what a view can show.

    CT shows diameter, density type, solid fraction, spiculation, density and inflamed rim; PET shows uptake
    and diameter. Hidden kinds, and label noise if there is any, are summed over.

    Args:
        latents: rows as `sample_lesions` draws them.
        view: "ct", "pet" or "both".
        law: the law they were drawn from.

    Returns:
        One value a lesion; by the Neyman-Pearson lemma no score of the same information has a higher AUC.
    """
    law = law or LesionLaw()
    return ratio_over_kinds(
        latents,
        law,
        log_own=None if view == "pet" else lambda kind: ct_log_density(latents, kind),
        log_uptake=None if view == "ct" else lambda kind: uptake_log_density(latents, kind),
    )


def ratio_over_kinds(
    latents: pd.DataFrame, law: LesionLaw, *, log_own: LogDensity | None, log_uptake: LogDensity | None
) -> Float64[np.ndarray, "n"]:
    """The log likelihood ratio of the recorded label, given what is seen kind by kind.

    Args:
        latents: rows as `sample_lesions` draws them; their diameters are granted.
        law: the law they were drawn from.
        log_own: log density of what is seen besides diameter and uptake, by the lesion's kind; None: nothing.
        log_uptake: log density of what is seen of the uptake, by the kind that it follows; None: nothing.

    Returns:
        One value a lesion.
    """
    density = [
        _log_density(latents, law, malignant=malignant, log_own=log_own, log_uptake=log_uptake)
        for malignant in (False, True)
    ]
    ratio = density[1] - density[0]
    if law.label_noise == 0.0:
        return ratio
    # P(true class malignant | recorded label), Bayes' rule.
    right, wrong = 1.0 - law.label_noise, law.label_noise
    malignant_if_1 = right * law.prevalence / (right * law.prevalence + wrong * (1 - law.prevalence))
    malignant_if_0 = wrong * law.prevalence / (wrong * law.prevalence + right * (1 - law.prevalence))
    return _log_mix(ratio, malignant_if_1) - _log_mix(ratio, malignant_if_0)


def _log_mix(ratio: Float64[np.ndarray, "n"], weight: float) -> Float64[np.ndarray, "n"]:
    """ln(weight e^ratio + 1 - weight)."""
    return np.logaddexp(np.log(weight) + ratio, np.log1p(-weight))


def _log_density(
    latents: pd.DataFrame,
    law: LesionLaw,
    *,
    malignant: bool,
    log_own: LogDensity | None,
    log_uptake: LogDensity | None,
) -> Float64[np.ndarray, "n"]:
    """Log density of what is seen, given the class."""
    kinds = law.of_class(malignant)
    share = np.log([kind.share for kind in kinds])[:, None]
    total = np.tile(share, (1, len(latents)))
    if not law.conditional_independence:  # else the size is of one law in both classes, and cancels
        total += np.stack([_log_diameter(latents, kind, law) for kind in kinds])
    if log_own is not None:
        total += np.stack([log_own(kind) for kind in kinds])
    if log_uptake is not None:
        own = np.stack([log_uptake(kind) for kind in kinds])
        strength = 0.0 if law.conditional_independence else law.interaction
        any_kind = special.logsumexp(share + own, axis=0, keepdims=True)
        with np.errstate(divide="ignore"):
            total += np.logaddexp(np.log(strength) + own, np.log1p(-strength) + any_kind)
    return special.logsumexp(total, axis=0)


def _log_diameter(latents: pd.DataFrame, kind: Kind, law: LesionLaw) -> Float64[np.ndarray, "n"]:
    center, sd = np.log(kind.diameter_median_mm), kind.diameter_log_sd * law.size_spread
    low, high = (np.log(law.diameter_range_mm) - center) / sd
    z = (np.log(latents["diameter_mm"].to_numpy()) - center) / sd
    return stats.norm.logpdf(z) - np.log(sd) - np.log(special.ndtr(high) - special.ndtr(low))


def ct_log_density(
    latents: pd.DataFrame, kind: Kind, *, density_sd_hu: Float64[np.ndarray, "n"] | float = 0.0
) -> Float64[np.ndarray, "n"]:
    """Log density of what only CT shows, if the lesion is of a kind.

    Measures on both sides of a ratio agree type by type.

    Args:
        latents: rows as `sample_lesions` draws them.
        kind: of the lesion.
        density_sd_hu: standard deviation of normal noise on `density_hu`, HU; 0 if it is the true density.
    """
    density_type = latents["density_type"].to_numpy()
    hu = latents["density_hu"].to_numpy()
    with np.errstate(divide="ignore"):
        log_share = np.log(kind.type_shares)
        rim = np.where(
            latents["inflammation"].to_numpy() > 0,
            np.log(kind.inflammation_share),
            np.log1p(-kind.inflammation_share),
        )
    solid, glass = (
        stats.norm.logpdf(hu, mean, np.hypot(sd, density_sd_hu))
        for mean, sd in (kind.solid_hu, kind.glass_hu)
    )
    part = np.zeros(len(latents))
    is_part = density_type == "part_solid"
    part[is_part] = stats.beta.logpdf(
        latents["solid_fraction"].to_numpy()[is_part], *kind.solid_fraction_beta
    )
    by_type = np.select(
        [density_type == "solid", is_part],
        [log_share[0] + solid, log_share[1] + solid + part],
        log_share[2] + glass,
    )
    return by_type + rim + stats.beta.logpdf(latents["spiculation"].to_numpy(), *kind.spiculation_beta)


def avid_log_density(latents: pd.DataFrame, kind: Kind) -> Float64[np.ndarray, "n"]:
    """Log density of the share of the lesion that takes up FDG, if the lesion is of a kind of the coupled law.

    Args:
        latents: rows as `sample_lesions` draws them.
        kind: of the lesion.
    """
    avid = latents["avid_fraction"].to_numpy()
    is_part = avid < 1.0
    with np.errstate(divide="ignore"):
        log_part, log_rest = np.log(kind.type_shares[1]), np.log(kind.type_shares[0] + kind.type_shares[2])
    result = np.full(len(latents), log_rest)
    result[is_part] = log_part + stats.beta.logpdf(avid[is_part], *kind.solid_fraction_beta)
    return result


def uptake_log_density(latents: pd.DataFrame, kind: Kind) -> Float64[np.ndarray, "n"]:
    """Log density of ln(uptake), if it follows a kind.

    Args:
        latents: rows as `sample_lesions` draws them.
        kind: of the uptake.
    """
    z = np.log(latents["uptake_suv"].to_numpy() / kind.uptake_median_suv) / kind.uptake_log_sd
    return stats.norm.logpdf(z) - np.log(kind.uptake_log_sd)


def _draw_kinds(
    rng: np.random.Generator, malignant: Shaped[np.ndarray, "n"], kinds: tuple[Kind, ...]
) -> Shaped[np.ndarray, "n"]:
    """Indices into `kinds`, by class."""
    drawn = np.empty(len(malignant), np.int64)
    for of_class in (False, True):
        index = np.array([i for i, kind in enumerate(kinds) if kind.malignant == of_class])
        share = np.array([kinds[i].share for i in index])
        rows = malignant == of_class
        drawn[rows] = rng.choice(index, size=int(rows.sum()), p=share / share.sum())
    return drawn


def _draw_diameters(
    rng: np.random.Generator, law: LesionLaw, kind: Shaped[np.ndarray, "n"]
) -> Float64[np.ndarray, "n"]:
    """Truncated log-normal diameters by the inverse distribution function, mm."""
    center = np.log(_of(law, kind, "diameter_median_mm"))
    sd = _of(law, kind, "diameter_log_sd") * law.size_spread
    low, high = (special.ndtr((np.log(edge) - center) / sd) for edge in law.diameter_range_mm)
    return np.exp(center + sd * special.ndtri(low + (high - low) * rng.random(len(kind))))


def _of(law: LesionLaw, kind: Shaped[np.ndarray, "n"], name: str) -> Shaped[np.ndarray, "n ..."]:
    """A property of each lesion's kind."""
    return np.array([getattr(k, name) for k in law.kinds], float)[kind]
