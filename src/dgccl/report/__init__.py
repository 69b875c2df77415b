"""The report of a run: one self-contained HTML file that draws stored results and computes none."""

from dgccl.report.page import write_report

__all__ = ["write_report"]
