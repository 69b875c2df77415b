"""The page as a PDF, printed by a browser: what is read on paper is what was seen on the screen."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from dgccl.errors import ReportError

BROWSERS = (
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "chrome",
    "microsoft-edge",
    "msedge",
)
"""Programs of the Chromium family, in the order in which they are tried."""
OWN_BROWSER = "DGCCL_BROWSER"
"""Environment variable that names the browser to print with."""
MAC_BROWSERS = (
    Path("/Applications/Google Chrome.app/Contents/MacOS/Google Chrome"),
    Path("/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge"),
)
LONGEST_S = 120


def find_browser() -> Path:
    """The browser to print with: the one that DGCCL_BROWSER names, else the first that is installed.

    Raises:
        ReportError: `no_browser`.
    """
    own = os.environ.get(OWN_BROWSER)
    candidates = [own] if own else [*BROWSERS, *map(str, MAC_BROWSERS)]
    for name in candidates:
        found = shutil.which(name)
        if found:
            return Path(found)
    raise ReportError(
        "no_browser",
        f"{own!r}, which {OWN_BROWSER} names, is no program."
        if own
        else "There is no browser of the Chromium family to print the PDF with.",
        remedy=f"Install Chromium, Chrome or Edge, or name one in {OWN_BROWSER}. The HTML report is written.",
    )


def print_pdf(page: Path, pdf: Path) -> None:
    """Print an HTML file to a PDF.

    Args:
        page: the file; it needs nothing else, and no network.
        pdf: to be written.

    Raises:
        ReportError: `no_browser`; `pdf_not_printed`, the browser failed or took too long.
    """
    browser = find_browser()
    with tempfile.TemporaryDirectory(prefix="dgccl-") as scratch:
        printed = Path(scratch) / "page.pdf"
        command = [
            str(browser),
            "--headless",
            "--disable-gpu",
            "--no-first-run",
            "--disable-extensions",
            f"--user-data-dir={scratch}/profile",
            "--no-pdf-header-footer",
            f"--print-to-pdf={printed}",
            page.resolve().as_uri(),
        ]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.insert(2, "--no-sandbox")  # Chromium's own sandbox refuses to work for root
        try:
            done = subprocess.run(command, capture_output=True, timeout=LONGEST_S, check=False)
            said = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        except subprocess.TimeoutExpired:
            said = [f"it took longer than {LONGEST_S} s"]
        if not printed.exists() or not printed.read_bytes().startswith(b"%PDF"):
            raise ReportError(
                "pdf_not_printed",
                f"{browser.name} wrote no PDF: {' '.join(said) or 'it gave no reason'}.",
                remedy=f"Print the HTML report from a browser, or name another one in {OWN_BROWSER}.",
            )
        shutil.copyfile(printed, pdf)
