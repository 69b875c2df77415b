"""DG-CCL: benign or malignant from CT + FDG PET, from DICOM to an answer with its evidence."""

__version__ = "0.1.0"
