"""Records of objectives for classifiers with a structure: constellations and taxonomies."""

from longtail.registry import Record, register

__all__: list[str] = []

register(
    Record(
        "constellation", "objectives", "rows as they come teach the shape shared by all classes",
        "longtail.objectives.constellation:Constellation", family="classifier",
        reference="Liu et al., ICCV 2021", needs=("head constellation",),
    ),
    Record(
        "taxonomic", "objectives", "decisions along a taxonomy, and trees cut from it at random",
        "longtail.objectives.taxonomic:Taxonomic", family="classifier",
        reference="Wu et al., ECCV 2020", needs=("head taxonomic",),
    ),
)  # fmt: skip
