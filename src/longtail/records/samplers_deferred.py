"""Record of the deferred sampler."""

from longtail.registry import Record, part, register

__all__: list[str] = []

register(
    Record(
        "deferred",
        "sampler",
        "every row once an epoch at first, another sampler from a fraction of the stage on",
        "longtail.samplers.deferred:Deferred",
        family="resampling",
        reference="Cao et al., NeurIPS 2019",
        case={"inner": part("class_balanced")},
        aliases=("drs",),
        details={
            "formula": "draws of inner once epoch >= int(after * epochs), before it a permutation",
            "effective prior": "that of inner",
        },
    )
)
