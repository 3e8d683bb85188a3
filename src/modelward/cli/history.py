"""``modelward history``: how available a model was, how fast it answered, and what happened to it."""

from typing import Annotated

import typer

from modelward.cli.options import ConfigFile, Json, Model, given
from modelward.domain.name import ModelName

NAME = "history"


def command(
    model: Model,
    *,
    since: Annotated[
        str, typer.Option("--since", metavar="DURATION", help="How far to look back; up to 7d is shown by the hour.")
    ] = "30d",
    csv: Annotated[bool, typer.Option("--csv", help="Print the points as CSV: one line an hour or a day.")] = False,
    config: ConfigFile = "",
    json: Json = False,
) -> int:
    """Show a model's availability, response times, findings, actions and drills, as the guard has kept them.

    Availability counts the time that is known: while no guard was looking, nothing is. The chart shows the worst of
    each column.
    """
    from modelward.bootstrap import SystemClock, journal_beside, resolve
    from modelward.cli.text_history import show_history
    from modelward.domain.units import parse_duration
    from modelward.services.model_history import known_history

    settings, now = resolve(given({"config": config})).settings, SystemClock().now()
    name, begin = ModelName.parse(model), now - parse_duration(since)
    with journal_beside(settings, write=False) as journal:
        show_history(known_history(journal, name, now, begin), csv=csv, json=json)
    return 0
