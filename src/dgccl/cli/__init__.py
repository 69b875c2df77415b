"""The command line: one thin function a verb. Heavy imports wait until a verb needs them."""

from dgccl.cli import benchmark, data, explain, learn, pretrain
from dgccl.cli.app import app, main

__all__ = ["app", "benchmark", "data", "explain", "learn", "main", "pretrain"]
