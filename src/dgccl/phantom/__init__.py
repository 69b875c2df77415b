"""The digital PET/CT lesion phantom: its law, its ideal observer, its images, its DICOM."""
