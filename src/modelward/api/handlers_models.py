"""Models, their findings and their chunks, and the whole picture: what the guard last saw."""

from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec

from modelward.api.at_work import place_of
from modelward.api.paging import Paged, Text, page
from modelward.api.problem import NotFound
from modelward.api.route import Ask, Nothing
from modelward.domain.answer import ChunkMap, FoundIn, Page
from modelward.domain.errors import UnknownModel
from modelward.domain.finding import StoreFinding
from modelward.domain.name import ModelName
from modelward.domain.standing import ModelStanding, Standing, TaskStanding
from modelward.domain.words import describe, way_out


class ModelsQuery(Paged, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Filters: ``healthy`` by the first axis, ``q`` by a part of the name."""

    healthy: Literal["yes", "no", "unknown"] | None = None
    protected: bool | None = None
    q: Text = ""

    def takes(self, model: ModelStanding) -> bool:
        """Whether the model is one of those."""
        axis = {True: "yes", False: "no", None: "unknown"}[model.healthy]
        return (
            (self.healthy is None or axis == self.healthy)
            and (self.protected is None or model.protected is self.protected)
            and (self.q.casefold() in model.name.casefold())
        )


class FindingsQuery(Paged, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Filters: ``model`` by name, ``kind`` by the word in the finding, ``damage`` without what is none."""

    model: ModelName | None = None
    kind: Annotated[str, msgspec.Meta(max_length=40)] = ""
    damage: bool | None = None

    def takes(self, found: FoundIn) -> bool:
        """Whether the finding is one of those."""
        return (
            (self.model is None or found.model == self.model)
            and (not self.kind or type(found.finding).__name__ == self.kind)
            and (self.damage is None or found.damage is self.damage)
        )


def standing(ask: Ask[Nothing, None]) -> Standing:
    """Everything at once: models, server, brake, tasks, alerts and space, as they were last seen."""
    return _seen(ask)


def models(ask: Ask[ModelsQuery, None]) -> Page[ModelStanding]:
    """Every model with its health on both axes."""
    found = [model for model in _seen(ask).models if ask.query.takes(model)]
    return page(found, lambda model: model.name, ask.query)


def model(ask: Ask[Nothing, None]) -> ModelStanding:
    """One model."""
    name = ModelName.parse(ask.path["name"])
    for known in _seen(ask).models:
        if known.name == name:
            return known
    raise UnknownModel("the guard knows no such model", thing=name.short, next_step="list them: GET /api/v1/models")


def findings(ask: Ask[FindingsQuery, None]) -> Page[FoundIn]:
    """What is wrong, where, what it means and what to do; damage of the store itself first."""
    found = [each for each in findings_of(_seen(ask)) if ask.query.takes(each)]
    numbered = list(enumerate(found))
    part = page(numbered, lambda pair: f"{pair[0]} {pair[1].model} {pair[1].text}", ask.query)
    return Page(items=tuple(each for _, each in part.items), next=part.next)


def findings_of(seen: Standing) -> Iterator[FoundIn]:
    """All findings of a picture, in words."""
    for doubt in seen.findings:
        yield FoundIn(model=None, text=describe(doubt), next=way_out(doubt), damage=doubt.damage, finding=doubt)
    for known in seen.models:
        for finding in known.findings:
            way = way_out(finding) if isinstance(finding, StoreFinding) else known.next
            yield FoundIn(model=known.name, text=describe(finding), next=way, damage=finding.damage, finding=finding)


def chunks(ask: Ask[Nothing, None]) -> ChunkMap:
    """A model's chunks as runs of equal state, with the time of their last proof; nothing is read for it."""
    from modelward.services.chunk_map import chunk_map

    name = ModelName.parse(ask.path["name"])
    with place_of(ask) as place:
        return chunk_map(place.site, name)


def schedules(ask: Ask[Nothing, None]) -> tuple[TaskStanding, ...]:
    """The recurring tasks: when each last ended, how, and when it is due."""
    return _seen(ask).tasks


def _seen(ask: Ask[Nothing, None] | Ask[ModelsQuery, None] | Ask[FindingsQuery, None]) -> Standing:
    found = ask.deps.board.standing
    if found is None:
        raise NotFound("the guard has not looked yet", next_step="ask again in a second")
    return found
