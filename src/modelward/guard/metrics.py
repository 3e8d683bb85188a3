"""Keep ``model-metrics.json`` current: written by a thread that may wait for a disk, never by one that may not."""

from modelward.domain.errors import ModelwardError
from modelward.durable import Folder
from modelward.guard.heart import Heart
from modelward.services.metrics_file import metrics_document, write_metrics_file

_LEAST_SECONDS = 60.0  # a file for people and scripts; who needs it by the second asks the API
_REST = 50.0  # times as long as it took to make: with ten thousand models that is many seconds


class MetricsFile:
    """The file in the state folder."""

    def __init__(self, heart: Heart, folder: Folder) -> None:
        self._heart, self._folder = heart, folder
        self._written_at, self._took = float("-inf"), 0.0

    def turn(self) -> None:
        """Write it when it is old."""
        every = max(_LEAST_SECONDS, self._heart.settings().check_interval.total_seconds(), self._took * _REST)
        if self._heart.clock.monotonic() - self._written_at >= every:
            self.write()

    def write(self) -> None:
        """Write it now, where there is something to write; a disk that cannot take it costs the file only."""
        standing = self._heart.board.standing
        if standing is None:
            return
        self._written_at = self._heart.clock.monotonic()
        try:
            write_metrics_file(self._folder, metrics_document(standing, self._heart.journal))
        except ModelwardError as error:
            self._heart.log.say("metrics_not_written", error=str(error))
        self._took = self._heart.clock.monotonic() - self._written_at
