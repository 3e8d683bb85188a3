"""Notices through Apprise, in a process of its own: its weight is not the guard's, and no service can hang us."""

import json
import re
from collections.abc import Mapping

from modelward.child import ask
from modelward.domain.alert import Notice, Severity, What
from modelward.domain.errors import DeliveryFailed

SECONDS = 60.0  # Apprise itself waits 4 s to connect and 4 s for an answer, some services a few times
_OURS = "MODELWARD_"
_SCHEME = re.compile(r"([a-z][a-z0-9]{0,11})://", re.IGNORECASE | re.ASCII)  # longer: perhaps a token, misplaced
_WHY = {
    "unreadable": "Apprise cannot read this URL",
    "unreachable": "the service cannot be reached",
    "refused": "the service did not take it",
    "broken": "Apprise failed",
}
_ANSWER = re.compile(rb'\{"answer": "([a-z]{1,12})", "status": (\d{1,3})\}\s*', re.ASCII)


class AppriseNotifier:
    """One Apprise URL. The child gets it by its standard input: arguments and environment are for all to see."""

    def __init__(
        self, url: str, number: int, *, host: str, environ: Mapping[str, str], seconds: float = SECONDS
    ) -> None:
        """``number`` counts the URLs from 1; ``host`` is this machine's name, shown in the title."""
        self._url, self._number, self._host, self._seconds = url, number, host, seconds
        self._environ = {name: value for name, value in environ.items() if not name.startswith(_OURS)}

    @property
    def name(self) -> str:
        """What the channel is called: its number and the kind of service."""
        found = _SCHEME.match(self._url)
        return f"apprise {self._number} ({found[1].lower() if found else 'no known service'})"

    def send(self, notice: Notice) -> None:
        """Let the child deliver it; raises DeliveryFailed."""
        job = json.dumps(
            {
                "url": self._url,
                "title": f"{self._host}: {notice.title}" if self._host else notice.title,
                "body": "\n".join(notice.lines) or notice.title,
                "type": _type(notice),
            }
        )
        found = _ANSWER.fullmatch(self._run(job.encode()))
        answer, status = (found[1].decode(), int(found[2])) if found else ("broken", 0)
        if answer != "ok":
            raise self._failed(_WHY.get(answer, _WHY["broken"]) + (f" (it answered {status})" if status else ""))

    def _run(self, job: bytes) -> bytes:
        """The child's standard output; its standard error may hold secrets and goes nowhere."""
        try:
            return ask("modelward.notify.child", job, seconds=self._seconds, environ=self._environ)
        except TimeoutError:
            raise self._failed(f"not sent within {self._seconds:g} s") from None
        except OSError as error:
            raise self._failed(f"the process that sends it cannot be started ({error.strerror})") from None

    def _failed(self, why: str) -> DeliveryFailed:
        return DeliveryFailed(
            why, thing=self.name, next_step="check alert_urls or alert_urls_file: modelward alerts test"
        )


def _type(notice: Notice) -> str:
    """Apprise's word for the colour of a message."""
    if notice.what in (What.RESOLVED, What.HEALED):
        return "success"
    if notice.what in (What.EVENT, What.TEST):
        return "info"
    return "failure" if notice.severity is Severity.CRITICAL else "warning"
