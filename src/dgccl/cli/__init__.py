"""The command line: one thin function a verb. Heavy imports wait until a verb needs them."""

from dgccl.cli import accept, benchmark, compare, data, explain, learn, pretrain, stress
from dgccl.cli.app import app, main

__all__ = ["accept", "app", "benchmark", "compare", "data", "explain", "learn", "main", "pretrain", "stress"]
