"""``modelward alerts``: what is open, what is silenced, and whether the channels work."""

from enum import StrEnum
from typing import Annotated

import typer

from modelward.cli.options import ConfigFile, Json, given

NAME = "alerts"


class Action(StrEnum):
    """What to do."""

    LIST = "list"
    SILENCE = "silence"
    UNSILENCE = "unsilence"
    TEST = "test"


def command(
    action: Annotated[
        Action, typer.Argument(metavar="[list|silence|unsilence|test]", help="What to do.")
    ] = Action.LIST,
    what: Annotated[
        str,
        typer.Argument(
            metavar="[SUBJECT|ID]", help="silence: a model or other subject, * and ? stand for any; unsilence: its id."
        ),
    ] = "",
    *,
    kind: Annotated[
        str, typer.Option("--kind", metavar="KIND", help="Silence one kind only, for example 'backup overdue'.")
    ] = "",
    duration: Annotated[str, typer.Option("--for", metavar="DURATION", help="How long to be silent.")] = "4h",
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="Why, for those who list it.")] = "",
    config: ConfigFile = "",
    json: Json = False,
) -> int:
    """List open alerts, silence some for a time, end a silence, or send a test through every channel.

    A silenced alert stays open and is listed; it is told when the silence ends and it is still there. `test` says what
    each channel answered, and pings the monitor of `deadman_url` as well.
    """
    from modelward.bootstrap import SystemClock, alert_channels, deadman, journal_beside, resolve
    from modelward.cli.text_alerts import show_alerts
    from modelward.domain.units import parse_duration
    from modelward.services import alerts

    settings, clock = resolve(given({"config": config})).settings, SystemClock()
    if action is Action.TEST:
        report = alerts.test(alert_channels(settings, clock), deadman(settings), clock)
        show_alerts(report, json=json)
        return report.exit_code
    with journal_beside(settings, write=action is not Action.LIST) as journal:
        if journal is None or action is Action.LIST:
            show_alerts(alerts.list_alerts(journal, clock), json=json)
        elif action is Action.SILENCE:
            order = (kind, what, parse_duration(duration), why)
            show_alerts(alerts.silence(journal, clock, *order), json=json)
        else:
            show_alerts(alerts.unsilence(journal, clock, what), json=json)
    return 0
