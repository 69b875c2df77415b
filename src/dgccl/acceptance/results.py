"""What the gates found, as `acceptance.json` holds it."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from dgccl.evaluation.figure import Figure


@dataclass(frozen=True)
class Count:
    """A figure that was counted and has no interval, shaped as one that has."""

    estimate: int
    n: int
    ci_low: None = None
    ci_high: None = None
    method: str = "count"


@dataclass(frozen=True)
class Part:
    """One of the things that a gate looks at one by one: a pattern, a subgroup, a site, a column, a check.

    Attributes:
        name: of the thing.
        figure: what was found; null where it is not defined or was not computed.
        ci_low: lower end of its 95 % interval; null for a count.
        ci_high: upper end.
        method: how the interval was computed; `count` for a count.
        n: lesions behind the figure.
        passed: null where the thing got no verdict, as a subgroup that is too small.
        reason: why, in words.
    """

    name: str
    figure: float | int | None
    ci_low: float | None
    ci_high: float | None
    method: str
    n: int
    passed: bool | None
    reason: str


@dataclass(frozen=True)
class GateResult:
    """One gate.

    Attributes:
        rule: the kind of gate.
        title: the rule and what tells this gate from another of its kind.
        settings: all of them, defaults filled in.
        figure_name: what the figure is.
        figure: what was found; of several parts the one that decides.
        ci_low: lower end of its 95 % interval.
        ci_high: upper end.
        method: how the interval was computed; `count` for a count.
        n: lesions behind the figure.
        passed: the verdict.
        assessed: False where the run leaves no way to tell, which fails the gate.
        reason: why, in words.
        parts: one by one, where the gate looks at several things.
        details: facts behind the figure, such as ids of lesions.
    """

    rule: str
    title: str
    settings: dict[str, Any]
    figure_name: str
    figure: float | int | None
    ci_low: float | None
    ci_high: float | None
    method: str
    n: int
    passed: bool
    assessed: bool
    reason: str
    parts: list[Part] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """What a gate's function returns: the result without what every gate has in common.

    Attributes:
        figure_name: what the figure is.
        figure: what was found, with its interval.
        passed: the verdict.
        reason: why, in words.
        parts: one by one.
        details: facts behind the figure.
    """

    figure_name: str
    figure: Figure | Count
    passed: bool
    reason: str
    parts: list[Part] = field(default_factory=list)
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Acceptance:
    """All gates of a run and the verdict.

    Attributes:
        verdict: `pass` if every gate passed, else `fail`.
        data_kind: `phantom` or `real`.
        notice: what must stand beside the verdict; PHANTOM where the data are a phantom's, else empty.
        model: the model that was judged; null where the run leaves that open.
        gates_file: name, content and hash of the file of gates.
        run: what was judged: name, hashes of its files and cohort, version and command that made it.
        failed: titles of the gates that failed.
        gates: in the order of the file.
        warnings: what a reader must know besides.
    """

    verdict: str
    data_kind: str
    notice: str
    model: str | None
    dgccl_version: str
    command: str
    created: str
    cohort_sha256: str
    gates_file: dict[str, str]
    run: dict[str, Any]
    failed: list[str]
    gates: list[GateResult]
    warnings: list[str]

    @property
    def passed(self) -> bool:
        """Whether every gate passed."""
        return self.verdict == "pass"

    def to_json(self) -> dict[str, Any]:
        """The content of `acceptance.json`."""
        return asdict(self)


def counted(figure_name: str, count: int, n: int, *, passed: bool, reason: str, **rest: Any) -> Finding:
    """A finding whose figure is a count."""
    return Finding(figure_name, Count(count, n), passed, reason, **rest)


def part_of(name: str, figure: Figure | Count, *, passed: bool | None, reason: str) -> Part:
    """A part of a gate, from its figure."""
    return Part(name, figure.estimate, figure.ci_low, figure.ci_high, figure.method, figure.n, passed, reason)


def counted_part(name: str, count: int, n: int, *, reason: str) -> Part:
    """A part that counts faults, of which there must be none."""
    return part_of(name, Count(count, n), passed=count == 0, reason=reason)
