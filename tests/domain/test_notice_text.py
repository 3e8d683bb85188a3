"""Notices in words: short titles, bounded lines, nothing that a terminal or a phone could choke on."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from modelward.domain import notice_text
from modelward.domain.alert import Alert, Kind, State, What

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
ALERT = Alert(
    kind=Kind.DISK,
    subject="/models",
    since=NOW - timedelta(minutes=3),
    state=State.FIRING,
    detail="4 % free",
    next="make room",
    due=NOW,
)


def named(*subjects: str) -> list[Alert]:
    """One alert for each subject."""
    return [replace(ALERT, subject=subject) for subject in subjects]


def test_a_title_names_three_subjects_and_counts_the_rest() -> None:
    """After the kind, and after a word for what is told."""
    assert notice_text.title(What.FIRING, named("a", "b", "c")) == "disk filling: a, b, c"
    assert notice_text.title(What.REMINDER, named("a", "b", "c", "d")) == "still disk filling: a, b, c and 1 more"
    assert notice_text.title(What.RESOLVED, named("a")) == "over: disk filling: a"
    assert notice_text.title(What.HEALED, named("")) == "healed: disk filling"


def test_lines_say_what_how_long_and_what_to_do() -> None:
    """Equal next steps once; what is over asks for nothing."""
    over = replace(ALERT, state=State.RESOLVED, ended_at=NOW - timedelta(minutes=1))
    assert notice_text.lines(named("a", "b"), NOW) == (
        "a: 4 % free (for 3 min 0 s)",
        "b: 4 % free (for 3 min 0 s)",
        "next: make room",
    )
    assert notice_text.lines([over], NOW) == ("/models: 4 % free (over after 2 min 0 s)",)


def test_mixed_lines_name_the_kind() -> None:
    """Where one message is about several kinds, each line says which."""
    other = replace(ALERT, kind=Kind.BACKUP, subject="llama3", detail="two days old", state=State.EVENT)
    assert notice_text.lines([ALERT, other], NOW)[:2] == (
        "disk filling: /models: 4 % free (for 3 min 0 s)",
        "backup overdue: llama3: two days old",
    )


def test_many_alerts_are_a_number() -> None:
    """Twenty lines, then how many more there are."""
    lines = notice_text.lines(named(*(f"m{number}" for number in range(25))), NOW)
    assert lines[-2:] == ("and 5 more", "next: make room")
    assert len(lines) == 22


@given(subject=st.text(), detail=st.text(), step=st.text())
def test_any_text_becomes_short_printable_lines(subject: str, detail: str, step: str) -> None:
    """Control characters are shown escaped, long texts are cut."""
    alert = replace(ALERT, subject=subject, detail=detail * 40, next=step * 40)
    for line in (notice_text.title(What.FIRING, [alert] * 5), *notice_text.lines([alert], NOW)):
        assert line.isprintable()
        assert len(line) < 450
