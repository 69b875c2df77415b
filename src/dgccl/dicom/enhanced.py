"""Frames of enhanced multi-frame objects, each seen as if it were a classic single-frame image."""

from dataclasses import replace

from dgccl.dicom.elements import Elements
from dgccl.errors import DicomError

SHARED_GROUPS, PER_FRAME_GROUPS = 0x52009229, 0x52009230
_NUMBER_OF_FRAMES = 0x00280008
# Plane Position, Plane Orientation, Pixel Measures, Pixel Value Transformation, Frame Content, Segment.
_MACROS = (0x00209113, 0x00209116, 0x00289110, 0x00289145, 0x00209111, 0x0062000A)


def frame_elements(elements: Elements) -> list[Elements]:
    """The elements of each frame, in the order of the frames.

    The elements of the macros that place and scale a frame are laid over those of the file, shared macros
    first, so that position, orientation, spacing and rescale stand where a classic image has them.

    Args:
        elements: an enhanced CT or PET file, or a segmentation.

    Raises:
        DicomError: `missing_functional_groups`, the groups do not match the number of frames.

    Source:
        DICOM PS3.3 sections C.7.6.16.1 (module) and C.7.6.16.2 (macros).
    """
    frames = list(elements.items(PER_FRAME_GROUPS))
    if not frames or elements.text(_NUMBER_OF_FRAMES) != str(len(frames)):
        raise DicomError(
            "missing_functional_groups",
            f"The file describes {len(frames)} of its {elements.text(_NUMBER_OF_FRAMES) or '?'} frames.",
            remedy="Export the enhanced object again, or as single-frame images.",
        )
    common = dict(elements.index)
    for shared in elements.items(SHARED_GROUPS):
        common.update(_macro_index(shared))
    return [replace(elements, index=common | _macro_index(frame)) for frame in frames]


def _macro_index(group: Elements) -> dict:
    return {
        tag: place for macro in _MACROS for item in group.items(macro) for tag, place in item.index.items()
    }
