"""The verdict over a run, written into its folder."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dgccl import __version__
from dgccl.acceptance.evidence import Evidence, hashes_of, open_evidence
from dgccl.acceptance.gates import GatesFile, load_gates
from dgccl.acceptance.judge import judge
from dgccl.acceptance.results import Acceptance, GateResult
from dgccl.cohort import Cohort
from dgccl.errors import DgcclError, TrainingError
from dgccl.evaluation.run_tables import RunTables
from dgccl.files import write_atomically

ACCEPTANCE_FILE = "acceptance.json"
PHANTOM = "PHANTOM: the data are a digital phantom's. The verdict says nothing about patients."


def accept(
    run_dir: Path, gates_path: Path, *, cohort_dir: Path | None = None, command: str = ""
) -> Acceptance:
    """Hold a finished run against a file of gates and write `acceptance.json` into its folder.

    A gate that cannot be assessed, because the run's tables contradict each other or the cohort is gone, fails with its
    reason. What is no finished run, a wrong file of gates, and a cohort that was named and is not the run's are errors,
    and nothing is written.

    Args:
        run_dir: folder that `dgccl train` finished.
        gates_path: TOML file of gates.
        cohort_dir: where the cohort lies, if it has moved since training.
        command: the command line, to be kept beside the verdict.

    Raises:
        ConfigError: the file of gates is absent or wrong.
        TrainingError: `not_a_run`, `run_unfinished`, `run_file_damaged`, `cohort_changed`.
        CohortError: the cohort that was named is none.
    """
    file = load_gates(gates_path)
    evidence = open_evidence(run_dir, model=file.gates.model, cohort_dir=cohort_dir)
    found = _acceptance(evidence, file, [judge(gate, evidence) for gate in file.gates.gates], command)
    text = json.dumps(found.to_json(), indent=2, allow_nan=False) + "\n"
    write_atomically(run_dir / ACCEPTANCE_FILE, text)
    return found


def read_acceptance(run_dir: Path) -> dict[str, Any] | None:
    """Content of the `acceptance.json` of a run; None where it was not held against gates.

    Raises:
        TrainingError: `run_file_damaged`; `acceptance_outdated` if the run has changed since.
    """
    path = run_dir / ACCEPTANCE_FILE
    remedy = f"Call `dgccl accept` again, or remove {ACCEPTANCE_FILE}."
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        hashes = content["run"]["files_sha256"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise TrainingError(
            "run_file_damaged", f"{path.name} cannot be used: {error}.", remedy=remedy
        ) from error
    if hashes != hashes_of(run_dir):
        raise TrainingError(
            "acceptance_outdated", f"The run has changed since {path.name} was written.", remedy=remedy
        )
    return dict(content)


def _acceptance(evidence: Evidence, file: GatesFile, gates: list[GateResult], command: str) -> Acceptance:
    facts = evidence.facts
    failed = [gate.title for gate in gates if not gate.passed]
    data_kind = _data_kind(evidence)
    return Acceptance(
        verdict="fail" if failed else "pass",
        data_kind=data_kind,
        notice="" if data_kind == "real" else PHANTOM,
        model=_model(evidence),
        dgccl_version=__version__,
        command=command,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        cohort_sha256=str(facts["cohort_sha256"]),
        gates_file={
            "name": file.gates.name,
            "file": file.file,
            "sha256": file.sha256,
            "content": file.content,
        },
        run={
            "name": evidence.run_dir.resolve().name,
            "config_name": facts.get("config_name"),
            "dgccl_version": facts["dgccl_version"],
            "command": facts["command"],
            "files_sha256": hashes_of(evidence.run_dir),
        },
        failed=failed,
        gates=gates,
        warnings=_warnings(evidence),
    )


def _data_kind(evidence: Evidence) -> str:
    """`real` only if the run and the cohort both say so."""
    cohort = evidence.cohort_or_error
    kinds = {str(evidence.facts["data_kind"])} | ({cohort.data_kind} if isinstance(cohort, Cohort) else set())
    return "real" if kinds == {"real"} else "phantom"


def _model(evidence: Evidence) -> str | None:
    try:
        return evidence.model
    except DgcclError:
        return evidence.wanted_model


def _warnings(evidence: Evidence) -> list[str]:
    """What a reader must know besides the gates."""
    warnings = []
    cohort, tables, facts = evidence.cohort_or_error, evidence.tables_or_error, evidence.facts
    if isinstance(cohort, Cohort) and cohort.data_kind != facts["data_kind"]:
        warnings.append(
            f"run.json calls the data {facts['data_kind']}, the cohort calls them {cohort.data_kind}."
        )
    if not isinstance(cohort, Cohort):
        warnings.append(f"The cohort could not be opened: {cohort}")
    if not isinstance(tables, RunTables):
        warnings.append(f"Evaluation refuses this run: {tables}")
    start = facts.get("start") or {}
    if start:
        said = start.get("warning") or "none of the tested lesions was learned from."
        warnings.append(f"The encoders were pre-trained without labels: {said}")
    return warnings
