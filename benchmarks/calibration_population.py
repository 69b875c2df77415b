"""A population for calibration_coverage.py in which the true value of every figure is known by quadrature."""

from collections.abc import Callable

import numpy as np
from scipy.optimize import root
from scipy.special import expit, logit, roots_hermitenorm
from scipy.stats import norm

MEAN, SPREAD = -0.6, 1.5
FRAILTY = 1.0
POINTS = np.array([0.1, 0.3, 0.6, 0.9])
LIMITS = np.array([0.1, 0.3, 0.5])


def forecast(odds: np.ndarray) -> np.ndarray:
    """The model: too high and too sure of itself."""
    return expit(0.3 + 1.4 * odds)


def rival(odds: np.ndarray) -> np.ndarray:
    return expit(0.5 * odds - 0.3)


def straight(odds: np.ndarray) -> np.ndarray:
    """Truth whose calibration curve is a line of the log odds, which every spline can follow."""
    return expit(odds)


def bent(odds: np.ndarray) -> np.ndarray:
    """Truth with a wave, which no spline of few knots follows exactly."""
    return expit(odds + 0.7 * np.sin(1.5 * odds))


def frail(odds: np.ndarray) -> np.ndarray:
    """Truth at given odds, over what the patient has besides."""
    nodes, weights = roots_hermitenorm(60)
    return expit(odds[:, None] + FRAILTY * nodes) @ weights / weights.sum()


def true_values(chance: Callable[[np.ndarray], np.ndarray]) -> dict[str, float]:
    """Every figure for the whole population, by quadrature over the log odds."""
    odds = MEAN + SPREAD * np.linspace(-9, 9, 20_001)
    weight = norm.pdf(odds, MEAN, SPREAD)
    weight /= weight.sum()
    pi, p, q = chance(odds), forecast(odds), rival(odds)
    x, prevalence = logit(np.clip(p, 1e-300, 1 - 1e-16)), float(weight @ pi)
    brier = float(weight @ (pi * (1 - p) ** 2 + (1 - pi) * p**2))
    both = root(
        lambda b: [weight @ (r := pi - expit(b[0] + b[1] * x)), weight @ (r * x)], [0.0, 1.0], tol=1e-12
    )
    large = root(lambda a: [weight @ (pi - expit(a[0] + x))], [0.0], tol=1e-12)
    values = {
        "Brier score": brier,
        "Brier skill": 1 - brier / (prevalence * (1 - prevalence)),
        "log loss": float(-weight @ (pi * np.log(p) + (1 - pi) * np.log1p(-p))),
        "in the large": float(large.x[0]),
        "intercept": float(both.x[0]),
        "slope": float(both.x[1]),
    }
    for point in POINTS:
        values[f"curve at {point}"] = float(chance(np.array([(logit(point) - 0.3) / 1.4]))[0])
    for limit in LIMITS:
        gain = pi - (1 - pi) * limit / (1 - limit)
        net, other = (float(weight @ (gain * (f >= limit))) for f in (p, q))
        values[f"net benefit at {limit}"] = net
        values[f"standardized at {limit}"] = net / prevalence
        values[f"avoided at {limit}"] = (net - float(weight @ gain)) * (1 - limit) / limit
        values[f"difference at {limit}"] = net - other
    return values


def draw(
    rng: np.random.Generator, patients: int, lesions: int, chance: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Labels, log odds, and patients where they have several lesions."""
    if lesions == 1:
        odds = rng.normal(MEAN, SPREAD, size=patients)
        return (rng.random(patients) < chance(odds)).astype(int), odds, None
    patient = np.repeat(np.arange(patients), lesions)
    shared = np.sqrt(0.7) * rng.normal(size=patients)[patient]
    odds = MEAN + SPREAD * (shared + np.sqrt(0.3) * rng.normal(size=len(patient)))
    hidden = FRAILTY * rng.normal(size=patients)[patient]
    return (rng.random(len(patient)) < expit(odds + hidden)).astype(int), odds, patient
