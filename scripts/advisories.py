"""A folder of advisories that answers pip-audit on this machine, for those who cannot reach the service.

The folder is a copy of the PyPA advisory database: ``vulns/<package>/<id>.yaml``, each an advisory in the OSV schema.
"""

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml
from packaging.version import InvalidVersion, Version

_DAY = re.compile(r"^(?:published|modified): ['\"]?(\d{4}-\d\d-\d\d)", re.MULTILINE)


def newest(folder: Path) -> date:
    """The day of the folder's newest advisory, which tells how old it is; raises LookupError where there is none."""
    days: list[str] = [
        day for path in folder.glob("vulns/*/*.yaml") for day in _DAY.findall(path.read_text(encoding="utf-8"))
    ]
    if not days:
        raise LookupError(f"{folder} holds no advisories: it has to be a copy of the PyPA advisory database")
    return date.fromisoformat(max(days))


def known(folder: Path, name: str, version: str) -> list[dict[str, Any]]:
    """Every advisory that names this version of a package (canonical name), in the OSV schema."""
    paths = sorted(folder.glob(f"vulns/{name}/*.yaml"))
    found = [yaml.load(path.read_bytes(), yaml.BaseLoader) for path in paths]  # noqa: S506 - makes texts and nothing else
    return [one for one in found if any(_affects(part, name, version) for part in one.get("affected", ()))]


def _affects(affected: dict[str, Any], name: str, version: str) -> bool:
    if affected["package"]["ecosystem"] != "PyPI" or affected["package"]["name"] != name:
        return False
    ranges = [one["events"] for one in affected.get("ranges", ()) if one["type"] == "ECOSYSTEM"]
    return version in affected.get("versions", ()) or any(_within(events, Version(version)) for events in ranges)


def _within(events: list[dict[str, str]], version: Version) -> bool:
    """The OSV schema's rule: the last event at or before the version decides."""
    inside = False
    for kind, at in sorted(
        ((kind, _version(at)) for event in events for kind, at in event.items()), key=lambda e: e[1]
    ):
        if kind == "introduced" and version >= at:
            inside = True
        elif (kind == "fixed" and version >= at) or (kind == "last_affected" and version > at):
            inside = False
    return inside


def _version(text: str) -> Version:
    with suppress(InvalidVersion):
        return Version(text)
    return Version("0")


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address that answers the questions of ``pip-audit --osv-url``, on loopback, as long as the block lasts."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
            found = known(folder, asked["package"]["name"], asked["version"])
            body = json.dumps({"vulns": found} if found else {}).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
