"""R, where it is installed: other people's software that tests are held against."""

import shutil
import subprocess

import pytest


def run_r(*arguments: str, package: str = "pROC") -> None:
    """Run Rscript with these arguments; skip the test where R or the package is absent ("" asks for none)."""
    rscript = shutil.which("Rscript")
    if rscript is None:
        pytest.skip("Rscript is not installed")
    if (
        package
        and subprocess.run(
            [rscript, "-e", f"library({package})"], capture_output=True, check=False
        ).returncode
    ):
        pytest.skip(f"R package {package} is not installed")
    subprocess.run([rscript, "--vanilla", *arguments], check=True, capture_output=True)
