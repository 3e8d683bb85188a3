"""Nobody gets in by a forgotten check, a foreign name, another site's page, or an old secret (T13-T17)."""

from collections.abc import Mapping
from datetime import timedelta

import pytest

from modelward.api.access import COOKIE, Access, Asking, Listen, Throttle, hosts_of, require_fit
from modelward.api.problem import Forbidden, TooMany, WrongHost
from modelward.api.route import BASE, Route
from modelward.api.routes import ROUTES
from modelward.api.server import Running
from modelward.client import Answer, Client, part
from modelward.domain.access import Scope
from modelward.domain.answer import Problem, Session
from modelward.domain.codec import decode
from modelward.domain.errors import BadSetting
from modelward.testing import FrozenClock
from tests.api.stage import MODEL, Stage, client
from tests.places import BEGIN

GUARDED = [route for route in ROUTES if route.scope is not None]
JSON = {"content-type": "application/json"}
PUBLIC = {"/livez", "/readyz", f"{BASE}/session"}


def address(route: Route) -> str:
    """The operation's address with something in each of its gaps."""
    return route.template.replace("{name}", part(MODEL)).replace("{id}", "0")


def ids(route: Route) -> str:
    """The operation in words."""
    return f"{route.method} {route.template}"


def ask(guard: Client, route: Route, headers: Mapping[str, str] | None = None) -> Answer:
    """Ask for the operation with an empty object, where it takes a body."""
    body = b"{}" if route.body is not None else None
    return guard.raw(route.method, address(route), body, {**(JSON if body else {}), **(headers or {})})


def problem(answer: Answer) -> Problem:
    """The problem document of an answer."""
    assert answer.headers["content-type"] == "application/problem+json", answer
    found = decode(answer.body, Problem)
    assert found.status == answer.status
    assert found.title
    assert found.detail
    return found


def test_only_health_and_the_login_are_for_everybody() -> None:
    """An operation without a scope is an exception that somebody decided on (T16)."""
    assert {route.path for route in ROUTES if route.scope is None} == PUBLIC
    assert [route.path for route in ROUTES if route.method != "GET" and route.scope is Scope.READ] == [
        f"{BASE}/session"  # logging oneself out
    ]


def test_every_operation_refuses_who_has_no_token(stage: Stage, anyone: Client) -> None:
    """Without a token each operation but the public ones answers 401 (T16)."""
    stage.token(Scope.READ)
    for route in GUARDED:
        answer = ask(anyone, route)
        assert answer.status == 401, ids(route)
        assert answer.headers["www-authenticate"].startswith("Bearer"), ids(route)
        assert "modelward token create" in problem(answer).next_step


def test_every_operation_refuses_an_expired_token(stage: Stage, running: Running) -> None:
    """A token that has ended is none (T17)."""
    guard = client(running, stage.token(Scope.ADMIN, timedelta(seconds=30)))
    assert guard.health().live
    stage.clock.advance(seconds=31)
    for number, route in enumerate(GUARDED):
        if number % 5 == 0:
            stage.clock.advance(seconds=61)  # else the address would have to wait
        assert ask(guard, route).status == 401, ids(route)


@pytest.mark.parametrize("held", [Scope.READ, Scope.OPERATE])
def test_every_operation_refuses_too_small_a_scope(stage: Stage, running: Running, held: Scope) -> None:
    """What a scope does not allow answers 403 and names the scope that is needed (T16)."""
    guard = client(running, stage.token(held))
    beyond = [route for route in GUARDED if route.scope is not None and not held.allows(route.scope)]
    assert beyond
    for route in beyond:
        answer = ask(guard, route)
        assert answer.status == 403, ids(route)
        assert f"the scope {route.scope}" in problem(answer).detail


def test_a_token_of_the_right_scope_is_let_in(stage: Stage, running: Running) -> None:
    """No operation answers 401 or 403 to a token of its scope, so the refusals above are about the scope."""
    for scope in Scope:
        guard = client(running, stage.token(scope))
        allowed = [r for r in GUARDED if r.scope is scope and not r.path.endswith("/events")]
        for route in allowed:
            assert ask(guard, route).status not in (401, 403), ids(route)


def test_a_revoked_token_ends_at_once(stage: Stage, running: Running) -> None:
    """Revoking works on the running guard, for the token and for the sessions that it opened (T17)."""
    secret, token = stage.tokens.create("laptop", Scope.OPERATE, timedelta(days=1))
    guard = client(running, secret)
    cookie = log_in(client(running), secret)
    assert guard.health().live
    assert client(running).raw("GET", f"{BASE}/health", None, cookie).status == 200
    stage.tokens.revoke(token.id)
    stage.token(Scope.READ)  # so that a token is still demanded
    assert guard.raw("GET", f"{BASE}/health").status == 401
    assert client(running).raw("GET", f"{BASE}/health", None, cookie).status == 401


@pytest.mark.parametrize(
    "given",
    ["Bearer", "Bearer ", "Bearer mw_no", "Basic bXc6bXc=", "mw_no", "Bearer \xe4\xf6", "Bearer " + "x" * 5000],
)
def test_what_is_no_token_is_refused_even_where_none_is_demanded(anyone: Client, given: str) -> None:
    """Somebody who shows a wrong secret is not treated as somebody without one."""
    assert anyone.raw("GET", f"{BASE}/health", None, {"authorization": given}).status == 401


def test_many_wrong_tokens_make_an_address_wait(stage: Stage, running: Running) -> None:
    """After ten wrong tokens a minute an address waits, even for its right one; then it may try again (T17)."""
    right, wrong = client(running, stage.token()), client(running, "mw_wrong")
    statuses = [wrong.raw("GET", f"{BASE}/health").status for _ in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    answer = right.raw("GET", f"{BASE}/health")
    assert answer.status == 429
    assert int(answer.headers["retry-after"]) > 0
    stage.clock.advance(seconds=61)
    assert right.raw("GET", f"{BASE}/health").status == 200


def test_the_memory_of_wrong_tokens_is_bounded() -> None:
    """Whoever comes from ever new addresses fills no memory: the one that failed longest ago is forgotten (T26)."""
    throttle = Throttle(FrozenClock(BEGIN))
    for address in ("first", "second"):
        for _ in range(10):
            throttle.fail(address)
    for number in range(1_023):
        throttle.fail(f"address {number}")
    throttle.require("first")
    with pytest.raises(TooMany):
        throttle.require("second")


def test_without_any_token_this_machine_may_operate_but_not_administer(anyone: Client) -> None:
    """On loopback, before the first token, everybody here reads and starts jobs, and can lose nothing."""
    assert anyone.get("/session", Session) == Session(name="this machine", scope="operate", open=True)
    assert anyone.raw("POST", f"{BASE}/brake/release").status == 403
    forget = b'{"verb":"forget","options":{}}'
    answer = anyone.raw("POST", f"{BASE}/jobs", forget, JSON)
    assert answer.status == 403
    assert "admin" in problem(answer).detail
    dry = b'{"verb":"forget","options":{"dry_run":true}}'
    assert anyone.raw("POST", f"{BASE}/jobs", dry, JSON).status == 202


# Names that the guard goes by.


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost", "localhost.", "[::1]", ""])
@pytest.mark.parametrize("path", ["/livez", "/api/v1/models", "/metrics", "/nothing", "/static/app.js"])
def test_a_foreign_host_name_is_refused_everywhere(anyone: Client, host: str, path: str) -> None:
    """A name that was made to point here reaches nothing, not even an error's page (T13)."""
    answer = anyone.raw("GET", path, None, {"host": host})
    assert answer.status == 421
    problem(answer)


def test_the_own_names_are_let_in(stage: Stage, running: Running) -> None:
    """Loopback in its three forms is the guard's own, each with the port, in any case."""
    port = running.address.rpartition(":")[2]
    guard = client(running)
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"LOCALHOST:{port}", f"[::1]:{port}"):
        assert guard.raw("GET", "/livez", None, {"host": host}).status == 200
    del stage


@pytest.mark.parametrize(
    ("listen", "allowed", "names"),
    [
        ("127.0.0.1:8484", (), {"127.0.0.1:8484", "localhost:8484", "[::1]:8484"}),
        ("[::1]:8484", (), {"127.0.0.1:8484", "localhost:8484", "[::1]:8484"}),
        ("192.168.1.5:80", (), {"192.168.1.5:80"}),
        ("unix:/run/mw.sock", ("Guard",), {"localhost", "guard"}),
        (
            "0.0.0.0:8484",
            ("Models.Example.org", "other:443"),
            {"0.0.0.0:8484", "models.example.org", "models.example.org:8484", "other:443"},
        ),
    ],
)
def test_the_list_of_host_names(listen: str, allowed: tuple[str, ...], names: set[str]) -> None:
    """The guard's own address and the names of the setting, each with its port; never a pattern (T13)."""
    assert hosts_of(Listen.parse(listen), allowed) == names


def test_the_address_that_a_connection_came_to_is_a_name_too(stage: Stage) -> None:
    """A guard on all addresses may be called by any of them, and by no name that only leads to one (T13)."""
    access = Access(stage.tokens, stage.clock, hosts_of(Listen.parse("0.0.0.0:8484"), ()))
    own = "192.168.1.5:8484"
    access.require_host(Asking("GET", {"host": own}, "x", own_address=own))
    with pytest.raises(WrongHost):
        access.require_host(Asking("GET", {"host": "rebound.example:8484"}, "x", own_address=own))
    with pytest.raises(WrongHost):
        access.require_host(Asking("GET", {}, "x"))


# Pages of other sites, and our own.


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:1"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
    ids=lambda headers: next(iter(headers.values())),
)
def test_a_page_of_another_site_changes_nothing(stage: Stage, anyone: Client, headers: dict[str, str]) -> None:
    """Each operation that is no reading refuses what another site's page asks for, token or not (T14)."""
    for route in ROUTES:
        if route.method != "GET":
            answer = ask(anyone, route, headers)
            assert answer.status == 403, ids(route)
            assert "another site" in problem(answer).detail
    assert stage.jobs.list() == ()


def test_a_form_of_another_site_is_no_json(anyone: Client) -> None:
    """What a browser sends without asking first, a form, is not taken for a request (T14)."""
    body = b'{"verb":"backup","options":{}}'
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        assert anyone.raw("POST", f"{BASE}/jobs", body, {"content-type": kind}).status == 415


def log_in(guard: Client, secret: str) -> dict[str, str]:
    """The cookie header of a new session."""
    answer = guard.raw("POST", f"{BASE}/session", b'{"token":"%b"}' % secret.encode(), JSON)
    assert answer.status == 201, answer
    return {"cookie": answer.headers["set-cookie"].partition(";")[0]}


def test_a_session_reads_with_its_cookie_and_writes_with_its_proof(stage: Stage, running: Running) -> None:
    """A browser's cookie is enough for reading; a change needs our page's origin and its proof as well (T14)."""
    guard, cookie = client(running), log_in(client(running), stage.token(Scope.OPERATE))
    found = decode(guard.raw("GET", f"{BASE}/session", None, cookie).body, Session)
    assert (found.scope, found.open) == ("operate", False)
    body, own = b'{"verb":"backup","options":{}}', {"origin": running.address, **JSON, **cookie}
    proof = {"x-csrf-token": found.csrf}
    assert guard.raw("POST", f"{BASE}/jobs", body, own).status == 403
    assert guard.raw("POST", f"{BASE}/jobs", body, {**own, "x-csrf-token": "0" * 64}).status == 403
    assert guard.raw("POST", f"{BASE}/jobs", body, {**JSON, **cookie, **proof}).status == 403, "without an origin"
    assert guard.raw("POST", f"{BASE}/jobs", body, {**own, **proof}).status == 202


def test_the_cookie_is_closed_to_scripts_and_other_sites(stage: Stage, running: Running) -> None:
    """HttpOnly and SameSite=Strict; Secure only where the way is encrypted."""
    body = b'{"token":"%b"}' % stage.token().encode()
    header = client(running).raw("POST", f"{BASE}/session", body, JSON).headers["set-cookie"]
    assert header.startswith(f"{COOKIE}=mws_")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= {word.strip() for word in header.split(";")}
    assert "Secure" not in header


def test_logging_out_ends_the_session_on_the_server(stage: Stage, running: Running) -> None:
    """A cookie that was kept somewhere is worth nothing after the logout (T17)."""
    guard, cookie = client(running), log_in(client(running), stage.token())
    csrf = decode(guard.raw("GET", f"{BASE}/session", None, cookie).body, Session).csrf
    proof = {"origin": running.address, "x-csrf-token": csrf, **cookie}
    answer = guard.raw("DELETE", f"{BASE}/session", None, proof)
    assert answer.status == 204
    assert "Max-Age=0" in answer.headers["set-cookie"]
    assert guard.raw("GET", f"{BASE}/health", None, cookie).status == 401


def test_a_session_ends_after_half_a_day_and_with_its_token(stage: Stage, running: Running) -> None:
    """No session is eternal, and none outlives the token that opened it (T17)."""
    guard = client(running)
    long = log_in(guard, stage.token(Scope.READ, timedelta(days=30)))
    short = log_in(guard, stage.token(Scope.READ, timedelta(hours=1)))
    stage.clock.advance(minutes=61)
    assert guard.raw("GET", f"{BASE}/health", None, long).status == 200
    assert guard.raw("GET", f"{BASE}/health", None, short).status == 401
    stage.clock.advance(hours=11)
    assert guard.raw("GET", f"{BASE}/health", None, long).status == 401


def test_a_sessions_secret_is_no_token_and_a_token_no_session(stage: Stage, running: Running) -> None:
    """A cookie's secret works as a cookie only, so that a leaked one cannot be used by programs, nor the reverse."""
    secret = stage.token(Scope.ADMIN)
    cookie = log_in(client(running), secret)
    held = cookie["cookie"].partition("=")[2]
    assert client(running, held).raw("GET", f"{BASE}/health").status == 401
    assert client(running).raw("GET", f"{BASE}/health", None, {"cookie": f"{COOKIE}={secret}"}).status == 401


@pytest.mark.parametrize("cookie", ["modelward_session", "modelward_session=", "=;;=", "a=\x01", "a@b=c", "x" * 3000])
def test_a_broken_cookie_is_nobody(stage: Stage, anyone: Client, cookie: str) -> None:
    """A cookie header that cannot be read counts as none."""
    stage.token()
    assert anyone.raw("GET", f"{BASE}/health", None, {"cookie": cookie}).status in (400, 401)


def test_a_wrong_token_opens_no_session(stage: Stage, anyone: Client) -> None:
    """The login answers 401 to a wrong token, and 429 when it is tried again and again (T17)."""
    stage.token()
    statuses = [anyone.raw("POST", f"{BASE}/session", b'{"token":"mw_x"}', JSON).status for _ in range(11)]
    assert statuses == [401] * 10 + [429]


def test_csrf_is_not_asked_of_a_token(stage: Stage, running: Running) -> None:
    """A header that no browser sends by itself needs no proof beside it."""
    guard = client(running, stage.token(Scope.OPERATE))
    assert guard.start("backup").kind == "backup"


# Where it may be served.


@pytest.mark.parametrize(
    ("listen", "has", "expected"),
    [
        ("127.0.0.1:1", "", Scope.OPERATE),
        ("localhost:1", "", Scope.OPERATE),
        ("[::1]:1", "", Scope.OPERATE),
        ("unix:/run/x", "", Scope.ADMIN),
        ("0.0.0.0:1", "tls", "token"),
        ("0.0.0.0:1", "token", "clear"),
        ("192.168.1.5:1", "token tls", None),
        ("guard.example:1", "token proxy", None),
        ("127.0.0.1:1", "proxy", "token"),
        ("127.0.0.1:1", "token proxy", None),
    ],
)
def test_where_the_guard_may_be_served(stage: Stage, listen: str, has: str, expected: object) -> None:
    """Others can reach it only with a token, and only over TLS, its own or a proxy's (T15)."""
    tls, proxy = "tls" in has, "proxy" in has
    if "token" in has:
        stage.token()
    if isinstance(expected, str) and not isinstance(expected, Scope):
        with pytest.raises(BadSetting, match=expected):
            require_fit(Listen.parse(listen), stage.tokens, tls=tls, behind_proxy=proxy)
    else:
        assert require_fit(Listen.parse(listen), stage.tokens, tls=tls, behind_proxy=proxy) == expected


@pytest.mark.parametrize("text", ["", "8484", "127.0.0.1", "127.0.0.1:x", ":8484", "unix:", "127.0.0.1:70000"])
def test_what_is_no_place_to_listen(text: str) -> None:
    """A text that is neither an address with a port nor a socket's path is an error that says what to write."""
    with pytest.raises(BadSetting) as caught:
        Listen.parse(text)
    assert "127.0.0.1:8484" in caught.value.next_step


def test_same_site_check_lets_programs_and_own_pages_pass(stage: Stage) -> None:
    """A program sends no origin, our own page sends ours; a reading is never refused for it (T14)."""
    access = Access(stage.tokens, stage.clock, {"guard:1"})
    for headers in ({"host": "guard:1"}, {"host": "guard:1", "origin": "http://guard:1"}):
        access.require_same_site(Asking("POST", headers, "x"))
    other = {"host": "guard:1", "origin": "http://evil"}
    access.require_same_site(Asking("GET", other, "x"))
    with pytest.raises(Forbidden):
        access.require_same_site(Asking("POST", other, "x"))
