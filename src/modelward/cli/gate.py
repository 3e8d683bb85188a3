"""``modelward gate``: before a server starts: are its models there and whole, and if not, can they be."""

from typing import TYPE_CHECKING, Annotated

import typer

from modelward.cli.options import (
    Accept,
    Buffered,
    ConfigFile,
    Json,
    Models,
    Rate,
    StorePath,
    VaultPath,
    given,
    names,
    workplace,
)
from modelward.domain.errors import StoreNotFound
from modelward.domain.reading import Level
from modelward.domain.units import parse_duration

if TYPE_CHECKING:
    from modelward.domain.gate import GateReport

NAME = "gate"


def command(
    models: Models = None,
    *,
    deadline: Annotated[str, typer.Option("--deadline", metavar="T", help="The time for all of it.")] = "10m",
    level: Annotated[
        Level,
        typer.Option(help="quick: what no receipt vouches for is read; sample: the next share; full: every byte."),
    ] = Level.QUICK,
    limit_rate: Rate = "",
    buffered: Buffered = False,
    store: StorePath = "",
    vault: VaultPath = "",
    config: ConfigFile = "",
    accept_store: Accept = False,
    json: Json = False,
) -> int:
    """For init containers and start scripts: look at every protected model, heal what is damaged, and end in time.

    What the vault or this host cannot give is downloaded again. A store that is not the recorded one is not touched.
    Each model gets one word, and the worst of them decides the exit code: 0 may be served, 1 damage is left, 2 not the
    recorded store, 3 no source has it, 4 the registry is needed and cannot be reached, 5 the disk takes no repair.
    """
    from modelward.cli.text_gate import show_gate

    flags: dict[str, str | bool] = {
        "store": store,
        "vault": vault,
        "config": config,
        "limit_rate": limit_rate,
        "buffered": buffered,
    }
    report = _pass(flags, models, parse_duration(deadline).total_seconds(), level, accepted=accept_store, json=json)
    show_gate(report, json=json)
    return report.exit_code


def _pass(
    flags: dict[str, str | bool], models: list[str] | None, seconds: float, level: Level, *, accepted: bool, json: bool
) -> "GateReport":
    """The gate's report; where no store is named and none is found, nothing is there to be damaged."""
    from modelward.bootstrap import resolve
    from modelward.domain.gate import GateReport, Passage
    from modelward.services.gate import gate

    try:
        with workplace(flags, json=json, create_store=True) as place:
            return gate(place.site, names(models), seconds=seconds, level=level, accepted=accepted)
    except StoreNotFound:
        settings = resolve(given(flags)).settings
        if models or settings.models or settings.store:
            raise
    return GateReport(store="", outcome=Passage.FRESH, notes=("this machine has no store yet",))
