"""Entries of the audit log as values: keys as text, filters, and moments as people write them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelward.domain.audit import AuditEntry, AuditFilter, AuditVerdict, moment
from modelward.domain.digest import Digest
from modelward.domain.errors import BadSetting
from modelward.domain.name import ModelName

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)
LLAMA = ModelName.parse("llama3")


def entry(action: str = "repair", at: datetime = NOW, **keys: object) -> AuditEntry:
    """An entry."""
    return AuditEntry.of(1, at, action, keys)


def test_keys_are_text() -> None:
    """A name and a digest as themselves, anything else as JSON."""
    blob = Digest("0" * 64)
    found = entry(model=LLAMA, blob=blob, bytes=5, blobs=(blob,), error="")
    assert found.keys == {
        "model": str(LLAMA),
        "blob": f'"{blob}"' if not isinstance(blob, str) else str(blob),
        "bytes": "5",
        "blobs": f'["{blob}"]',
        "error": "",
    }


def test_what_an_entry_says_of_itself() -> None:
    """Model, cause and outcome, each empty or done where the action gave none."""
    given_ = entry(model=LLAMA, cause="user", error="gone")
    assert (given_.model, given_.cause, given_.outcome) == (str(LLAMA), "user", "gone")
    assert (entry().model, entry().cause, entry(error="").outcome) == ("", "", "done")


@pytest.mark.parametrize(
    ("chosen", "taken"),
    [
        (AuditFilter(), True),
        (AuditFilter(since=NOW), True),
        (AuditFilter(since=NOW + timedelta(seconds=1)), False),
        (AuditFilter(model=str(LLAMA)), True),
        (AuditFilter(model="other"), False),
        (AuditFilter(action="repair"), True),
        (AuditFilter(action="rep"), False),
        (AuditFilter(since=NOW, model=str(LLAMA), action="repair"), True),
    ],
)
def test_a_filter_takes_what_fits_all_of_it(chosen: AuditFilter, *, taken: bool) -> None:
    """From a moment on, of one model, of one action."""
    assert chosen.takes(entry(model=LLAMA)) is taken


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("36h", NOW - timedelta(hours=36)),
        ("90", NOW - timedelta(seconds=90)),
        ("2026-01-01", datetime(2026, 1, 1, tzinfo=UTC)),
        ("2026-01-01T10:00", datetime(2026, 1, 1, 10, tzinfo=UTC)),
        (" 2026-01-01T10:00+02:00 ", datetime(2026, 1, 1, 8, tzinfo=UTC)),
    ],
)
def test_a_moment_is_a_duration_or_a_date(text: str, expected: datetime) -> None:
    """UTC where no zone is named."""
    assert moment(text, NOW) == expected


@given(st.text(max_size=12))
def test_any_other_text_is_refused(text: str) -> None:
    """With a typed error, or it is a moment with a zone."""
    try:
        assert moment(text, NOW).utcoffset() is not None
    except BadSetting as error:
        assert error.next_step


def test_a_verdict_of_faults_ends_with_one() -> None:
    """And without any with zero."""
    assert AuditVerdict(vault="/v", entries=1, faults=("line 1 was changed",)).exit_code == 1
    assert AuditVerdict(vault="/v", entries=1, faults=()).exit_code == 0
