"""Write what a guard keeps in its state folder, and a settings file, to be read by every later program.

``python -m tests.compat.state`` makes ``tests/compat/state-<version of the journal>`` where it is not there yet: what a
release wrote is never written again.
"""

import json
import shutil
import tempfile
import tomllib
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec

from modelward import config
from modelward.api.tokens import FILE as TOKENS
from modelward.api.tokens import Tokens
from modelward.domain.access import Scope
from modelward.domain.alert import Alert, Flip, Kind, Silence, State
from modelward.domain.alerting import Book
from modelward.domain.brake import Brake, Harm
from modelward.domain.history import (
    ActionRow,
    CheckRow,
    DrillRow,
    FindingRow,
    JobRow,
    ProbeRow,
    Row,
    ScrubRow,
    ServerRow,
    SpaceRow,
)
from modelward.domain.name import ModelName
from modelward.domain.outbox import Outbox, Queue
from modelward.domain.schedule import Runs
from modelward.durable import Folder
from modelward.guard.memory import Known
from modelward.journal.schema import MIGRATIONS
from modelward.journal.sqlite import FILE, LARGEST, SqliteJournal
from modelward.testing import FrozenClock
from tests.places import BEGIN

HERE = Path(__file__).resolve().parent
LLAMA = ModelName.parse("llama3")
HOUR = timedelta(hours=1)
ROWS: tuple[Row, ...] = (
    CheckRow(at=BEGIN, model=LLAMA, healthy=True, recoverable=True, ready=True),
    CheckRow(at=BEGIN + HOUR, model=LLAMA, healthy=None, recoverable=False, ready=False),
    ProbeRow(at=BEGIN, model=LLAMA, outcome="ok", seconds=0.25, loaded=True),
    ProbeRow(at=BEGIN + HOUR, model=LLAMA, outcome="timeout", seconds=60.0),
    FindingRow(at=BEGIN, model=LLAMA, kind="Corrupt", text="1 MiB is wrong", blob="ab" * 32, bytes=5, device="store"),
    ActionRow(at=BEGIN, cause="guard: scrub", verb="repair", step="PatchBlob", model=LLAMA, source="vault", bytes=7),
    ActionRow(at=BEGIN + HOUR, cause="user", verb="repair", model=LLAMA, target="blobs/x", error="no source"),
    ScrubRow(at=BEGIN, of="vault", device="/dev/sda1", bytes=1 << 40, seconds=3600.5, damaged=1),
    DrillRow(at=BEGIN, model=LLAMA, snapshot="20260105T120000Z-915ed8bb9fbd", bytes=9, restore_seconds=1.5,
             verify_seconds=0.5, ok=False, why="the disk was full"),
    SpaceRow(at=BEGIN, of="store", device="/dev/sda1", total=1 << 40, free=1 << 39),
    ServerRow(at=BEGIN, up=True, seconds=0.004, version="0.24.0"),
    ServerRow(at=BEGIN + HOUR, up=False, error="nobody listens"),
)  # fmt: skip
FLIPS = (
    Flip(BEGIN, Kind.INTEGRITY, "llama3", bad=True, detail="1 MiB is wrong", next="modelward repair llama3"),
    Flip(BEGIN + HOUR, Kind.INTEGRITY, "llama3", bad=False, detail="1 MiB is wrong"),
)
JOBS = (
    JobRow(id="a" * 12, kind="scrub vault", models=(), cause="guard: schedule", began_at=BEGIN),
    JobRow(id="b" * 12, kind="repair", models=(LLAMA,), cause="user", began_at=BEGIN + HOUR),
)
DOCUMENTS: dict[str, Any] = {
    "guard.brake": Brake(
        harms=(Harm(at=BEGIN, thing="ab" * 32, model=LLAMA, bytes=5),), forgiven=("x",), since=BEGIN, why="4 models"
    ),
    "guard.runs": Runs(began={"drill": BEGIN}, ended={"drill": BEGIN + HOUR}, outcome={"drill": "done"}),
    "guard.known": Known(vaults={"/srv/vault": BEGIN}, bare={LLAMA: BEGIN}, damaged_at=BEGIN, first_seen=BEGIN),
    "alerts.book": Book(
        alerts=(
            Alert(kind=Kind.DISK, subject="store", since=BEGIN, state=State.FIRING, detail="2 % are free",
                  next="modelward space", due=BEGIN, told_at=BEGIN),
        ),
        seen_at=BEGIN,
    ),
    "alerts.silences": (Silence(id="1", kind="", subject="llama3*", until=BEGIN + HOUR, why="a disk", made_at=BEGIN),),
    "alerts.outbox": Outbox(queues=(Queue(channel="webhook", tries=3, due=BEGIN, error="nobody listens", lost=1),)),
}  # fmt: skip
KINDS: dict[str, Any] = {key: type(value) for key, value in DOCUMENTS.items()} | {
    "alerts.silences": tuple[Silence, ...]
}
# Every setting of the release with a value that is not its default, as a person would write it.
SETTINGS = """
store = "/srv/models"
vault = "/mnt/other/vault"
models = ["llama3", "qwen3:4b"]
ollama_host = "http://127.0.0.1:11500"
siblings = "/srv/gguf,/srv/hf"
upstream = false
mirrors = ["registry.ollama.ai=https://mirror.example"]
plain_http = ["registry.example:5000"]
download_rate = "20MB"
download_hours = "22:00-06:00"
keep_last = 7
keep_daily = 8
keep_weekly = 4
keep_within = "3d"
trash_days = 30
limit_rate = "50M"
threads = 3
buffered = true
sample_percent = 2.5
lock_wait = "90s"
reserve = "1GiB"
log_level = "info"
state = "/var/lib/modelward"
maintenance_interval = 30
check_interval = "20s"
settle = "5s"
job_deadline = "2h"
on_loss = "alert"
policies = ["scratch=ignore", "llama3=restore"]
brake_models = 5
brake_percent = 10
brake_window = "2h"
scrub_store = "14d"
scrub_vault = "4w"
scrub_rate = "10MiB"
scrub_hours = "01:00-05:30"
drill_every = "30d"
backup_overdue = "50h"
disk_free = 7.5
probe = "loaded"
probe_interval = "5m"
probe_deadline = "30s"
probe_failures = 3
alert_urls = "mailto://user:word@example.org"
alert_urls_file = "/etc/modelward/urls"
webhook_url = "https://hooks.example/x"
webhook_secret_file = "/etc/modelward/key"
alert_pending = "45s"
alert_group = "20s"
alert_reminder = "12h"
alert_healed = false
quiet_hours = "23:00-06:30"
deadman_url = "https://monitor.example/ping"
deadman_interval = "10m"
log_folder = "/var/log/modelward"
log_size = "5MB"
log_files = 4
listen = "unix:/run/modelward.sock"
allowed_hosts = ["models.example"]
tls_cert = "/etc/modelward/cert.pem"
tls_key = "/etc/modelward/key.pem"
behind_proxy = true
"""


def main() -> None:
    """Make the fixture of the present version."""
    target = HERE / f"state-{len(MIGRATIONS)}"
    if target.exists():
        raise SystemExit(f"{target} is there: what a release wrote is kept as it is")
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        keep(base)
        secrets = tokens(base)
        target.mkdir()
        for file in (FILE, TOKENS):
            shutil.copy(base / file, target / file)
            (target / file).chmod(0o644)
    (target / config.FILE_NAME).write_text(SETTINGS.lstrip())
    (target / "said.json").write_text(json.dumps(said(target) | {"tokens": secrets}, indent=1) + "\n")


def keep(base: Path) -> None:
    """A journal with a row of every kind, jobs of which one was running, and every document."""
    journal = SqliteJournal(Folder.open(base), LARGEST)
    journal.add(ROWS)
    journal.flip(FLIPS)
    for job in JOBS:
        journal.job_begin(job)
    journal.job_end(JOBS[1].id, "failed", "no source", BEGIN + 2 * HOUR)
    for key, value in DOCUMENTS.items():
        journal.put(key, value)
    journal.close()


def tokens(base: Path) -> dict[str, str]:
    """A token of each scope; their secrets, which are good for nothing else."""
    book = Tokens(base, FrozenClock(BEGIN))
    return {scope.value: book.create(f"for {scope.value}", scope, timedelta(days=90))[0] for scope in Scope}


def said(folder: Path) -> dict[str, Any]:
    """What was written, in words that no later program has a say in."""
    settings = config.resolve(
        {"config": str(folder / config.FILE_NAME)}, {}, platform="linux", home=HERE, cwd=HERE
    ).settings
    return {
        "rows": {kind.__name__: plain([row for row in ROWS if type(row) is kind]) for kind in {type(r) for r in ROWS}},
        "flips": plain(FLIPS),
        "documents": plain(DOCUMENTS),
        "settings": {name: plain(getattr(settings, name)) for name in tomllib.loads(SETTINGS)},
    }


def plain(value: object) -> Any:  # noqa: ANN401 - JSON is what it is
    """A value as JSON has it."""
    return json.loads(msgspec.json.encode(value, enc_hook=str))


if __name__ == "__main__":
    main()
