"""Notices as events of the log."""

from modelward.notify.log import LogNotifier
from tests.notify.notices import NOTICE
from tests.places import Notes


def test_a_notice_is_one_event_with_all_that_it_says() -> None:
    """Searchable by what it says and how urgent it is."""
    notes = Notes()
    channel = LogNotifier(notes)
    channel.send(NOTICE)
    assert channel.name == "log"
    assert notes.events == [
        (
            "alert",
            {
                "what": "firing",
                "severity": "critical",
                "title": "model missing: llama3",
                "detail": "llama3: the manifest is gone (for 40 s); next: modelward repair llama3",
                "notice": NOTICE.id,
            },
        )
    ]
