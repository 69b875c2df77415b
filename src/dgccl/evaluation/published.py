"""Published figures of the method: constants for the eye, never mixed with what is measured."""

from dgccl.evaluation.results import Published

PUBLISHED_NOTE = (
    "Published figures of the method come from another data set (500 test cases of the authors' own cohort, not "
    "available here); they were not measured by this software and cannot be compared with its figures case by case."
)

NOT_COMPARABLE = (
    "The published figures of the method are of two classes, benign and malignant; this run has {classes}, so that "
    "none of them stands beside its figures."
)

PUBLISHED = {
    "auroc": Published(0.916, "AUC of DG-CCL", 0.902, 0.930),
    "auroc_late_fusion": Published(0.885, "AUC of late fusion", 0.867, 0.903),
    "auroc_sd_over_runs": Published("at most 0.011", "s.d. of the AUC over 5 runs"),
    "single_modality_auroc": Published("at least 0.89", "AUC with one modality only"),
    "n_test": Published(500, "Test cases"),
    "cosine_before": Published(0.52, "CT-PET cosine similarity before training"),
    "cosine_after": Published(0.78, "CT-PET cosine similarity after training"),
    "gate_pet_malignant": Published(0.67, "Median PET gate weight in malignant lesions"),
    "gate_ct_benign": Published(0.58, "Median CT gate weight in benign lesions"),
    "class_distance_before": Published(0.42, "Between-class cosine distance before fusion"),
    "class_distance_after": Published(0.79, "Between-class cosine distance after fusion"),
    "fusion_flops": Published("3.2 T to 2.0 T (-37 %)", "Floating-point operations of the fusion"),
}


def published_figures(classes: int) -> tuple[dict[str, Published], str]:
    """The published figures that may stand beside a run's, and what must be said of them.

    Args:
        classes: classes of the run; with more than two there is nothing to put beside it.
    """
    if classes > 2:
        return {}, NOT_COMPARABLE.format(classes=classes)
    return PUBLISHED, PUBLISHED_NOTE
