"""Which function answers which entry: each reads the run's own files and states what they hold, or None."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from dgccl.cohort import Cohort
from dgccl.report.checklists import of_cohort, of_groups, of_inputs, of_results, of_training
from dgccl.report.run_files import RunFiles

Answer = Callable[[RunFiles, Cohort], str | None]
"""A few sentences with the run's values; None where this run has nothing to say."""

ANSWERS: Mapping[str, Answer] = MappingProxyType(
    {
        "accuracy": of_results.accuracy,
        "acquisition": of_cohort.acquisition,
        "architecture": of_training.architecture,
        "characteristics": of_cohort.characteristics,
        "clusters": of_groups.clusters,
        "code": of_training.code,
        "crops": of_inputs.crops,
        "data_identity": of_cohort.data_identity,
        "data_source": of_cohort.data_source,
        "disjoint": of_cohort.disjoint,
        "each_tested_once": of_cohort.each_tested_once,
        "eligibility": of_cohort.eligibility,
        "ensembles": of_training.ensembles,
        "explanations": of_results.explanations,
        "failures": of_results.failures,
        "fairness": of_groups.fairness,
        "flow_numbers": of_cohort.flow_numbers,
        "goal": of_training.goal,
        "identities": of_cohort.identities,
        "imbalance": of_training.imbalance,
        "initialization": of_training.initialization,
        "input_definitions": of_inputs.input_definitions,
        "inputs": of_inputs.inputs,
        "internal_testing": of_results.internal_testing,
        "limitations_listed": of_results.limitations_listed,
        "measures": of_results.measures,
        "missing_data": of_inputs.missing_data,
        "model_building": of_training.model_building,
        "numbers_by_part": of_cohort.numbers_by_part,
        "one_cohort": of_cohort.one_cohort,
        "other_sites": of_groups.other_sites,
        "outcome": of_cohort.outcome,
        "output": of_results.output,
        "partition": of_cohort.partition,
        "performance": of_results.performance,
        "poor_inputs": of_results.poor_inputs,
        "predictions_made": of_training.predictions_made,
        "preparation": of_inputs.preparation,
        "recalibrated_performance": of_results.recalibrated_performance,
        "recalibration": of_results.recalibration,
        "robustness": of_results.robustness,
        "scaling": of_inputs.scaling,
        "selection": of_training.selection,
        "sites": of_cohort.sites,
        "size": of_cohort.size,
        "software": of_training.software,
        "specification": of_training.specification,
        "technical_details": of_training.technical_details,
        "test_size": of_results.test_size,
        "training": of_training.training,
        "uncertainty": of_results.uncertainty,
    }
)
