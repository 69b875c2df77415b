"""What acquiring a missing image is expected to change for one lesion, in words."""

from collections.abc import Mapping
from typing import Any

from dgccl.report import text


def outlook_in_words(found: Mapping[str, Any], *, class_name: str) -> str:
    """The expectation as sentences.

    Args:
        found: `outlook` of `explanation.json`.
        class_name: of the class whose probability it is.
    """
    if "unavailable" in found:
        return str(found["unavailable"])
    missing = text.modality_name(found["missing"])
    said = [
        f"Without {missing}, p({class_name}) is {text.number(found['p_now'])} (recalibrated). With it the median is "
        f"expected at {text.number(found['p_median'])}, {100 * found['interval']:g}% range "
        f"{text.number(found['p_low'])} to {text.number(found['p_high'])} ({found['n_validation']} validation lesions "
        f"of fold {found['fold']})."
    ]
    if found["call_changes"] is None:
        said.append("The fold has no threshold, so that the change of the call cannot be said.")
    else:
        said.append(
            f"Chance that the call changes at the fold's threshold: {text.number(found['call_changes'], digits=2)}."
        )
    gains = ", ".join(
        f"{text.number(at['expected_benefit'], digits=4)} acting from {100 * at['threshold']:g}%"
        for at in found["acting"]
    )
    said.append(f"Expected gain in net benefit a lesion: {gains}.")
    if found["p_complete"] is not None:
        change = text.number(found["p_complete"] - found["p_now"], signed=True)
        kept = {None: "", True: "; the call stays", False: "; the call changes"}
        same = None if found["called_now"] is None else found["called_now"] == found["called_complete"]
        said.append(
            f"What {missing} did bring: p({class_name}) = {text.number(found['p_complete'])}, a change of {change}, "
            f"where {text.number(found['expected_change'])} in size was expected{kept[same]}."
        )
    return " ".join(said)
