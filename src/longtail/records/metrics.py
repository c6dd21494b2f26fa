"""Records of kind `metrics`."""

from longtail.registry import Record, register

__all__: list[str] = []

register(
    Record(
        "accuracy",
        "metrics",
        "share of right test rows",
        "longtail.metrics.single:Accuracy",
        family="recall",
        aliases=("top1",),
        details={"formula": "mean over rows of 1(prediction = label)"},
    ),
    Record(
        "balanced_accuracy",
        "metrics",
        "mean recall over the classes that have test rows",
        "longtail.metrics.single:BalancedAccuracy",
        family="recall",
        aliases=("macro_recall", "mean_class_accuracy"),
        details={"formula": "mean_c right_c / m_c"},
    ),
    Record(
        "many",
        "metrics",
        "mean recall of classes with many (over 100) training samples",
        "longtail.metrics.single:Many",
        family="recall",
        details={"formula": "mean of recall over the group"},
    ),
    Record(
        "medium",
        "metrics",
        "mean recall of classes with 20 to 100 training samples",
        "longtail.metrics.single:Medium",
        family="recall",
        details={"formula": "mean of recall over the group"},
    ),
    Record(
        "few",
        "metrics",
        "mean recall of classes with few (under 20) training samples",
        "longtail.metrics.single:Few",
        family="recall",
        details={"formula": "mean of recall over the group"},
    ),
    Record(
        "worst_recall",
        "metrics",
        "lowest recall of any class with test rows",
        "longtail.metrics.single:WorstRecall",
        family="recall",
        details={"formula": "min_c right_c / m_c"},
    ),
    Record(
        "ece",
        "metrics",
        "expected calibration error of the top label",
        "longtail.metrics.single:ECE",
        family="calibration",
        reference="Guo et al., ICML 2017",
        aliases=("calibration_error",),
        details={"formula": "sum_b (n_b / N) |acc_b - conf_b|, 15 right-closed bins"},
    ),
    Record(
        "nll",
        "metrics",
        "mean negative log-likelihood",
        "longtail.metrics.single:NLL",
        family="calibration",
        details={"formula": "-mean log p(label)"},
    ),
    Record(
        "brier",
        "metrics",
        "squared error of the probabilities, summed over classes",
        "longtail.metrics.single:Brier",
        family="calibration",
        reference="Brier, Monthly Weather Review 1950",
        details={"formula": "mean sum_c (p_c - 1(c = label))^2"},
    ),
)
