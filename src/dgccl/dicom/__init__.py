"""Reading and writing DICOM: the only place that imports pydicom and highdicom."""
