"""How far a run's figures hold when the images are worse, misplaced or mis-scaled: `dgccl stress`."""

from dgccl.robustness.results import STRESS_FILE, Stress, read_stress, run_hash

__all__ = ["STRESS_FILE", "Stress", "read_stress", "run_hash"]
