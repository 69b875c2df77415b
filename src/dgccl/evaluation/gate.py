"""Gate weights by class, on the lesions that have every modality."""

import numpy as np
import pandas as pd
from jaxtyping import Float64

from dgccl import stats
from dgccl.evaluation.results import Gate, GateTest, Quartiles
from dgccl.evaluation.run_tables import RunTables


def gate_by_class(rows: pd.DataFrame, tables: RunTables) -> Gate | None:
    """Quartiles of the gate weights by class, and a test between the classes; None for a model without a gate.

    The weights sum to 1, so with two modalities the test of either is the test of both. With more than two, that of
    the last modality is tested.
    """
    columns = [f"gate_{name}" for name in tables.modalities]
    if not set(columns) <= set(rows.columns) or rows[columns].isna().all(axis=None):
        return None
    whole = rows.loc[rows[columns].notna().all(axis=1) & (rows["modalities_shown"] == tables.full_pattern)]

    def weights(label: int, modality: str) -> Float64[np.ndarray, "n"]:
        return whole.loc[whole["y_true"] == label, f"gate_{modality}"].to_numpy(np.float64)

    by_class = {
        name: {modality: _quartiles(weights(label, modality)) for modality in tables.modalities}
        for label, name in enumerate(tables.class_names)
    }
    modality = tables.modalities[-1]
    samples = [weights(label, modality) for label in range(len(tables.class_names))]
    test = GateTest(None, None, "not_defined", len(whole), modality)
    if all(len(sample) for sample in samples):
        found = stats.kolmogorov_smirnov(*samples) if len(samples) == 2 else stats.kruskal_wallis(samples)
        test = GateTest(found.statistic, found.p, found.method, len(whole), modality)
    return Gate(by_class, test, None) if len(samples) == 2 else Gate(by_class, None, test)


def _quartiles(values: Float64[np.ndarray, "n"]) -> Quartiles:
    if not len(values):
        return Quartiles(None, None, None, 0)
    q1, median, q3 = (float(value) for value in np.quantile(values, (0.25, 0.5, 0.75)))
    return Quartiles(median, q1, q3, len(values))
