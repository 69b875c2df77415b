"""What each part of a model is worth: every ablation of a run against the model it was taken from."""

from dgccl.evaluation import areas
from dgccl.evaluation.figure import Figure
from dgccl.evaluation.results import AblationResult
from dgccl.evaluation.run_tables import RunTables


def ablation_results(tables: RunTables, warnings: list[str]) -> list[AblationResult]:
    """AUC of every ablation and the paired test of its full model against it.

    Holm's correction goes over the ablations of the run, apart from the comparisons between models.

    Args:
        tables: the run.
        warnings: gets what the data leave undefined.
    """
    pairs = [(entry.model, name) for name, entry in tables.ablations.items()]
    compared = {test.b: test for test in areas.compare_pairs(tables, pairs, warnings)}
    return [
        AblationResult(
            name=name,
            label=entry.label,
            model=entry.model,
            settings=entry.settings,
            auroc=_area(tables, name, tables.full_pattern, warnings),
            full_auroc=_area(tables, entry.model, tables.full_pattern, []),
            patterns={
                pattern: _area(tables, name, pattern, warnings) for pattern in tables.withheld_patterns(name)
            },
            comparison=compared.get(name),
        )
        for name, entry in tables.ablations.items()
    ]


def _area(tables: RunTables, name: str, pattern: str, warnings: list[str]) -> Figure:
    rows = tables.rows(name, split="test", pattern=pattern)
    what = name if pattern == tables.full_pattern else f"{name} with {pattern} only"
    if rows.empty:
        warnings.append(f"{name} has no test lesions to show {pattern} of.")
        return areas.undefined(0)
    return areas.auroc(rows, tables.score_columns, what, warnings)
