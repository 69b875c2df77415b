"""Rigid registration of PET to CT by mutual information, which refuses to move what it is not sure of.

PET is moved by its affine alone: nothing is interpolated until a lesion's box is cut, once.
"""

from dgccl.registration.decide import Reason, Registration, register_pet
from dgccl.registration.move import moved_study, moved_volume
from dgccl.registration.register import RegistrationNote, register_study, registration_note

__all__ = [
    "Reason",
    "Registration",
    "RegistrationNote",
    "moved_study",
    "moved_volume",
    "register_pet",
    "register_study",
    "registration_note",
]
