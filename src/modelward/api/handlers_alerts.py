"""Alerts and silences: what is open, and what nobody wants to be told for a while."""

from typing import Annotated

import msgspec

from modelward.api.route import Ask, Nothing, Reply
from modelward.domain.alert import Silence
from modelward.domain.alert_report import AlertsReport, AlertTest
from modelward.domain.errors import BadSetting
from modelward.domain.units import parse_duration

_Text = Annotated[str, msgspec.Meta(max_length=400)]


class NewSilence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``kind`` is a kind of alert (empty: any), ``subject`` a glob of models or folders, ``lasts`` such as 4h."""

    lasts: Annotated[str, msgspec.Meta(pattern=r"^[1-9][0-9]{0,3}[smhd]$", description="such as 90s, 4h or 2d")]
    kind: _Text = ""
    subject: _Text = "*"
    why: _Text = ""


def alerts(ask: Ask[Nothing, None]) -> AlertsReport:
    """What is open, the most urgent first, with what is silenced and what is still to be delivered."""
    from modelward.services.alerts import list_alerts

    return list_alerts(ask.deps.journal, ask.deps.clock)


def test_alerts(ask: Ask[Nothing, None]) -> AlertTest:
    """Send a test notice through every channel of the settings."""
    return ask.deps.test_alerts()


def silences(ask: Ask[Nothing, None]) -> tuple[Silence, ...]:
    """The silences that hold now."""
    from modelward.services.alerts import silences as known

    return known(ask.deps.journal, ask.deps.now())


def add_silence(ask: Ask[Nothing, NewSilence]) -> Reply:
    """Tell nothing of this kind on these subjects for so long."""
    from modelward.services.alerts import silence

    wished = ask.body
    if not wished.why.isprintable() or not wished.subject.isprintable():
        raise BadSetting("holds what is not printable", thing="why or subject", next_step="write one line of text")
    lasts = parse_duration(wished.lasts)
    report = silence(ask.deps.journal, ask.deps.clock, wished.kind, wished.subject, lasts, wished.why)
    ask.deps.board.stir()
    return Reply(value=report.silence, status=201, headers={"location": f"/api/v1/silences/{report.silence.id}"})


def remove_silence(ask: Ask[Nothing, None]) -> Silence:
    """End a silence."""
    from modelward.services.alerts import unsilence

    report = unsilence(ask.deps.journal, ask.deps.clock, ask.path["id"])
    ask.deps.board.stir()
    return report.silence
