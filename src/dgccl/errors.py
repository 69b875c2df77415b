"""The one exception tree of DG-CCL.

Every error carries a reason code (lower_snake_case, stable, fit for a table), a message that says what
was found and what was expected, and a remedy. Messages never carry a patient's identity.
"""


class DgcclError(Exception):
    """An error that a user can act on.

    Args:
        code: stable reason code, e.g. ``"missing_slices"``; it appears in QC tables and ``--json`` output.
        message: what was found, what was expected, where.
        remedy: what the user can do about it.
    """

    def __init__(self, code: str, message: str, *, remedy: str = "") -> None:
        self.code = code
        self.message = message
        self.remedy = remedy
        super().__init__(code, message, remedy)

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()

    def __reduce__(self) -> tuple:  # worker processes send errors back by pickling them
        return (_rebuild, (type(self), self.code, self.message, self.remedy))


def _rebuild(cls: type[DgcclError], code: str, message: str, remedy: str) -> DgcclError:
    return cls(code, message, remedy=remedy)


class ConfigError(DgcclError):
    """A setting is unknown, of the wrong type, or contradicts another."""


class GeometryError(DgcclError):
    """Positions, orientations or spacings do not form the volume that was expected."""


class DicomError(DgcclError):
    """A DICOM file or series cannot be read or is not what it should be."""


class SuvError(DgcclError):
    """A PET series cannot be converted to SUV with what its headers say."""


class RoiError(DgcclError):
    """A lesion outline cannot be read or does not fit its image."""


class CohortError(DgcclError):
    """A cohort, its labels or its tables are inconsistent."""


class TrainingError(DgcclError):
    """Training or prediction cannot go on."""


class ReportError(DgcclError):
    """A report cannot be drawn or printed."""


class StatsError(DgcclError):
    """A statistic is not defined on the numbers that were given."""
