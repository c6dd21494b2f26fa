"""Records of the samplers that walk through passes, beside the first ones."""

from longtail.registry import Record, register

__all__: list[str] = []


def _sampler(name: str, summary: str, target: str, formula: str, prior: str, **more: str) -> None:
    register(
        Record(
            name,
            "sampler",
            summary,
            f"longtail.samplers.{target}",
            family="resampling",
            reference=more.get("reference", ""),
            aliases=tuple(more.get("aliases", "").split()),
            details={"formula": formula, "effective prior": prior},
        )
    )


_sampler(
    "to_counts",
    "as many rows of each class as a range or a dictionary says",
    "counts:ToCounts",
    "passes of m_c = clip(n_c, low, high) rows of class c: fewer without replacement, more with",
    "m_c / sum m",
)
_sampler(
    "repeat_factor",
    "rows of rare classes several times a pass",
    "repeat:RepeatFactor",
    "r_c = max(1, sqrt(t / f_c)) times a pass; the fraction as a chance, dealt out by class",
    "n_c r_c / sum n r",
    reference="after Gupta et al., CVPR 2019",
    aliases="rfs",
)
_sampler(
    "replay",
    "the rows as a stream, each with one from a memory with equal classes",
    "replay:Replay",
    "an item of class y enters with min(1, m_y / n_y), m_y = m p_y, p ~ n^rho; a class to leave "
    "by softmax(l_i - p_i sum l)",
    "half natural, half that of the memory",
    reference="after Kim et al., ECCV 2020",
    aliases="prs reservoir",
)
