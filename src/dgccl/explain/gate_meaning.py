"""Does the gate mean what it says? Its weights beside what each modality in fact did to the answer."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from jaxtyping import Float64

from dgccl.errors import StatsError
from dgccl.explain.resample import DRAWS, Measured, fold_of, mean_of, measure, spearman_of

GATE, SHARE = "gate_", "shapley_"


@dataclass(frozen=True)
class ModalityMeaning:
    """The gate of one modality against its share |phi_m| / sum |phi| of the answer.

    Attributes:
        spearman: correlation of weight and share, ranks within folds.
        spearman_pooled: the same with ranks over all folds.
        agreement: part of the lesions in which weight and share lie on one side of 1 / M.
        agreement_by_chance: what it would be if the two had nothing to do with each other; None where undefined.
    """

    spearman: Measured
    spearman_pooled: Measured
    agreement: Measured
    agreement_by_chance: float | None


@dataclass(frozen=True)
class GateMeaning:
    """What the gate of a model says and what is so.

    Attributes:
        by_modality: per modality; of two modalities the two say the same.
        n: lesions that have every modality, on which all rests.
        n_left_out: lesions that lack one, whose gate has less to decide, or that no modality moved at all.
    """

    by_modality: dict[str, ModalityMeaning]
    n: int
    n_left_out: int


def gate_meaning(
    table: pd.DataFrame, *, modalities: Sequence[str] | None = None, draws: int = DRAWS
) -> GateMeaning:
    """Compare gate weights with the modalities' shares of the answer.

    Args:
        table: of `cohort_level.cohort_explanations`; patient_id and fold are heeded where it has them.
        modalities: their names; by default all that the table has a gate column of.
        draws: of the bootstrap.

    Raises:
        StatsError: `no_gate`, the model has none; `no_cases`, no lesion has every modality.
    """
    names = list(modalities or gate_names(table))
    lacking = [name for name in names if f"{GATE}{name}" not in table or f"{SHARE}{name}" not in table]
    if not names or lacking or table[[f"{GATE}{name}" for name in names]].isna().all(axis=None):
        raise StatsError(
            "no_gate",
            f"There are no gate weights of {', '.join(lacking or names) or 'any modality'}: this model has no gate.",
            remedy="Ask this of a model with a gate, such as dgccl or gated_residual.",
        )
    shares = absolute_shares(table, names)
    whole = table.assign(**{f"part_{name}": shares[:, index] for index, name in enumerate(names)})
    needed = [f"{GATE}{name}" for name in names] + [f"part_{name}" for name in names]
    whole = whole.loc[whole[needed].notna().all(axis=1)].reset_index(drop=True)
    if whole.empty:
        raise StatsError(
            "no_cases",
            f"None of the {len(table)} lesions has all of {', '.join(names)} and a gate weight of each.",
            remedy="A gate can only be judged where it has a choice.",
        )
    found = {name: _judge(whole, name, level=1.0 / len(names), draws=draws) for name in names}
    return GateMeaning(found, len(whole), len(table) - len(whole))


def gate_names(table: pd.DataFrame) -> list[str]:
    """Modalities that a table has a gate column of."""
    return [str(name).removeprefix(GATE) for name in table.columns if str(name).startswith(GATE)]


def absolute_shares(table: pd.DataFrame, names: Sequence[str]) -> Float64[np.ndarray, "row modality"]:
    """|phi_m| / sum |phi| of each lesion, (n, M); NaN where a modality is absent or nothing moved the answer."""
    size = table[[f"{SHARE}{name}" for name in names]].abs().to_numpy(np.float64)
    total = size.sum(axis=1, keepdims=True)
    return size / np.where(total > 0.0, total, np.nan)


def _judge(whole: pd.DataFrame, name: str, *, level: float, draws: int) -> ModalityMeaning:
    gate, part = (whole[f"{kind}{name}"].to_numpy(np.float64) for kind in (GATE, "part_"))
    fold, one = fold_of(whole), np.zeros(len(whole), dtype=np.int64)
    # A gate that is no choice agrees with nothing.
    agrees = np.where(np.ptp(gate) > 0.0, (gate > level) == (part > level), np.nan)
    high = float((gate > level).mean()), float((part > level).mean())
    chance = high[0] * high[1] + (1.0 - high[0]) * (1.0 - high[1])
    return ModalityMeaning(
        spearman=measure(whole, spearman_of(gate, part, fold), method="spearman within folds", draws=draws),
        spearman_pooled=measure(whole, spearman_of(gate, part, one), method="spearman", draws=draws),
        agreement=measure(whole, mean_of(agrees), method="proportion", draws=draws),
        agreement_by_chance=chance if np.ptp(gate) > 0.0 else None,
    )
