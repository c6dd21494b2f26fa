"""Record of the handover that plants a taxonomy."""

from longtail.registry import Record, register

__all__: list[str] = []

register(
    Record(
        "plant_taxonomy",
        "handovers",
        "give the head a taxonomy, read or clustered from class means",
        "longtail.engine.handover_taxonomy:PlantTaxonomy",
        reference="Wu et al., ECCV 2020",
        case={"branching": 2},
    )
)
