"""Lead every client of ours inside, in a network of its own: ``python -m tests.campaign.led_astray BASE FIRST STEP``.

Each attack says which addresses may be asked; the room sees which ones were. Prints one JSON object of counts; whatever
goes where it may not, and every credential that reaches another host than its own, ends it with a traceback.
"""

import json
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from pathlib import Path
from types import MappingProxyType

import msgspec

from modelward import config
from modelward.bootstrap import Wish, open_settings
from modelward.client import Client
from modelward.domain.digest import Digest
from modelward.domain.errors import ModelwardError
from modelward.domain.name import ModelName
from modelward.guard.verbs import VERBS
from modelward.notify.apprise_ import AppriseNotifier
from modelward.notify.deadman import DeadmanPing
from modelward.notify.webhook import WebhookNotifier
from modelward.registry.client import RegistryClient
from modelward.registry.request import Limits
from modelward.runtimes.host import parse_host
from modelward.runtimes.ollama import OllamaRuntime
from modelward.testing import FakeStore, FrozenClock
from tests.campaign import lures
from tests.campaign.room import LAN, OTHER, PROXY, REGISTRY, Heard, Room
from tests.notify.notices import NOTICE
from tests.places import BEGIN, Notes

CANARY = "c4n4ry-of-the-registry"
BLOB = Digest("a" * 64)
LIMITS = Limits(connect=1.0, stall=1.0, base=2.0, wait=0.0, attempts=2)
MODEL = ModelName.parse("registry.test/library/llama3")
INSIDE = ModelName.parse("lan.test/library/llama3")
PLAIN = ("registry.test", "lan.test", "other.test")
NOTHING: Mapping[str, str] = MappingProxyType({})


class Clock(FrozenClock):
    """Waits for nothing, but its deadlines are real ones."""

    def __init__(self) -> None:
        super().__init__(BEGIN)

    def monotonic(self) -> float:
        """The machine's own seconds."""
        import time

        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Not at all."""


@dataclass(frozen=True)
class Attack:
    """What is done, what the room answers meanwhile, and which addresses may be asked for it."""

    kind: str
    lure: str
    work: Callable[[], object]
    script: Callable[[Heard], tuple[int, dict[str, str], bytes] | None]
    allowed: frozenset[str]


# The clients, each doing all that it can.

Ask = Callable[[RegistryClient], object]


def asks(model: ModelName) -> tuple[Ask, ...]:
    """Every question that a registry can be asked."""
    repository, view = model.repository, memoryview(bytearray(10))
    return (
        lambda client: client.manifest(model),
        lambda client: client.blob_size(repository, BLOB),
        lambda client: [client.read_range(repository, BLOB, 0, view) for _ in range(2)],
        lambda client: client.upload_blob(repository, BLOB, 5, iter([b"bytes"])),
        lambda client: client.put_manifest(repository, "latest", b"{}", "application/json"),
    )


def registry(model: ModelName, environ: Mapping[str, str] = NOTHING, plain: tuple[str, ...] = PLAIN) -> None:
    """Each question by a client of its own, so that none profits from what another one met."""
    for ask in asks(model):
        one_client(ask, environ=environ, plain=plain)


def one_client(*wanted: Ask, environ: Mapping[str, str] = NOTHING, plain: tuple[str, ...] = PLAIN) -> None:
    """All these questions by one client."""
    with closing(RegistryClient(Clock(), plain_http=plain, environ=environ, limits=LIMITS)) as client:
        for ask in wanted:
            with suppress(ModelwardError):
                ask(client)


def server(host: str) -> None:
    """Every question that the server can be asked."""
    runtime = OllamaRuntime(parse_host(host), Clock(), connect_seconds=1.0, read_seconds=2.0, stall_seconds=2.0)
    for ask in (
        runtime.version,
        runtime.tags,
        runtime.loaded,
        lambda: runtime.show("llama3"),
        lambda: list(runtime.pull("llama3")),
        lambda: runtime.probe("llama3", seconds=1.0),
        lambda: runtime.copy("llama3", "other"),
    ):
        with suppress(ModelwardError):
            ask()


def notices(url: str) -> None:
    """A webhook and a sign of life."""
    with suppress(ModelwardError):
        WebhookNotifier(url, CANARY, host="box", clock=Clock(), environ={}, seconds=2.0).send(NOTICE)
    with suppress(ModelwardError):
        DeadmanPing(url, environ={}, seconds=2.0).ping()


def apprise(url: str) -> None:
    """A channel of Apprise, in its own process."""
    environ = {"PYTHONPATH": ":".join(path for path in sys.path if path), "PATH": "/usr/bin:/bin"}
    with suppress(ModelwardError):
        AppriseNotifier(url, 1, host="box", environ=environ, seconds=30.0).send(NOTICE)


def guard(address: str) -> None:
    """The client of the guard's own API, with a token."""
    for ask in (lambda client: list(client.models()), lambda client: client.start("verify")):
        with suppress(ModelwardError), suppress(ValueError):
            ask(Client(address, token=CANARY, timeout=2.0))


def asked_by_api(base: Path, host: str) -> None:
    """Somebody with a token asks the guard to go there, by each verb that takes a place."""
    flags = {"store": str(base / "store"), "vault": str(base / "vault"), "state": str(base / "state")}
    settings = config.resolve(flags, {}, platform="linux", home=base, cwd=base).settings
    wishes = (("pull", {"model": f"{host}/a/b"}), ("push", {"model": "llama3", "target": f"{host}/a/b"}))
    for verb, options in (*wishes, ("fetch", {"source": f"{host}/a/b"})):
        row = VERBS[verb]
        with suppress(ModelwardError, msgspec.ValidationError):
            wished = msgspec.convert(options, row.options, dec_hook=lambda kind, text: kind.parse(text))
            with open_settings(settings, Wish(create_vault=True), lambda _: _quiet()) as place:
                row.run(place, wished, _Job())  # type: ignore[arg-type] # a job that nobody watches


def _quiet() -> "closing[_Quiet]":
    return closing(_Quiet())


class _Quiet(Notes):
    def close(self) -> None:
        """Nothing to close."""


class _Job:
    stop = threading.Event()


# What the room answers.


def misleading(
    status: int, where: str, header: str = "Location"
) -> Callable[[Heard], tuple[int, dict[str, str], bytes]]:
    """Whoever is in the registry's place leads away."""
    return lambda heard: (status, {header: where}, b"") if heard.address in (REGISTRY, LAN, PROXY) else _pleasing(heard)


def _pleasing(heard: Heard) -> tuple[int, dict[str, str], bytes]:
    if heard.method == "POST":
        return 202, {"Location": f"{heard.target}1"}, b""
    return 200, {}, json.dumps({"token": "stolen"}).encode()


def after_login(
    then: Callable[[Heard], tuple[int, dict[str, str], bytes]],
) -> Callable[[Heard], tuple[int, dict[str, str], bytes]]:
    """A registry that hands a token out first, and then does something else."""

    def script(heard: Heard) -> tuple[int, dict[str, str], bytes]:
        if heard.address != REGISTRY:
            return _pleasing(heard)
        if heard.target.startswith("/token"):
            return 200, {}, json.dumps({"token": CANARY, "expires_in": 3600}).encode()
        if heard.headers.get("authorization") != f"Bearer {CANARY}":
            return 401, {"WWW-Authenticate": 'Bearer realm="http://registry.test/token",service="x",scope="y"'}, b""
        return then(heard)

    return script


def in_two_steps(where: str) -> Callable[[Heard], tuple[int, dict[str, str], bytes]]:
    """First to another host outside, which nobody minds, and from there inside."""

    def script(heard: Heard) -> tuple[int, dict[str, str], bytes]:
        return 307, {"Location": "http://other.test/x" if heard.address == REGISTRY else where}, b""

    return script


def tokens_server(where: str) -> Callable[[Heard], tuple[int, dict[str, str], bytes]]:
    """The registry's own place of tokens leads away."""

    def script(heard: Heard) -> tuple[int, dict[str, str], bytes]:
        if heard.target.startswith("/token"):
            return 302, {"Location": where}, b""
        return 401, {"WWW-Authenticate": 'Bearer realm="http://registry.test/token"'}, b""

    return script


def leads_out(lure: str) -> bool:
    """Whether an address that looks bad is, as the standard reads it, one of the host outside."""
    return "other.test" in lure


# The attacks.


def attacks(base: Path) -> Iterator[Attack]:
    """All of them."""
    store = FakeStore(base / "store")
    store.add_model("llama3", b"weights")
    yield from chain.from_iterable(_by(number, lure) for number, lure in enumerate(lures.addresses()))
    yield from (attack for name in lures.turning() for attack in _turning(name))
    for number, host in enumerate(lures.inside()):
        if host not in lures.PRIVATE and host not in ("127.0.0.1", "[::1]"):
            yield from _named(host, number)
        yield from _asked(base, host)
    for host in lures.METADATA:
        url = f"http://{host}/latest/meta-data/"
        for kind, work in (("webhook's own address", notices), ("server's own address", server)):
            yield Attack(kind, host, partial(work, url), lambda _: None, frozenset())


def _by(number: int, lure: str) -> Iterator[Attack]:
    """Every way in which somebody outside can name this address."""
    out, ways = frozenset({REGISTRY, OTHER}), frozenset({REGISTRY})
    model = partial(registry, MODEL)
    status = (301, 302, 303, 307, 308)[number % 5]
    realm = f'Bearer realm="{lure}",service="x",scope="y"'
    yield Attack("redirect", lure, model, misleading(status, lure), out)
    yield Attack("redirect after a login", lure, model, after_login(misleading(status, lure)), out)
    yield Attack("redirect in two steps", lure, model, in_two_steps(lure), out)
    yield Attack("place for an upload", lure, model, misleading(202, lure), ways)
    yield Attack("realm of a login", lure, model, misleading(401, realm, "WWW-Authenticate"), ways)
    yield Attack("redirect of the place of tokens", lure, model, tokens_server(lure), ways)
    yield Attack(
        "redirect by a proxy",
        lure,
        partial(model, {"http_proxy": f"http://{PROXY}:3128"}),
        misleading(status, lure),
        frozenset({PROXY, OTHER}),
    )
    yield Attack("redirect of a server", lure, partial(server, "http://registry.test"), misleading(status, lure), ways)
    yield Attack(
        "redirect of a webhook", lure, partial(notices, "http://registry.test/hook"), misleading(status, lure), ways
    )
    yield Attack("redirect of a guard", lure, partial(guard, "http://registry.test"), misleading(status, lure), ways)
    if number % 12 == 0:
        yield Attack(
            "redirect of Apprise", lure, partial(apprise, "json://registry.test/"), misleading(status, lure), ways
        )
    if not any(host in lure for host in lures.PRIVATE):
        within = frozenset({LAN, OTHER, "10.0.0.1", "192.168.1.1"})
        yield Attack("redirect of a registry inside", lure, partial(registry, INSIDE), misleading(status, lure), within)


def _turning(name: str) -> Iterator[Attack]:
    """Names that lead elsewhere the second time: where a registry leads to, and the registry itself."""
    out = frozenset({REGISTRY, OTHER})
    redirect = misleading(307, f"http://{name}/")
    yield Attack("redirect to a name that turns", name, partial(one_client, *asks(MODEL)), redirect, out)
    for number, plain in enumerate((True, False)):
        host = f"{name.removesuffix('.test')}{number}.test:80"
        wanted = asks(ModelName.parse(f"{host}/library/llama3"))
        work = partial(one_client, *wanted, plain=(host,) if plain else ())
        yield Attack("registry whose name turns", host, work, lambda _: None, out)


def _named(host: str, number: int) -> Iterator[Attack]:
    """A model that is called after an address of this machine, in other words than its own."""
    with suppress(ModelwardError):
        model = ModelName.parse(f"{host}{('', ':5000', ':443')[number % 3]}/library/llama3")
        if not host.lower().rstrip(".").endswith("localhost") and not host.startswith("127."):
            yield Attack("name of a model", host, partial(registry, model, plain=()), lambda _: None, frozenset())


def _asked(base: Path, host: str) -> Iterator[Attack]:
    yield Attack("wish by the API", host, partial(asked_by_api, base, host), lambda _: None, frozenset())


def judge(attack: Attack, room: Room) -> None:
    """Nothing asked but what may be, and no credential anywhere but where it belongs."""
    asked = {address for address, _ in room.asked()}
    assert asked <= attack.allowed, (attack.kind, attack.lure, sorted(asked - attack.allowed))
    for heard in room.heard:
        if heard.address == PROXY:
            host = heard.target.removeprefix("http://").partition("/")[0]
            assert host.partition(":")[0] in ("registry.test", "other.test"), (attack.lure, heard)
        if CANARY in repr(heard.headers) + heard.target:
            assert heard.address == REGISTRY, (attack.kind, attack.lure, heard)


def main() -> None:
    """Do every STEP-th attack from the FIRST on, and what shows that the room would see an attack that works."""
    base, first, step = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    base.mkdir(parents=True, exist_ok=True)
    counts: Counter[str] = Counter()
    with Room() as room:
        controls(room)
        for attack in islice(attacks(base), first, None, step):
            room.heard.clear()
            room.asked()
            room.script = attack.script
            attack.work()
            judge(attack, room)
            counts[attack.kind] += 1
            counts["led astray"] += bool(room.heard)
    print(json.dumps(counts))


def controls(room: Room) -> None:
    """What may be followed is followed, and a client without a policy is caught by the very same judge."""
    import urllib.request

    room.script = after_login(lambda _: (307, {"Location": "http://other.test/x"}, b""))
    registry(MODEL)
    assert {address for address, _ in room.asked()} == {REGISTRY, OTHER}
    assert any(heard.address == OTHER for heard in room.heard)
    assert any(CANARY in heard.headers.get("authorization", "") for heard in room.heard)
    for lure in ("http://127.1/", "http://inside.test/", "http://169.254.169.254/", "http://[64:ff9b::a9fe:a9fe]/"):
        room.script = misleading(302, lure)
        with suppress(OSError):
            urllib.request.urlopen("http://registry.test/", timeout=2).read()
        try:
            judge(Attack("none", lure, lambda: None, lambda _: None, frozenset({REGISTRY})), room)
        except AssertionError:
            continue
        raise AssertionError(f"the room did not see a client that went to {lure}")


if __name__ == "__main__":
    main()
