"""What drives say of themselves is read with care, and never ends in the advice to replace one."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from modelward.domain.forecast import Confidence, DriveReading
from modelward.forecast.drive import TABLES, drive_risk, read_smart, signs, yearly_rate
from modelward.forecast.record import DAY

NOW = 1_700_000_000.0
DISK = {
    "smart_status": {"passed": True},
    "ata_smart_attributes": {
        "table": [
            {"id": 5, "raw": {"value": 24}},
            {"id": 9, "raw": {"value": 31_000}},
            {"id": 187, "raw": {"value": 0}},
            {"id": 188, "raw": {"value": 0x0001_0001_0003}},
            {"id": 197, "raw": {"value": 0}},
        ]
    },
}
NVME = {
    "smart_status": {"passed": True},
    "nvme_smart_health_information_log": {
        "percentage_used": 3,
        "available_spare": 100,
        "available_spare_threshold": 10,
        "media_errors": 0,
    },
}


BARE = DriveReading(at=NOW, device="sda")


def test_a_disk_is_read() -> None:
    """The attributes of the published table are kept, and Seagate's packed timeouts are unpacked."""
    found = read_smart("sda", DISK, NOW)
    assert found is not None
    assert found.attributes == {5: 24, 187: 0, 188: 3, 197: 0}
    assert found.passed is True


def test_an_nvme_drive_is_read() -> None:
    """Wear, spare blocks and media errors come from the health log."""
    found = read_smart("nvme0n1", NVME, NOW)
    assert found is not None
    assert (found.wear, found.spare, found.spare_threshold, found.media_errors) == (3, 100, 10, 0)
    assert signs(found) == ()
    assert drive_risk([found], NOW).confidence is Confidence.STEADY


def test_reallocated_sectors_are_an_alarm_to_verify_and_copy() -> None:
    """24 of them fail at 24 % a year by the table; the action copies and reads, and nothing says to replace."""
    found = read_smart("sda", DISK, NOW)
    assert found is not None
    told = drive_risk([found], NOW)
    assert told.alarm
    assert "24 reallocated sectors: of drives like this 24% fail in a year" in told.what
    assert told.action == "modelward backup && modelward verify"
    assert "4.2 %" in told.base_rate.text
    assert "Backblaze" in told.base_rate.source
    assert "replace" not in told.what + told.action


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"passed": False}, "says that it is failing"),
        ({"media_errors": 2}, "2 media errors"),
        ({"spare": 9, "spare_threshold": 10}, "9 % of spare blocks"),
        ({"spare": 5}, "5 % of spare blocks"),
        ({"wear": 104}, "104 % of the maker's endurance"),
        ({"attributes": {198: 1}}, "1 offline uncorrectable sectors"),
    ],
)
def test_each_sign_is_an_alarm_in_words(fields: dict[str, Any], words: str) -> None:
    """What the drive counts against itself is said."""
    told = drive_risk([replace(BARE, **fields)], NOW)
    assert told.alarm
    assert words in told.what


def test_a_few_reallocated_sectors_are_no_alarm() -> None:
    """Up to four of them fail hardly more often than none do."""
    assert not drive_risk([replace(BARE, attributes={5: 3, 187: 0})], NOW).alarm


def test_wear_has_its_date() -> None:
    """One percent a week from 70 % is used up in 30 weeks."""
    readings = [DriveReading(at=NOW - (70 - n) * 7 * DAY, device="nvme0n1", wear=n) for n in range(71)]
    told = drive_risk(readings, NOW)
    assert told.when is not None
    assert (told.when.timestamp() - NOW) / DAY == pytest.approx(210, rel=0.05)
    assert drive_risk(readings[-5:], NOW).when is None


def test_a_drive_that_says_nothing_is_not_judged() -> None:
    """An empty document is no reading; a reading without anything is not enough; none at all is a mistake."""
    assert read_smart("vda", {"smartctl": {"exit_status": 2}}, NOW) is None
    assert not drive_risk([BARE], NOW).enough
    with pytest.raises(ValueError, match="no readings"):
        drive_risk([], NOW)


def test_the_tables_have_a_rate_for_every_value() -> None:
    """Each ends in infinity, in order, with rates between nothing and a few a year."""
    for _, table in TABLES.values():
        bounds = [bound for bound, _ in table]
        assert bounds == sorted(bounds)
        assert bounds[-1] == float("inf")
        assert all(0 < rate < 4 for _, rate in table)


@given(st.dictionaries(st.sampled_from(sorted(TABLES)), st.integers(0, 2**64 - 1)))
def test_any_value_has_a_rate(attributes: dict[int, int]) -> None:
    """The highest of all attributes counts, and there is always one."""
    rate, words = yearly_rate(replace(BARE, attributes=attributes))
    assert (rate > 0) == bool(attributes) == bool(words)


_KEYS = st.sampled_from(
    (
        *("smart_status", "passed", "ata_smart_attributes", "table", "id", "raw", "value"),
        *("nvme_smart_health_information_log", "percentage_used", "available_spare"),
        *("available_spare_threshold", "media_errors"),
    )
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=True) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(_KEYS, JSON, max_size=5))
def test_no_document_does_harm(document: dict[str, Any]) -> None:
    """Whatever a document holds, it is a reading that can be judged, or none."""
    found = read_smart("sda", document, NOW)
    if found is not None:
        assert drive_risk([found], NOW).subject == "sda"
