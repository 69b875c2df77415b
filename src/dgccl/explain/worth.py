"""What a network's answer is worth with only some modalities shown: the games behind the modalities' shares.

The worth of a coalition is the log odds of one class against the rest, ln p - ln(1 - p), with only the coalition's
modalities shown, by the same path that scores a lesion whose other modalities were never acquired; with two classes
that is the difference of the logits. The worth of nothing is the class prior of the training labels. Several networks
are explained by the mean of their log odds, of which every share and map here is the mean too.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from dgccl.dataset import LesionImages
from dgccl.errors import ConfigError, TrainingError
from dgccl.explain.shapley import coalitions, shapley_values
from dgccl.fold_data import LesionSource, PosedLesions
from dgccl.model import ModelOutput
from dgccl.predict import Predictor


@dataclass(frozen=True, eq=False)
class Coalitions:
    """What networks say of n lesions for every choice of modalities shown.

    Attributes:
        worth: (n, 2^M) log odds of the explained class, in the order of `shapley.coalitions`. A modality that a lesion
            lacks changes nothing: such a coalition is worth what it is worth without it.
        gate_weights: (n, M) with all that the lesion has shown, 0 where absent; None for a model without a gate.
        modality_present: (n, M).
    """

    worth: Float64[np.ndarray, "lesion coalition"]
    gate_weights: Float64[np.ndarray, "lesion modality"] | None
    modality_present: Bool[np.ndarray, "lesion modality"]

    @property
    def log_odds(self) -> Float64[np.ndarray, "lesion"]:
        """Worth of all that a lesion has, (n,)."""
        return self.worth[:, -1]

    @property
    def shares(self) -> Float64[np.ndarray, "lesion modality"]:
        """Shapley share of each modality, (n, M): rows sum to `log_odds` less the prior; 0 where absent."""
        return shapley_values(self.worth)

    @property
    def alone(self) -> Float64[np.ndarray, "lesion modality"]:
        """Worth of each modality shown alone, (n, M); of an absent one the prior."""
        return self.worth[:, 2 ** np.arange(self.modality_present.shape[1])]


def class_log_odds(logits: Float[Tensor, "batch label"], *, explained_class: int) -> Float[Tensor, "batch"]:
    """Log odds of one class against the rest, (B,), in float64.

    Args:
        logits: (B, C).
        explained_class: from 0 to C - 1.

    Raises:
        ConfigError: `unknown_class`.
    """
    check_class(explained_class, classes=logits.shape[1])
    wide = logits.double()
    rest = [index for index in range(logits.shape[1]) if index != explained_class]
    return wide[:, explained_class] - wide[:, rest].logsumexp(dim=1)


def check_class(explained_class: int, *, classes: int) -> None:
    """Refuse a class that the model does not have.

    Raises:
        ConfigError: `unknown_class`.
    """
    if not 0 <= explained_class < classes:
        raise ConfigError(
            "unknown_class",
            f"Class {explained_class} was to be explained; the model knows 0 to {classes - 1}.",
            remedy="Name one of its classes.",
        )


def need_class(explained_class: int | None, *, classes: int) -> int:
    """The class that a whole cohort is explained for: class 1 of two; of more it must be named.

    Raises:
        ConfigError: `class_not_named`, `unknown_class`.
    """
    if explained_class is None and classes > 2:
        raise ConfigError(
            "class_not_named",
            f"The model has {classes} classes, and log odds are those of one of them against the rest.",
            remedy="Name it with --explained-class.",
        )
    chosen = 1 if explained_class is None else explained_class
    check_class(chosen, classes=classes)
    return chosen


def prior_log_odds(y_true: Int64[np.ndarray, "lesion"], *, classes: int, explained_class: int) -> float:
    """Log odds of a class before anything is shown, from the labels of the training lesions.

    Each class counts once more than seen (Laplace's rule), as in `summed_logits`, whose shares are then exactly its
    modalities' own log odds less this prior.

    Args:
        y_true: (n,), class indices.
        classes: C.
        explained_class: from 0 to C - 1.

    Raises:
        ConfigError: `unknown_class`.
    """
    check_class(explained_class, classes=classes)
    counts = np.bincount(y_true, minlength=classes) + 1.0
    return float(np.log(counts[explained_class]) - np.log(counts.sum() - counts[explained_class]))


def coalition_worth(
    predictor: Predictor,
    images: LesionImages | LesionSource,
    rows: Int64[np.ndarray, "lesion"],
    *,
    prior: float,
    explained_class: int = 1,
) -> Coalitions:
    """Ask networks about lesions once for every choice of modalities, each lesion as it lies.

    Args:
        predictor: the networks.
        images: lesions in memory, or a source of their inputs in the upright pose.
        rows: which of them, (n,).
        prior: log odds of the explained class with nothing shown, of `prior_log_odds`.
        explained_class: whose log odds.

    Raises:
        ConfigError: `too_many_modalities`, `unknown_class`.
        TrainingError: `nothing_to_show`, a lesion has no modality at all, or no lesion was given.
    """
    source = PosedLesions(images, predictor.config) if isinstance(images, LesionImages) else images
    chosen = torch.from_numpy(rows)
    present = _shown_of(source, chosen, predictor.config.modality_names)
    members = torch.from_numpy(coalitions(present.shape[1]))
    worth = np.full((len(rows), len(members)), prior)
    gates = np.full(present.shape, np.nan)
    for network in predictor.networks:
        network.eval()
    size = predictor.config.training.batch_size
    edges = [*range(0, len(rows), size), len(rows)]
    with torch.inference_mode():
        for start, stop in pairwise(edges):
            inputs = source.inputs(
                chosen[start:stop], shown=present[start:stop], device=torch.device(predictor.device)
            )
            for index, shown in enumerate(members[1:], start=1):
                # A coalition with an absent modality is worth what it is worth without it: never asked.
                fits = (present[start:stop] | ~shown).all(dim=1)
                if not bool(fits.any()):
                    continue
                at = start + fits.numpy().nonzero()[0]
                seen = {name: values[fits.to(values.device)] for name, values in inputs.items()}
                odds, gate = _ask(
                    predictor, seen, shown.expand(len(at), -1), prior=prior, explained_class=explained_class
                )
                worth[at, index] = odds
                whole = (present[start:stop][fits] == shown).all(dim=1).numpy()
                if gate is not None:
                    gates[at[whole]] = gate[whole]
    kept = (members[None] & present[:, None]).numpy() @ (2 ** np.arange(present.shape[1]))
    worth = np.take_along_axis(worth, kept.astype(np.int64), axis=1)
    return Coalitions(worth, None if np.isnan(gates).all() else gates, present.numpy())


def _shown_of(
    source: LesionSource, rows: Int64[Tensor, "lesion"], names: tuple[str, ...]
) -> Bool[Tensor, "lesion modality"]:
    """Which modalities the lesions have, at least one each."""
    present = source.modality_present[rows]
    empty = int((~present.any(dim=1)).sum())
    if empty or not len(rows):
        raise TrainingError(
            "nothing_to_show",
            f"{empty} of {len(rows)} lesions to be explained have none of {', '.join(names)}.",
            remedy="Explain lesions that have at least one of the modalities.",
        )
    return present


def _ask(
    predictor: Predictor,
    inputs: dict[str, Tensor],
    shown: Bool[Tensor, "batch modality"],
    *,
    prior: float,
    explained_class: int,
) -> tuple[Float64[np.ndarray, "batch"], Float64[np.ndarray, "batch modality"] | None]:
    """Mean log odds and mean gate weights of the networks with one choice of modalities shown."""
    outputs = [network(inputs, shown.to(predictor.device)) for network in predictor.networks]
    odds = [judged_log_odds(output, prior=prior, explained_class=explained_class) for output in outputs]
    gates = [output.gate_weights.double() for output in outputs if output.gate_weights is not None]
    gate = torch.stack(gates).mean(dim=0).cpu().numpy() if gates else None
    return torch.stack(odds).mean(dim=0).cpu().numpy(), gate


def judged_log_odds(output: ModelOutput, *, prior: float, explained_class: int) -> Float[Tensor, "batch"]:
    """Log odds (B,) of a model's answer; the prior where it gave none, being shown nothing that it reads.

    Args:
        output: of a model.
        prior: log odds with nothing shown.
        explained_class: whose log odds.
    """
    odds = class_log_odds(output.logits, explained_class=explained_class)
    if output.modality_judged is None:
        return odds
    return torch.where(output.modality_judged.any(dim=1), odds, prior)
