"""The client of registries: right with good ones, bounded and unbelieving with those that lie, hang or lead astray."""

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelward.bootstrap import SystemClock
from modelward.domain.chunks import CHUNK
from modelward.domain.digest import Digest
from modelward.domain.errors import (
    BadManifest,
    BadSetting,
    ModelwardError,
    RegistryRefused,
    RegistryUnreachable,
    SourceFailed,
)
from modelward.domain.host import Reach
from modelward.domain.name import ModelName
from modelward.domain.source import Wanted
from modelward.registry.address import Origin, check, connect, reach
from modelward.registry.client import RegistryClient
from modelward.registry.request import Limits
from modelward.sources.upstream import UpstreamSource
from modelward.testing import FrozenClock
from modelward.testing.fault_proxy import FaultProxy
from modelward.testing.registry import FakeRegistry
from tests.docker_registry import running_registry
from tests.models import digest_of, pattern
from tests.places import BEGIN

DATA = pattern(3 * CHUNK + 77)
BLOB = digest_of(DATA)
UNKNOWN = Digest("0" * 64)
QUICK = Limits(connect=1, stall=0.5, base=1.0, wait=5, attempts=3)


class Fast(FrozenClock):
    """The real seconds of a deadline, without the pauses between attempts."""

    def __init__(self) -> None:
        super().__init__(BEGIN)
        self.slept = 0.0

    def monotonic(self) -> float:
        """The machine's own."""
        return SystemClock().monotonic() + self.slept

    def sleep(self, seconds: float) -> None:
        """Note it."""
        self.slept += seconds


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    """A registry with one model."""
    with FakeRegistry().running() as fake:
        fake.add("library/llama3:latest", DATA)
        yield fake


@pytest.fixture
def client(registry: FakeRegistry) -> Iterator[RegistryClient]:
    """A client for which it is the public registry."""
    mirrors = (f"registry.ollama.ai=http://{registry.address}",)
    with closing(RegistryClient(Fast(), mirrors=mirrors, limits=QUICK)) as client:
        yield client


LLAMA = ModelName.parse("llama3")
REPOSITORY = LLAMA.repository


def take(client: RegistryClient, offset: int, length: int, blob: Digest = BLOB) -> bytes:
    """A range."""
    buffer = memoryview(bytearray(b"?" * length))
    got = client.read_range(REPOSITORY, blob, offset, buffer)
    assert bytes(buffer[got:]) == b"?" * (length - got)
    return bytes(buffer[:got])


# A good registry.


def test_a_manifest_comes_to_the_byte(registry: FakeRegistry, client: RegistryClient) -> None:
    """As the tag names it."""
    assert client.manifest(LLAMA).raw == registry.manifests["library/llama3:latest"]
    with pytest.raises(RegistryRefused, match="no such thing"):
        client.manifest(ModelName.parse("nope"))


def test_an_answer_that_is_no_manifest_names_the_model(registry: FakeRegistry, client: RegistryClient) -> None:
    """A login page of the network in the registry's place: said of which model, and what to do."""
    registry.fail("manifests", "garbage")
    name = ModelName.parse(f"{registry.address}/library/llama3")
    with pytest.raises(BadManifest, match="no manifest") as caught:
        client.manifest(name)
    assert caught.value.thing == name.short
    assert "login page" in caught.value.next_step


def test_any_range_of_a_blob(client: RegistryClient) -> None:
    """From any offset; fewer bytes only at the end, none behind it."""

    @settings(max_examples=30, deadline=None)
    @given(st.integers(0, len(DATA) + 10), st.integers(1, CHUNK + 1))
    def run(offset: int, length: int) -> None:
        assert take(client, offset, length) == DATA[offset : offset + length]

    run()


def test_a_range_costs_little_more_than_its_bytes(registry: FakeRegistry, client: RegistryClient) -> None:
    """One MiB is one MiB on the wire."""
    before = registry.sent
    take(client, CHUNK, CHUNK)
    assert registry.sent - before == CHUNK


def test_sizes(client: RegistryClient) -> None:
    """By HEAD; none for what it does not have."""
    assert client.blob_size(REPOSITORY, BLOB) == len(DATA)
    assert client.blob_size(REPOSITORY, UNKNOWN) is None
    assert not client.has_blob(REPOSITORY, BLOB, len(DATA) + 1)


def test_a_connection_is_used_again(registry: FakeRegistry, client: RegistryClient) -> None:
    """Also after the server ended it meanwhile."""
    for _ in range(3):
        take(client, 0, 10)
    registry.fail("/blobs/", "reset", 1)
    assert take(client, 0, 10) == DATA[:10]


def test_several_threads_at_once(client: RegistryClient) -> None:
    """Each gets its own bytes."""
    found: dict[int, bytes] = {}

    def read(number: int) -> None:
        found[number] = take(client, number * 1000, 200_000)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {number: DATA[number * 1000 : number * 1000 + 200_000] for number in range(8)}


def test_what_is_sent_is_there(client: RegistryClient, registry: FakeRegistry) -> None:
    """Blob first, then the manifest that names it."""
    data = pattern(CHUNK + 1, 9)
    client.upload_blob(REPOSITORY, digest_of(data), len(data), iter([data[:CHUNK], data[CHUNK:]]))
    client.put_manifest(REPOSITORY, "new", b"{}", "application/json")
    assert client.has_blob(REPOSITORY, digest_of(data), len(data))
    assert registry.manifests["library/llama3:new"] == b"{}"


# Logins and redirects.


def test_an_anonymous_login(registry: FakeRegistry, client: RegistryClient) -> None:
    """A challenge of the registry's own host is answered once, and the token kept."""
    registry.token = "canary"  # noqa: S105 - no secret
    assert take(client, 0, 10) == DATA[:10]
    assert take(client, 10, 10) == DATA[10:20]
    assert len([asked for asked in registry.asked if asked.path.startswith("/token")]) == 1


def test_a_login_on_another_host_is_refused(registry: FakeRegistry, client: RegistryClient) -> None:
    """Nothing is asked there (token theft by realm)."""
    registry.aside = "localhost:1"
    registry.fail("/blobs/", "login elsewhere")
    with pytest.raises(RegistryRefused, match="another host"):
        take(client, 0, 10)


def test_a_login_for_ever_ends(registry: FakeRegistry, client: RegistryClient) -> None:
    """After one try."""
    registry.fail("/blobs/", "login for ever")
    with pytest.raises(RegistryRefused, match="login"):
        take(client, 0, 10)
    assert len(registry.asked) < 6


def test_a_redirect_loses_the_token_and_is_remembered(registry: FakeRegistry, client: RegistryClient) -> None:
    """The other server never sees it; the next range goes there directly, and back when the address is over."""
    with FakeRegistry().running() as other:
        other.hold(DATA)
        registry.token, registry.aside = "secret-canary", other.address
        assert take(client, 0, 10) == DATA[:10]
        registry.fail("/blobs/", "redirect to another server")
        assert take(client, 10, 10) == DATA[10:20]
        asked = len(registry.asked)
        assert take(client, 20, 10) == DATA[20:30]
        assert len(registry.asked) == asked
        assert all("Authorization" not in one.headers for one in other.asked)
        other.fail("/blobs/", "status 403", 1)
        assert take(client, 30, 10) == DATA[30:40]
        assert len(registry.asked) == asked + 1


@pytest.mark.parametrize("fault", ["redirect loop", "redirect to file", "redirect nowhere"])
def test_redirects_that_lead_astray(registry: FakeRegistry, client: RegistryClient, fault: str) -> None:
    """They end, with a typed error."""
    registry.fail("/blobs/", fault)
    with pytest.raises(RegistryUnreachable) as caught:
        take(client, 0, 10)
    assert caught.value.next_step


@pytest.mark.parametrize(
    "place", ["http://[]/", "http://[x/", "http://127.0.0.%31/", "http://[::1%25lo]/", "http://./"]
)
def test_redirects_to_what_is_no_address(registry: FakeRegistry, client: RegistryClient, place: str) -> None:
    """A typed error, also where a proxy behind us might decode it into an address."""
    with FaultProxy(*where(registry), lambda asker, _: asker.answer(307, b"", Location=place)).running() as proxy:
        name = ModelName.parse(f"{proxy.address}/library/llama3")
        with pytest.raises(RegistryUnreachable, match="not followed"):
            client.manifest(name)


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """A resolver of the test's own: each answer of a name once, the last one for ever."""
    known: dict[str, list[str]] = {}
    real = socket.getaddrinfo

    def look_up(host: str, port: int, **keys: Any) -> Any:  # noqa: ANN401 - as the standard library has it
        if host not in known:
            return real(host, port, **keys)
        place = known[host].pop(0) if len(known[host]) > 1 else known[host][0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in place.split()]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return known


def where(registry: FakeRegistry) -> tuple[str, int]:
    """Host and port."""
    host, _, port = registry.address.partition(":")
    return host, int(port)


@pytest.mark.parametrize("places", [["127.0.0.1"], ["169.254.169.254"], ["0.0.0.0"], ["1.1.1.1", "127.0.0.1"]])  # noqa: S104 - asked, not bound
def test_a_name_that_leads_inside(registry: FakeRegistry, names: dict[str, list[str]], places: list[str]) -> None:
    """Refused before anything is sent; also where it leads there only the second time (rebinding, T11)."""
    host = f"evil.example:{where(registry)[1]}"
    names["evil.example"] = places
    with (
        closing(RegistryClient(Fast(), limits=QUICK)) as client,
        pytest.raises(RegistryUnreachable, match=r"never|mach"),
    ):
        client.manifest(ModelName.parse(f"{host}/library/llama3"))
    assert registry.asked == []


def test_a_name_that_the_settings_give_may_lead_inside(registry: FakeRegistry, names: dict[str, list[str]]) -> None:
    """They are how a registry on this machine is allowed; where somebody far away named it, they do not help."""
    host = f"box.example:{where(registry)[1]}"
    name = ModelName.parse(f"{host}/library/llama3")
    names["box.example"] = ["127.0.0.1"]
    with closing(RegistryClient(Fast(), plain_http=(host,), limits=QUICK)) as client:
        assert client.manifest(name).raw == registry.manifests["library/llama3:latest"]
    asked = len(registry.asked)
    for outside in ({host}, {"box.example"}, {"BOX.example:1"}):
        with (
            closing(RegistryClient(Fast(), plain_http=(host,), limits=QUICK, outside=outside)) as client,
            pytest.raises(RegistryUnreachable),
        ):
            client.manifest(name)
    assert len(registry.asked) == asked


@pytest.mark.parametrize("inside", ["10.0.0.1", "127.0.0.1", "169.254.169.254"])
def test_nobody_is_led_further_inside_than_he_is(names: dict[str, list[str]], inside: str) -> None:
    """Not with one of several addresses inside, and not through a proxy that stands inside itself."""
    names |= {"registry.example": ["1.1.1.1"], "both.example": [f"1.1.1.1 {inside}"], "in.example": [inside]}
    for host in ("in.example", inside):
        origin = Origin("http", host, 80)
        with pytest.raises(RegistryUnreachable, match="not followed"):
            connect(origin, 0.1, Reach.INTERNET)
        with pytest.raises(RegistryUnreachable, match="not followed"):
            check(origin, Reach.INTERNET)
    assert reach(Origin("http", "both.example", 80), Reach.NETWORK) is Reach.INTERNET
    check(Origin("http", "nobody.invalid", 80), Reach.INTERNET)


def test_a_name_that_is_not_known_yet(registry: FakeRegistry, names: dict[str, list[str]]) -> None:
    """A look-up that failed once settles nothing."""
    host = f"box.example:{where(registry)[1]}"
    name = ModelName.parse(f"{host}/library/llama3")
    clock = Fast()
    with closing(RegistryClient(clock, plain_http=(host,), limits=QUICK)) as client:
        with pytest.raises(RegistryUnreachable, match=r"not known|moment ago"):
            client.manifest(name)
        names["box.example"] = ["127.0.0.1"]
        clock.sleep(60)
        assert client.manifest(name).raw == registry.manifests["library/llama3:latest"]


# A registry that lies: no wrong length, no endless wait.


@pytest.mark.parametrize(
    "fault",
    ["another range", "no content range", "packed", "hang", "trickle", "status 403", "status 412"],
)
def test_lies_about_ranges_are_errors(registry: FakeRegistry, client: RegistryClient, fault: str) -> None:
    """Typed, within the deadline."""
    registry.fail("/blobs/", fault)
    clock = SystemClock()
    began = clock.monotonic()
    with pytest.raises(RegistryUnreachable) as caught:
        take(client, 100, 50_000 if fault == "trickle" else len(DATA))
    assert caught.value.next_step
    assert clock.monotonic() - began < 15


@pytest.mark.parametrize("fault", ["endless", "longer than said", "shorter than said", "ignores ranges"])
def test_too_much_is_cut(registry: FakeRegistry, client: RegistryClient, fault: str) -> None:
    """What was asked for, and not a byte more."""
    registry.fail("/blobs/", fault)
    assert take(client, 100, 5000) in (DATA[100:5100], DATA[100:5099])


def test_a_registry_without_ranges_is_no_source_for_far_ones(registry: FakeRegistry, client: RegistryClient) -> None:
    """A few MiB are read over; not the whole blob for each chunk."""
    big = bytes(9 << 20) + b"tail"
    registry.hold(big)
    registry.fail("/blobs/", "ignores ranges")
    with pytest.raises(RegistryUnreachable, match="ranges"):
        take(client, 9 << 20, 4, digest_of(big))


def test_passing_trouble_is_waited_out(registry: FakeRegistry, client: RegistryClient) -> None:
    """500 and 429 once are nothing; for ever they end."""
    registry.headers["Retry-After"] = "2"
    for fault in ("status 500", "status 429"):
        registry.fail("/blobs/", fault, 1)
        assert take(client, 0, 10) == DATA[:10]
    registry.fail("/blobs/", "status 429")
    with pytest.raises(RegistryUnreachable):
        take(client, 0, 10)
    registry.headers["Retry-After"] = "86400"
    with pytest.raises(RegistryUnreachable, match="wait"):
        take(client, 0, 10)


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b'{"layers": 7}', b"\xff\xfe", b"[" * 100_000])
def test_manifests_that_are_none(registry: FakeRegistry, client: RegistryClient, raw: bytes) -> None:
    """Refused as such."""
    registry.manifests["library/llama3:latest"] = raw
    with pytest.raises(BadManifest):
        client.manifest(LLAMA)


def test_a_manifest_too_large(registry: FakeRegistry, client: RegistryClient) -> None:
    """It is not read to its end."""
    registry.manifests["library/llama3:latest"] = b" " * (5 << 20)
    with pytest.raises(RegistryUnreachable, match="more than"):
        client.manifest(LLAMA)


def test_nobody_there(client: RegistryClient) -> None:
    """And what did not answer a moment ago is not waited for again."""
    name = ModelName.parse("127.0.0.1:1/library/llama3")
    for _ in range(3):
        with pytest.raises(RegistryUnreachable) as caught:
            client.manifest(name)
    assert "moment ago" in str(caught.value)


@pytest.mark.parametrize("text", ["nonsense", "=http://x", "host=ftp://x", "host=http://user@x", "host="])
def test_mirrors_that_are_none(text: str) -> None:
    """A setting's error."""
    with pytest.raises(BadSetting):
        RegistryClient(FrozenClock(BEGIN), mirrors=(text,))


# As a source.


def test_the_source_offers_and_gives(registry: FakeRegistry, client: RegistryClient) -> None:
    """What one of the models' repositories has in its size; SourceFailed for the rest."""
    source = UpstreamSource(client)
    assert source.offers([Wanted(BLOB, len(DATA), (LLAMA,)), Wanted(UNKNOWN, 5, (LLAMA,))]) == {BLOB: ()}
    assert UpstreamSource(client).offers([Wanted(BLOB, len(DATA) + 1, (LLAMA,))]) == {}
    buffer = memoryview(bytearray(100))
    assert source.read(BLOB, 7, buffer) == 100
    assert bytes(buffer) == DATA[7:107]
    assert source.local_file(BLOB) is None
    with pytest.raises(SourceFailed):
        source.read(UNKNOWN, 0, buffer)
    registry.fail("/blobs/", "reset")
    with pytest.raises(SourceFailed):
        source.read(BLOB, 0, buffer)


def test_the_source_says_no_rather_than_raise() -> None:
    """Nobody there, or a name that no registry can have."""
    with closing(RegistryClient(Fast(), mirrors=("registry.ollama.ai=http://127.0.0.1:1",), limits=QUICK)) as client:
        assert UpstreamSource(client).offers([Wanted(BLOB, 5, (LLAMA,))]) == {}


# The real thing.


@pytest.mark.registry
def test_a_real_registry(tmp_path: Path) -> None:
    """Sent, sized, read in ranges, and its own words where it has nothing."""
    with running_registry(tmp_path) as address, closing(RegistryClient(SystemClock())) as client:
        repository, data = f"{address}/library/llama3", os.urandom(2 * CHUNK + 5)
        blob = digest_of(data)
        client.upload_blob(repository, blob, len(data), iter([data]))
        assert client.blob_size(repository, blob) == len(data)
        buffer = memoryview(bytearray(CHUNK))
        assert client.read_range(repository, blob, CHUNK, buffer) == CHUNK
        assert bytes(buffer) == data[CHUNK : 2 * CHUNK]
        assert client.read_range(repository, blob, 2 * CHUNK, buffer) == 5
        with pytest.raises(ModelwardError):
            client.upload_blob(repository, UNKNOWN, len(data), iter([data]))
        with pytest.raises(RegistryRefused):
            client.manifest_bytes(repository, "latest")
