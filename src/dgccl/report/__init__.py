"""The report of a run: one self-contained HTML file that draws stored results and computes none."""

from dgccl.report.page import write_report
from dgccl.report.pdf import print_pdf

__all__ = ["print_pdf", "write_report"]
