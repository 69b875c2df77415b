"""Reporting guidelines, filled as far as a run can fill them."""

from dgccl.report.checklists.section import checklist_section

__all__ = ["checklist_section"]
