"""The last job of glasses: what those of one potential have in common."""

from __future__ import annotations

from ...analysis.glasses.groups import GlassGroup, MadeGlass, grouped, trends
from ...analysis.glasses.settings import GlassSettings
from ...store.identifiers import identifier
from ..base import IonloopTask, JobFailed, Outcome, TaskParameters
from ..context import TaskContext
from ..results import Potential, known_result, new_result
from ..values.glasses import GLASS, GLASSES, GlassesValues


class GlassesParameters(TaskParameters):
    """All glasses of one potential, in their order."""

    potential: Potential
    settings: GlassSettings
    glasses: list[str]


class GlassesTask(IonloopTask):
    """Record spread and trends of the glasses that there are."""

    _fw_name = "ionloop.glasses"
    parameters_type = GlassesParameters

    def execute(self, parameters: GlassesParameters, context: TaskContext) -> Outcome:
        """Summarise; glasses whose jobs failed are counted."""
        store = context.store
        records = [record for name in parameters.glasses if (record := known_result(store, name)) is not None]
        if not records:
            raise JobFailed("no glass came to an end")
        settings = parameters.settings
        name = identifier(
            "result", GLASSES.name, [record.id for record in records], parameters.glasses, parameters.potential.identity
        )
        known = known_result(store, name)
        if known is None:
            made = [MadeGlass(**dict(GLASS.read(record))) for record in records]
            known = new_result(
                parameters,
                name,
                GLASSES,
                parameters.potential,
                inputs=[record.id for record in records],
                values=GlassesValues(
                    temperature_K=settings.temperature_K,
                    groups=(*grouped(made, settings.glasses), *_empty_groups(settings, made)),
                    trends=tuple(trends(made)),
                    reasons={glass.name: glass.broken for glass in made if glass.broken},
                ),
            )
            store.results.replace(known)
        return Outcome(reason=GLASSES.read(known).told, outputs={"result": known.id})


def _empty_groups(settings: GlassSettings, made: list[MadeGlass]) -> list[GlassGroup]:
    """Return the sizes and rates of which no job came to an end."""
    there = {(glass.size, glass.quench_K_per_ps) for glass in made}
    wanted = dict.fromkeys((one.size_text, one.quench_K_per_ps) for one in settings.planned)
    return [
        GlassGroup(
            size=size, atoms=0, quench_K_per_ps=rate, planned=settings.glasses, broken=0, missing=settings.glasses
        )
        for size, rate in wanted
        if (size, rate) not in there
    ]
