"""What a probability may become once a missing modality is there: a conformal predictive distribution."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Shaped
from scipy.special import expit, logit

ROUNDING = 1e-9
"""Shares that are a rank apart differ by more than this, and by less for rounding alone."""
DETERMINED = 1e-12
"""A lesion that alone determines the line has a leverage of 1 but for rounding."""


@dataclass(frozen=True, eq=False)
class Outlook:
    """Validation lesions without a modality and with it, and what they say of another lesion's probability.

    The other lesion joins them on the line from log odds without the modality to log odds with it, and its own
    unknown log odds are moved until its studentized residual is that of each of them in turn: these are the outcomes.
    They are no residuals of a line that was drawn through the same lesions, which are too small.

    Attributes:
        without: log odds without the modality of validation lesions that have it, (k,).
        complete: their log odds with everything, (k,).
        weight: of each lesion, of sum 1: every patient counts once, (k,).
        patients: of these lesions.

    Source: Vovk, Shen, Manokhin and Xie, Machine Learning 108 (2019) 445-474 (the studentized least squares
    prediction machine); Burnaev and Vovk, COLT (2014) 605-622.
    """

    without: Float64[np.ndarray, "k"]
    complete: Float64[np.ndarray, "k"]
    weight: Float64[np.ndarray, "k"]
    patients: int

    def probabilities(self, now: Float64[np.ndarray, "n"]) -> Float64[np.ndarray, "n k"]:
        """What each probability may become, each outcome with the weight of its validation lesion.

        Args:
            now: probability without the modality, inside (0, 1), (n,).
        """
        known, new, joint = self._leverages(logit(now))
        fitted_new, fitted = self._projected(logit(now))
        spread_new = np.sqrt(np.maximum(1.0 - new, DETERMINED))[:, None]
        spread = np.sqrt(np.maximum(1.0 - known, DETERMINED))
        residual = (self.complete - fitted) / spread
        return np.asarray(
            expit((residual + fitted_new[:, None] / spread_new) / (spread_new + joint / spread))
        )

    def interval(
        self, outcomes: Float64[np.ndarray, "n k"], *, share: float
    ) -> tuple[Float64[np.ndarray, "n"], Float64[np.ndarray, "n"]]:
        """Ends of the central interval that holds `share` of what may come, by conformal ranks.

        Where every patient has one lesion and lesions are exchangeable, it holds the probability of a new lesion in
        at least `share` of all cases, and in less than 2 / (k + 1) more if no two outcomes are alike, whatever the
        distribution. With several lesions a patient this is not proved; nor where the validation lesions have also
        chosen what gave the probabilities, as its weights and its temperature.
        With fewer than 2 / (1 - share) - 1 patients nothing can be promised and the ends are 0 and 1.

        Measured on simulated lesions (a true line, normal errors, 50 new lesions in each of 1500 to 3000 repeats, share
        0.8), standard error 0.002: 0.820, 0.874, 0.845, 0.803 and 0.804 with 10, 15, 25, 50 and 100 patients of one
        lesion each; 0.894, 0.862, 0.837, 0.819 and 0.806 with two lesions each, which share half of the variance of
        their errors. The mean absolute change that the outcomes let expect was 6 to 8 % too large with 10 patients, 2 %
        with 25 and 1 % with 100; the mean benefit of acting from 0.3 on was 21 %, 9 % and 3 % too small (36 %, 15 % and
        4 % by residuals of the lesions' own line).

        Args:
            outcomes: of `probabilities`, (n, k).
            share: of the cases, inside (0, 1).
        """
        needed = (1.0 - (1.0 - share) / 2.0) * (self.patients + 1) / self.patients
        if needed > 1.0 + ROUNDING:
            return np.zeros(len(outcomes)), np.ones(len(outcomes))
        return -self._reached(-outcomes, needed), self._reached(outcomes, needed)

    def mean(self, values: Shaped[np.ndarray, "n k"]) -> Float64[np.ndarray, "n"]:
        """Mean over the outcomes, (n,)."""
        return np.asarray(values @ self.weight)

    def median(self, outcomes: Float64[np.ndarray, "n k"]) -> Float64[np.ndarray, "n"]:
        """Median of the outcomes, (n,)."""
        return (self._reached(outcomes, 0.5) - self._reached(-outcomes, 0.5)) / 2.0

    def _reached(self, outcomes: Float64[np.ndarray, "n k"], share: float) -> Float64[np.ndarray, "n"]:
        """The smallest outcome up to which the outcomes weigh `share`."""
        order = np.argsort(outcomes, axis=1)
        place = (np.cumsum(self.weight[order], axis=1) >= share - ROUNDING).argmax(axis=1)
        return np.take_along_axis(outcomes, order, axis=1)[np.arange(len(outcomes)), place]

    def _leverages(
        self, x: Float64[np.ndarray, "n"]
    ) -> tuple[Float64[np.ndarray, "n k"], Float64[np.ndarray, "n"], Float64[np.ndarray, "n k"]]:
        """Of each validation lesion, of the new one, and of both together, once the new one has joined them."""
        known, new = self._centered(x)
        even = 1.0 / (len(self.without) + 1)
        return even + known**2, even + new**2, even + known * new[:, None]

    def _projected(
        self, x: Float64[np.ndarray, "n"]
    ) -> tuple[Float64[np.ndarray, "n"], Float64[np.ndarray, "n k"]]:
        """What the known log odds add to the fitted value of the new lesion, and of each validation lesion."""
        known, new = self._centered(x)
        level, along = self.complete.sum() / (len(self.without) + 1), known @ self.complete
        return level + new * along, level + known * along[:, None]

    def _centered(
        self, x: Float64[np.ndarray, "n"]
    ) -> tuple[Float64[np.ndarray, "n k"], Float64[np.ndarray, "n"]]:
        """Distances from the mean in units of all their root sum of squares; 0 where a line has no slope."""
        mean = (self.without.sum() + x) / (len(self.without) + 1)
        known, new = self.without - mean[:, None], x - mean
        if np.ptp(self.without) == 0.0:
            return np.zeros_like(known), np.zeros_like(new)
        length = np.sqrt((known**2).sum(axis=1) + new**2)
        return known / length[:, None], new / length


def fit_outlook(
    without: Float64[np.ndarray, "k"],
    complete: Float64[np.ndarray, "k"],
    *,
    patient: Shaped[np.ndarray, "k"] | None = None,
) -> Outlook:
    """Take validation lesions for an outlook.

    Args:
        without: probabilities without the modality of validation lesions that have it, inside (0, 1), (k,).
        complete: their probabilities with everything, (k,).
        patient: whose lesions; each is a patient's only one if left out.
    """
    _, owner, count = np.unique(
        np.arange(len(without)) if patient is None else patient, return_inverse=True, return_counts=True
    )
    return Outlook(logit(without), logit(complete), 1.0 / (len(count) * count[owner]), len(count))


def benefit_of_acting(
    probability: Float64[np.ndarray, "*shape"], threshold: float
) -> Float64[np.ndarray, "*shape"]:
    """Expected net benefit of acting where the probability is at least the threshold, and of not acting elsewhere."""
    odds = threshold / (1.0 - threshold)
    return np.maximum(probability - (1.0 - probability) * odds, 0.0)
