"""Whether a run may be used: gates with a rule, a figure and a verdict each, fit for a pipeline."""

from dgccl.acceptance.accept import ACCEPTANCE_FILE, accept, read_acceptance
from dgccl.acceptance.gates import Gates, load_gates
from dgccl.acceptance.results import Acceptance, GateResult

__all__ = ["ACCEPTANCE_FILE", "Acceptance", "GateResult", "Gates", "accept", "load_gates", "read_acceptance"]
