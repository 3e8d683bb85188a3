"""Restore over a server's API: pulled, checked, named, and the temporary name gone in any case."""

import http.client
import json
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from modelward.domain.audit import AuditFilter
from modelward.domain.errors import NotRepairable, RuntimeRefused, RuntimeUnreachable, UnknownModel
from modelward.domain.name import ModelName
from modelward.domain.runtime import PullStep, ServedModel
from modelward.services.audit import show_audit
from modelward.services.backup import backup
from modelward.services.restore_via import restore_via
from modelward.serving.endpoint import Endpoint
from modelward.testing import FakeStore, IdleRuntime, corrupt
from tests.models import pattern
from tests.places import Place

LLAMA = ModelName.parse("llama3")
WEIGHTS = pattern(3_000_000)


class Remote(IdleRuntime):
    """A server far away that pulls as Ollama does, into memory."""

    url = "http://elsewhere:11434"

    def __init__(self, *, error: str = "", copies: bool = True) -> None:
        self.models: dict[str, bytes] = {}
        self.blobs: dict[str, bytes] = {}
        self.error, self.copies = error, copies

    def tags(self) -> tuple[ServedModel, ...]:
        """What it has."""
        return tuple(
            ServedModel(name=name, digest=sha256(raw).hexdigest(), size=1) for name, raw in self.models.items()
        )

    def pull(self, name: str, *, insecure: bool = False) -> Iterator[PullStep]:
        """Manifest, then each blob that is not there, by its Location and a range."""
        assert insecure
        yield PullStep(status="pulling manifest")
        authority, token, rest = name.split("/")
        model, _, tag = rest.partition(":")
        base = f"/v2/{token}/{model}"
        raw = fetch(authority, f"{base}/manifests/{tag}")
        document = json.loads(raw)
        for layer in (document["config"], *document["layers"]):
            if layer["digest"] not in self.blobs:
                self.blobs[layer["digest"]] = fetch(authority, f"{base}/blobs/{layer['digest']}", layer["size"])
            yield PullStep(status="pulling", digest=layer["digest"], total=layer["size"], completed=layer["size"])
        if self.error:
            raise RuntimeRefused(self.error, thing=name, next_step="look at its log")
        self.models[name] = raw
        yield PullStep(status="success")

    def copy(self, source: str, target: str) -> None:
        """A second name."""
        if not self.copies:
            raise RuntimeUnreachable("gone")
        self.models[target] = self.models[source]

    def delete(self, name: str) -> None:
        """One name less."""
        if name not in self.models:
            raise RuntimeRefused("no such model", thing=name, next_step="list them")
        del self.models[name]


def fetch(authority: str, path: str, size: int = 0) -> bytes:
    """A GET; with a size by a range of its Location."""
    with closing(http.client.HTTPConnection(authority, timeout=5)) as link:
        if size:
            link.request("HEAD", path)
            head = link.getresponse()
            head.read()
            assert head.headers["Content-Length"] == str(size)
        link.request("GET", path, headers={"Range": f"bytes=0-{size - 1}"} if size else {})
        return link.getresponse().read()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A vault with one model."""
    place = Place(tmp_path)
    FakeStore(place.store).add_model("llama3", WEIGHTS, template=b"{{ .Prompt }}")
    backup(place.site(), ())
    return place


def endpoint(place: Place) -> Endpoint:
    """Over the place's vault."""
    opener = place.site().the_vault().open_blob
    return Endpoint(opener, listen=("127.0.0.1", 0), shown="127.0.0.1", token="f" * 32)


def test_a_model_comes_over_the_api(place: Place) -> None:
    """Manifest and blobs are identical, the real name is there, the temporary one is gone."""
    remote = Remote()
    report = restore_via(place.site(), remote, endpoint(place), LLAMA)
    raw = (place.store / "manifests/registry.ollama.ai/library/llama3/latest").read_bytes()
    assert remote.models == {"llama3:latest": raw}
    assert all(f"sha256:{sha256(data).hexdigest()}" == digest for digest, data in remote.blobs.items())
    assert (report.exit_code, report.sent, report.replaced, report.notes) == (0, report.size, "", ())


def test_another_version_is_replaced_and_named(place: Place) -> None:
    """The user named the model; which one it replaced is said."""
    remote = Remote()
    remote.models["llama3:latest"] = b"older"
    report = restore_via(place.site(), remote, endpoint(place), LLAMA)
    assert report.replaced == sha256(b"older").hexdigest()


def test_blobs_that_were_there_are_not_sent(place: Place) -> None:
    """The server does not look at them: that it did not is said."""
    remote = Remote()
    restore_via(place.site(), remote, endpoint(place), LLAMA)
    report = restore_via(place.site(), remote, endpoint(place), LLAMA)
    assert report.sent == 0
    assert any("took for good" in note for note in report.notes)


def test_a_pull_that_fails_leaves_no_name(place: Place) -> None:
    """The server's own words, and nothing of ours stays there."""
    remote = Remote(error="no space left on device")
    with pytest.raises(RuntimeRefused, match="no space"):
        restore_via(place.site(), remote, endpoint(place), LLAMA)
    assert remote.models == {}


def test_a_copy_that_fails_takes_the_temporary_name_away(place: Place) -> None:
    """Whatever happened."""
    remote = Remote(copies=False)
    with pytest.raises(RuntimeUnreachable):
        restore_via(place.site(), remote, endpoint(place), LLAMA)
    assert remote.models == {}


def test_a_dry_run_asks_for_nothing(place: Place) -> None:
    """What would be served, and what it would replace."""
    remote = Remote()
    report = restore_via(place.site(), remote, endpoint(place), LLAMA, dry_run=True)
    assert (report.dry_run, report.sent, remote.models) == (True, 0, {})


def test_a_version_that_is_not_whole_is_not_served(place: Place) -> None:
    """The vault's copy rotted: nothing is sent out."""
    blob = max((place.vault / "blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    blob.chmod(0o600)
    corrupt.flip_bit(blob, 99, 1)
    with pytest.raises(NotRepairable):
        restore_via(place.site(), Remote(), endpoint(place), LLAMA)


def test_a_model_that_the_vault_does_not_know(place: Place) -> None:
    """A usage error."""
    with pytest.raises(UnknownModel):
        restore_via(place.site(), Remote(), endpoint(place), ModelName.parse("nope"))


def test_the_audit_log_tells_which_server_got_what(place: Place) -> None:
    """Model, version and server; a pull that failed is there with the server's words (A1)."""
    restore_via(place.site(), Remote(), endpoint(place), LLAMA)
    with pytest.raises(RuntimeRefused):
        restore_via(place.site(), Remote(error="no space left"), endpoint(place), LLAMA)
    good, bad = show_audit(place.site(), AuditFilter(action="restore --via")).entries
    assert (good.model, good.keys["target"], good.outcome) == (str(LLAMA), Remote.url, "done")
    assert int(good.keys["bytes"]) > 0
    assert "no space left" in bad.outcome
