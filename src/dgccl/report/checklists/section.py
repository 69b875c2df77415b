"""The part of the report that holds reporting guidelines, filled as far as the run's own files can fill them."""

from dataclasses import dataclass

from dgccl.cohort import Cohort
from dgccl.report.checklists.answers import ANSWERS
from dgccl.report.checklists.items import GUIDELINES, Guideline, Item, load_guideline
from dgccl.report.checklists.said import simulated
from dgccl.report.run_files import RunFiles
from dgccl.report.section import Section
from dgccl.report.tables import Table

TITLE = "Reporting checklists"
FILLED, PARTLY, OPEN = "from the run", "partly, to be completed", "open"
HEADER = ("Item", "Asks", "Status", "Answer")
LEAD = (
    "Two guidelines for reports of such a study, filled from the files of this run. What only people can know is left "
    "open, with a place to write it. A filled checklist is not a judgment of quality: it says where something is "
    "reported, not whether it was done well."
)

NO_IMAGES = (
    "CLAIM is a guideline for images, of which this cohort has none: its entries on images do not apply."
)


@dataclass(frozen=True)
class Filled:
    """One entry with what the run says about it.

    Attributes:
        status: `FILLED`, `PARTLY` or `OPEN`.
        answer: what stands in the last column.
    """

    item: Item
    status: str
    answer: str


def checklist_section(run: RunFiles, cohort: Cohort) -> Section:
    """Every guideline as a table, and how many of its entries the run fills.

    Args:
        run: an evaluated run.
        cohort: what it was trained on.
    """
    guidelines = [load_guideline(name) for name in GUIDELINES]
    filled = [[fill(item, run, cohort) for item in guideline.items] for guideline in guidelines]
    counted = [_counted(guideline, entries) for guideline, entries in zip(guidelines, filled, strict=True)]
    tables = tuple(_table(guideline, entries) for guideline, entries in zip(guidelines, filled, strict=True))
    notes = tuple(note for note in (simulated(run), NO_IMAGES if cohort.is_table else "") if note)
    return Section("checklists", TITLE, " ".join((LEAD, *counted)), notes=notes, tables=tables)


def fill(item: Item, run: RunFiles, cohort: Cohort) -> Filled:
    """One entry, answered as far as the run can answer it.

    Args:
        item: of a guideline.
        run: an evaluated run.
        cohort: what it was trained on.
    """
    said = ANSWERS[item.answer](run, cohort) if item.answer else None
    if said is None:
        reason = "Not in this run. " if item.answer else ""
        return Filled(item, OPEN, f"{reason}To be written: ________ ({item.absent or item.left})")
    where = f" See “{item.where}”." if item.where else ""
    if item.left:
        return Filled(item, PARTLY, f"{said}{where} To be added: ________ ({item.left})")
    return Filled(item, FILLED, f"{said}{where}")


def _counted(guideline: Guideline, entries: list[Filled]) -> str:
    filled, partly, left = (sum(e.status == kind for e in entries) for kind in (FILLED, PARTLY, OPEN))
    return f"{guideline.name}: {filled} of {len(entries)} entries filled from the run, {partly} partly, {left} open."


def _table(guideline: Guideline, entries: list[Filled]) -> Table:
    rows = tuple(
        (f"{entry.item.number}. {entry.item.topic}", entry.item.asks, entry.status, entry.answer)
        for entry in entries
    )
    return Table(guideline.title, HEADER, rows, guideline.note, folded=True, words=True)
