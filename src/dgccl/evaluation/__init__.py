"""From the predictions table to results: every figure is computed here, none is drawn."""

from dgccl.evaluation.compute import evaluate
from dgccl.evaluation.results import Results
from dgccl.evaluation.results_file import load_results

__all__ = ["Results", "evaluate", "load_results"]
