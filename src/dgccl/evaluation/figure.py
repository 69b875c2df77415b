"""A figure, a loss and a comparison, of which all results are made."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A figure with its interval (95 %), how it was computed, and on how many lesions."""

    estimate: float | None
    ci_low: float | None
    ci_high: float | None
    method: str
    n: int


@dataclass(frozen=True)
class Drop(Figure):
    """AUROC with all modalities minus AUROC with some withheld, on the same lesions; positive is a loss.

    Attributes:
        p: of the paired test.
        p_holm: after Holm's correction over all models and patterns of the run; null in results of before.
    """

    p: float | None
    p_holm: float | None = None


@dataclass(frozen=True)
class Comparison:
    """Paired DeLong test of model a against model b on the lesions that both judge: AUROC of a minus AUROC of b."""

    a: str
    b: str
    difference: float
    ci_low: float
    ci_high: float
    z: float
    p: float
    p_holm: float
    method: str
    n: int
