"""What clinicians use today to judge a lung nodule: published models, computed from the clinical table."""

from dgccl.clinical.nodule_models import brock_probability, herder_probability, mayo_probability
from dgccl.clinical.predictors import (
    COMPARATORS,
    Comparator,
    comparator_probabilities,
    lacking_columns,
)

__all__ = [
    "COMPARATORS",
    "Comparator",
    "brock_probability",
    "comparator_probabilities",
    "herder_probability",
    "lacking_columns",
    "mayo_probability",
]
