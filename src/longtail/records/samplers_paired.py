"""Records of samplers of two streams and of a curriculum."""

from longtail.registry import Record, register

__all__: list[str] = []

register(
    Record(
        "bilateral",
        "sampler",
        "half of every batch from a uniform stream, half from a reversed one",
        "longtail.samplers.paired:Bilateral",
        family="resampling",
        reference="after Zhou et al., CVPR 2020",
        details={
            "formula": "P_c = (1 / C + R_c) / 2 with R_c ~ 1 / n_c; or (prior_c + R_c) / 2",
            "effective prior": "P_c",
        },
    ),
    Record(
        "curriculum",
        "sampler",
        "from instance- to class-balanced by a falling power of the count",
        "longtail.samplers.paired:Curriculum",
        family="resampling",
        reference="after Wang et al., ICCV 2019",
        details={
            "formula": "P_c ~ n_c^g(t), g from 1 to 0, t = e / (T - 1)",
            "effective prior": "uniform at the end",
        },
    ),
)
