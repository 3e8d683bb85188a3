"""Notices as events of the log: the channel that is always there."""

from modelward.domain.alert import Notice
from modelward.ports import Progress


class LogNotifier:
    """Says every notice as the event ``alert``."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    @property
    def name(self) -> str:
        """What the channel is called."""
        return "log"

    def send(self, notice: Notice) -> None:
        """Log it; never fails."""
        self._progress.say(
            "alert",
            what=notice.what.value,
            severity=notice.severity.value,
            title=notice.title,
            detail="; ".join(notice.lines),
            notice=notice.id,
        )
