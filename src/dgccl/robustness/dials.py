"""The dials of a stress test: what is changed, by how much, in which unit, and to which images it applies."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from dgccl.errors import ConfigError
from dgccl.lesion import LesionArrays
from dgccl.robustness import images

Change = Callable[[LesionArrays, float, float, np.random.Generator], LesionArrays]
"""Takes the arrays, the amount, the edge of the box in mm, and a generator."""


@dataclass(frozen=True)
class Dial:
    """One way in which images can be worse.

    Attributes:
        name: short, unique; names the random stream of the dial.
        title: for people.
        unit: of the amounts; empty for one without a unit.
        amounts: from small to large; 0 is among them.
        needs: quantities of the modalities of which the run must show one at least for the dial to do anything.
        change: makes the images worse.
        moves_mm: whether the amount is a distance by which an image is moved within its stored box.
        meaning: what the amount is, in one sentence.
    """

    name: str
    title: str
    unit: str
    amounts: tuple[float, ...]
    needs: tuple[str, ...]
    change: Change
    meaning: str
    moves_mm: bool = False


CT = ("hu",)
PET = ("suv", "suv_bw", "sul", "suv_bsa")
ANY_IMAGE = (*CT, *PET, "intensity")

DIALS: tuple[Dial, ...] = (
    Dial(
        "misregistration",
        "PET off CT",
        "mm",
        (0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0, 12.0, 15.0),
        PET,
        images.move_pet,
        "Distance by which PET is moved against CT, in a random direction for each lesion.",
        moves_mm=True,
    ),
    Dial(
        "suv_error",
        "SUV error",
        "%",
        (-30.0, -20.0, -10.0, -5.0, 0.0, 5.0, 10.0, 20.0, 30.0),
        PET,
        images.scale_suv,
        "Error of every SUV: of the dose or the weight by as much, or of the clocks.",
    ),
    Dial(
        "ct_noise",
        "CT noise",
        "HU",
        (0.0, 10.0, 20.0, 30.0, 50.0, 75.0, 100.0),
        CT,
        images.add_ct_noise,
        "Standard deviation of the noise that is added to CT.",
    ),
    Dial(
        "ct_smoothing",
        "Softer CT kernel",
        "mm",
        (0.0, 1.0, 2.0, 3.0, 4.0),
        CT,
        images.smooth_ct,
        "Full width at half maximum of a blur within the CT slices.",
    ),
    Dial(
        "ct_sharpening",
        "Sharper CT kernel",
        "",
        (0.0, 0.5, 1.0, 1.5, 2.0),
        CT,
        images.sharpen_ct,
        "How many times what a 2 mm blur takes away is added to CT.",
    ),
    Dial(
        "slice_thickness",
        "CT slice thickness",
        "mm",
        (0.0, 2.0, 3.0, 4.0, 5.0, 8.0),
        CT,
        images.thicken_slices,
        "Thickness and distance of CT slices made from the stored ones; 0 leaves them as they are.",
    ),
    Dial(
        "pet_blur",
        "PET resolution",
        "mm",
        (0.0, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0),
        PET,
        images.blur_pet,
        "Full width at half maximum of a blur of PET, on top of the scanner's own.",
    ),
    Dial(
        "pet_counts",
        "PET counts lost",
        "%",
        (0.0, 25.0, 50.0, 75.0, 90.0, 95.0),
        PET,
        images.lose_counts,
        "Share of the counts that is lost, at the same resolution.",
    ),
    Dial(
        "outline_jitter",
        "Outline off center",
        "mm",
        (0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0),
        ANY_IMAGE,
        images.move_box,
        "Distance by which the outline's center is off, in a random direction for each lesion.",
        moves_mm=True,
    ),
    Dial(
        "other_scanner",
        "Another scanner",
        "",
        (0.0, 0.25, 0.5, 0.75, 1.0),
        (*CT, *PET),
        images.other_scanner,
        "Share of the way to a scanner with a softer kernel (1.5 mm), slices of 3 mm, 25 HU of noise, PET blurred by 5 "
        "mm more and calibrated 10% lower.",
    ),
)
MISSING = "missing_"
"""Names of the dials that withhold a modality begin with this; they are one a modality."""


def choose_dials(names: tuple[str, ...], *, modalities: tuple[str, ...]) -> tuple[list[Dial], list[str]]:
    """The image dials and the withheld modalities that were asked for; all of them for no name.

    Args:
        names: of dials; `missing_NAME` withholds the modality NAME.
        modalities: of the run.

    Raises:
        ConfigError: `unknown_dial`.
    """
    known = [dial.name for dial in DIALS] + [f"{MISSING}{name}" for name in modalities]
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError(
            "unknown_dial",
            f"There is no dial {', '.join(unknown)}; there are {', '.join(known)}.",
        )
    chosen = names or tuple(known)
    return (
        [dial for dial in DIALS if dial.name in chosen],
        [name for name in modalities if f"{MISSING}{name}" in chosen],
    )
