"""``python -m modelward.notify.child``: send one message through Apprise; the job comes by standard input, as JSON.

The answer is one line on standard output: a word of ours and an HTTP status, and nothing that Apprise said.
"""

import json
import logging
import os
import re
import sys
from typing import Final

LONGEST: Final = 1 << 20
_STATUS = re.compile(r"error=(\d{3})\b")


class _Listener(logging.Handler):
    """Hears what Apprise logs, and keeps only whether a service was reached and the status that it answered."""

    def __init__(self) -> None:
        super().__init__()
        self.status, self.unreachable = 0, False

    def emit(self, record: logging.LogRecord) -> None:
        """Look at one record."""
        text = record.getMessage()
        if found := _STATUS.search(text):
            self.status = int(found[1])
        self.unreachable = self.unreachable or "onnection error" in text or "onnection Error" in text


def main() -> None:
    """Read the job, send it, say in one word what came of it."""
    out = os.dup(1)
    os.dup2(2, 1)  # what a plugin prints is no answer of ours
    job = json.loads(sys.stdin.buffer.read(LONGEST))
    listener = _listen()
    answer = _send(job, listener)
    os.write(out, json.dumps({"answer": answer, "status": listener.status if answer != "ok" else 0}).encode())


def _listen() -> _Listener:
    listener = _Listener()
    log = logging.getLogger("apprise")
    log.addHandler(listener)
    log.setLevel(logging.WARNING)
    log.propagate = False
    return listener


def _send(job: dict[str, str], listener: _Listener) -> str:
    try:
        import apprise

        # A service that is taken over, or a name that is, must not lead the message and its secrets elsewhere. Who
        # needs it for one service writes redirect=yes into its URL.
        service = apprise.Apprise.instantiate(job["url"], asset=apprise.AppriseAsset(http_redirects=False))
        if service is None:
            return "unreadable"
        sent = service.notify(
            title=job["title"], body=job["body"], notify_type=job["type"], body_format=apprise.NotifyFormat.TEXT
        )
    except Exception:  # noqa: BLE001 - any of a hundred plugins; what it says may hold the URL
        return "broken"
    if sent:
        return "ok"
    return "unreachable" if listener.unreachable and not listener.status else "refused"


if __name__ == "__main__":
    main()
