"""The endpoint of a restore over the API: one model, below a token, by ranges; nothing else, and nobody waits."""

import http.client
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelward.domain.chunks import CHUNK
from modelward.domain.digest import Digest
from modelward.domain.errors import BadSetting, BlobMissing
from modelward.serving.endpoint import Endpoint, _span
from tests.models import make_model, pattern

WEIGHTS = pattern(2 * CHUNK + 11)
MODEL = make_model("llama3", WEIGHTS, b"{{ .Prompt }}")
TOKEN = "0123456789abcdef"  # noqa: S105 - a path, for a test
Ask = Callable[..., tuple[int, dict[str, str], bytes]]


@pytest.fixture
def opener(tmp_path: Path) -> Callable[[Digest], int]:
    """Files of the model's blobs, and of one that the manifest does not name."""
    for blob, data in MODEL.blobs.items():
        (tmp_path / blob.hex).write_bytes(data)
    (tmp_path / ("1" * 64)).write_bytes(b"secret")

    def open_blob(blob: Digest) -> int:
        try:
            return os.open(tmp_path / blob.hex, os.O_RDONLY)
        except FileNotFoundError as error:
            raise BlobMissing("not there", thing=blob) from error

    return open_blob


@pytest.fixture
def ask(opener: Callable[[Digest], int]) -> Iterator[Ask]:
    """Ask the running endpoint: status, headers, body."""
    endpoint = Endpoint(opener, listen=("127.0.0.1", 0), shown="127.0.0.1", token=TOKEN)
    with endpoint.serving(MODEL.name, MODEL.manifest) as served:
        authority, token, name = served.reference.split("/")
        assert (token, name) == (TOKEN, "llama3:latest")

        def run(path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
            with closing(http.client.HTTPConnection(authority, timeout=5)) as link:
                link.request(method, path, headers=headers)
                answer = link.getresponse()
                return answer.status, dict(answer.headers), answer.read()

        run.served, run.authority = served, authority  # type: ignore[attr-defined]
        yield run


def blob_path(blob: Digest = MODEL.largest) -> str:
    """Where a blob is."""
    return f"/v2/{TOKEN}/llama3/blobs/{blob}"


def test_the_manifest_to_the_byte(ask: Ask) -> None:
    """By GET, and its length by HEAD."""
    path = f"/v2/{TOKEN}/llama3/manifests/latest"
    assert ask(path)[::2] == (200, MODEL.manifest.raw)
    status, headers, body = ask(path, "HEAD")
    assert (status, headers["Content-Length"], body) == (200, str(len(MODEL.manifest.raw)), b"")


def test_a_blob_as_ollama_asks_for_it(ask: Ask) -> None:
    """HEAD for the size, GET for a Location that leads to itself, then ranges of it."""
    assert ask(blob_path(), "HEAD")[1]["Content-Length"] == str(len(WEIGHTS))
    status, headers, body = ask(blob_path())
    assert (status, body, headers["Location"]) == (200, WEIGHTS, blob_path())
    status, headers, body = ask(headers["Location"], Range=f"bytes={CHUNK}-{CHUNK + 99}")
    assert (status, body) == (206, WEIGHTS[CHUNK : CHUNK + 100])
    assert headers["Content-Range"] == f"bytes {CHUNK}-{CHUNK + 99}/{len(WEIGHTS)}"


@pytest.mark.parametrize(
    ("wanted", "status", "body"),
    [
        ("bytes=0-0", 206, WEIGHTS[:1]),
        ("bytes=-5", 206, WEIGHTS[-5:]),
        (f"bytes={len(WEIGHTS) - 3}-", 206, WEIGHTS[-3:]),
        (f"bytes=0-{1 << 60}", 206, WEIGHTS),
        (f"bytes={len(WEIGHTS)}-", 416, b""),
        ("bytes=5-2", 416, b""),
        ("bytes=0-1,5-9", 416, b""),
        ("lines=0-1", 416, b""),
        ("bytes=-0", 416, b""),
        ("bytes=-", 416, b""),
        ("bytes=\xb2-", 416, b""),
    ],
)
def test_ranges(ask: Ask, wanted: str, status: int, body: bytes) -> None:
    """One range, from the front or from the end; anything else is refused."""
    assert ask(blob_path(), Range=wanted)[::2] == (status, body)


@given(st.text(max_size=40), st.integers(0, 1 << 40))
def test_any_range_text(text: str, size: int) -> None:
    """A span inside the blob, or none."""
    found = _span(text, size)
    assert found is None or (found[0] >= 0 and found[1] > 0 and sum(found) <= size)


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/v2/",
        f"/v2/{TOKEN}",
        f"/v2/{TOKEN}/",
        f"/v2/{TOKEN}x/llama3/manifests/latest",
        f"/v2/{TOKEN[:-1]}/llama3/manifests/latest",
        "/v2//llama3/manifests/latest",
        f"/v2/{TOKEN}/llama3/manifests/other",
        f"/v2/{TOKEN}/other/manifests/latest",
        f"/v2/{TOKEN}/llama3/blobs/",
        f"/v2/{TOKEN}/llama3/blobs/../../../etc/passwd",
        f"/v2/{TOKEN}/llama3/blobs/sha256:{'1' * 64}",
        blob_path().replace(TOKEN, "wrong"),
    ],
)
def test_everything_else_is_not_there(ask: Ask, path: str) -> None:
    """Another token, another name, a blob that the manifest does not name."""
    assert ask(path)[::2] == (404, b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_it_only_reads(ask: Ask, method: str) -> None:
    """Nothing can be sent to it."""
    assert ask(blob_path(), method)[0] == 501


def test_it_counts_what_it_sent(ask: Ask) -> None:
    """Bytes of blobs."""
    ask(blob_path())
    ask(blob_path(), Range="bytes=0-9")
    assert ask.served.sent == len(WEIGHTS) + 10  # type: ignore[attr-defined]


def test_a_blob_that_went_away(opener: Callable[[Digest], int], tmp_path: Path) -> None:
    """The connection ends; nothing is made up."""
    (tmp_path / MODEL.largest.hex).unlink()
    endpoint = Endpoint(opener, listen=("127.0.0.1", 0), shown="127.0.0.1", token=TOKEN)
    with (
        endpoint.serving(MODEL.name, MODEL.manifest) as served,
        closing(http.client.HTTPConnection(served.reference.partition("/")[0], timeout=5)) as link,
    ):
        link.request("GET", blob_path())
        with pytest.raises(http.client.IncompleteRead):
            link.getresponse().read()


def test_a_silent_visitor_keeps_nobody_waiting(ask: Ask) -> None:
    """One that connects and says nothing, another that sends garbage."""
    host, _, port = ask.authority.partition(":")  # type: ignore[attr-defined]
    with socket.create_connection((host, int(port))), socket.create_connection((host, int(port))) as loud:
        loud.sendall(b"\0" * 1000 + b"\r\n\r\n")
        assert ask(blob_path())[0] == 200


def test_after_the_block_nobody_answers(opener: Callable[[Digest], int]) -> None:
    """The token is worth nothing any more."""
    endpoint = Endpoint(opener, listen=("127.0.0.1", 0), shown="127.0.0.1", token=TOKEN)
    with endpoint.serving(MODEL.name, MODEL.manifest) as served:
        host, _, port = served.reference.partition("/")[0].partition(":")
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((host, int(port)), timeout=1)


def test_an_address_that_is_not_ours(opener: Callable[[Digest], int]) -> None:
    """A setting's error."""
    endpoint = Endpoint(opener, listen=("192.0.2.1", 0), shown="192.0.2.1", token=TOKEN)
    with pytest.raises(BadSetting, match="listen"), endpoint.serving(MODEL.name, MODEL.manifest):
        pass
