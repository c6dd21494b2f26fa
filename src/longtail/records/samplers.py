"""Records of kind `samplers`."""

import longtail.records.samplers_deferred
import longtail.records.samplers_paired
import longtail.records.samplers_passes  # noqa: F401
from longtail.registry import Record, register

__all__: list[str] = []

_DECOUPLING = "Kang et al., ICLR 2020"


def _sampler(name: str, summary: str, target: str, formula: str, prior: str, **more: str) -> Record:
    aliases = tuple(filter(None, more.pop("aliases", "").split()))
    return Record(
        name,
        "sampler",
        summary,
        f"longtail.samplers.{target}",
        family="resampling",
        reference=more.get("reference", ""),
        aliases=aliases,
        details={"formula": formula, "effective prior": prior},
    )


register(
    _sampler(
        "instance",
        "every row once an epoch",
        "passes:Instance",
        "a permutation of the rows",
        "natural",
        aliases="instance_balanced",
    ),
    _sampler(
        "ros",
        "random over-sampling: every class as often as the largest",
        "counts:RandomOver",
        "passes of C n_max rows: all rows once, and extra draws with replacement",
        "uniform",
        aliases="random_over",
    ),
    _sampler(
        "rus",
        "random under-sampling: every class as often as the smallest",
        "counts:RandomUnder",
        "passes of C n_min rows without replacement, drawn afresh each pass",
        "uniform",
        aliases="random_under",
    ),
    _sampler(
        "power",
        "classes in proportion to a power of their count",
        "independent:Power",
        "P_c ~ n_c^q",
        "prior^q",
        reference=_DECOUPLING,
        aliases="sample_q",
    ),
    _sampler(
        "class_balanced",
        "every class equally often",
        "independent:ClassBalanced",
        "P_c = 1 / C",
        "uniform",
        reference=_DECOUPLING,
    ),
    _sampler(
        "square_root",
        "classes in proportion to the square root of their count",
        "independent:SquareRoot",
        "P_c ~ n_c^(1/2)",
        "prior^(1/2)",
        reference=_DECOUPLING,
    ),
    _sampler(
        "progressive",
        "from instance-balanced to class-balanced over the stage",
        "independent:Progressive",
        "P(t) = (1 - t) prior + t / C, t = e / (T - 1)",
        "uniform at the end",
        reference=_DECOUPLING,
        aliases="progressive_sampler",
    ),
    _sampler(
        "class_aware",
        "a cycle of classes, k rows of each in turn, without replacement",
        "passes:ClassAware",
        "class j of a shuffled cycle, then the next k rows of its own shuffled cycle",
        "uniform",
        reference="after Shen et al., ECCV 2016",
        aliases="class_aware_sampler",
    ),
    _sampler(
        "effective_number",
        "classes in proportion to count over effective number",
        "independent:EffectiveNumberSampler",
        "P_c ~ n_c (1 - beta) / (1 - beta^n_c)",
        "P_c",
        reference="after Cui et al., CVPR 2019",
        aliases="effective_number_sampler",
    ),
    _sampler(
        "reversed",
        "the rarer a class, the more often it is drawn",
        "independent:Reversed",
        "P_c ~ n_max / n_c",
        "1 / prior",
        reference="Zhou et al., CVPR 2020",
        aliases="bbn_reversed",
    ),
)
