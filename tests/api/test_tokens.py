"""Tokens: shown once, kept as a hash, good for a time, and the same for two processes (T17)."""

import threading
from datetime import timedelta
from pathlib import Path

import pytest

from modelward.api.tokens import FILE, Tokens, csrf_of
from modelward.bootstrap import SystemClock
from modelward.domain.access import Scope
from modelward.domain.codec import encode
from modelward.domain.errors import BadObject, BadSetting, ModelwardError, UnknownToken
from modelward.testing import FrozenClock
from tests.places import BEGIN

DAY = timedelta(days=1)


@pytest.fixture
def clock() -> FrozenClock:
    """A clock that stands still."""
    return FrozenClock(BEGIN)


@pytest.fixture
def tokens(tmp_path: Path, clock: FrozenClock) -> Tokens:
    """No tokens yet."""
    return Tokens(tmp_path / "state", clock)


def test_a_token_is_kept_as_a_hash_only(tokens: Tokens, tmp_path: Path) -> None:
    """The file has mode 0600 and nothing of the token's text, which has a prefix that scanners find."""
    secret, token = tokens.create("laptop", Scope.READ, DAY)
    file = tmp_path / "state" / FILE
    assert secret.startswith("mw_")
    assert len(secret) > 40
    assert file.stat().st_mode & 0o777 == 0o600
    assert secret.removeprefix("mw_") not in file.read_text()
    assert tokens.check(secret) == token
    assert tokens.check(secret[:-1]) is None
    assert tokens.check("") is None


def test_a_token_ends(tokens: Tokens, clock: FrozenClock) -> None:
    """At its end it is worth nothing, and it still counts as made, so that the door does not open."""
    secret, _ = tokens.create("laptop", Scope.READ, DAY)
    clock.advance(days=1, seconds=-1)
    assert tokens.check(secret) is not None
    clock.advance(seconds=1)
    assert tokens.check(secret) is None
    assert tokens.any()


def test_two_processes_see_one_list(tokens: Tokens, tmp_path: Path, clock: FrozenClock) -> None:
    """What the command line makes and revokes counts in a running guard at once."""
    guard = Tokens(tmp_path / "state", clock)
    assert not guard.any()
    secret, token = tokens.create("laptop", Scope.ADMIN, DAY)
    assert guard.check(secret) == token
    assert tokens.revoke("laptop") == token
    assert guard.check(secret) is None
    assert guard.list() == ()


def test_many_at_once_are_all_kept(tmp_path: Path) -> None:
    """Twelve tokens that are made at the same time do not overwrite one another."""
    clock = SystemClock()
    threads = [
        threading.Thread(target=Tokens(tmp_path, clock).create, args=(f"t{number}", Scope.READ, DAY))
        for number in range(12)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert {token.name for token in Tokens(tmp_path, clock).list()} == {f"t{number}" for number in range(12)}


def test_revoking_needs_one_that_is_meant(tokens: Tokens) -> None:
    """A name that two tokens have, and one that none has, revoke nothing."""
    tokens.create("twin", Scope.READ, DAY)
    _, second = tokens.create("twin", Scope.READ, DAY)
    for wanted in ("twin", "nobody", ""):
        with pytest.raises(UnknownToken):
            tokens.revoke(wanted)
    assert tokens.revoke(second.id) == second
    assert len(tokens.list()) == 1


@pytest.mark.parametrize("name", ["", "x" * 61, "a\nb", "\x1b[31m"])
def test_a_name_is_short_and_printable(tokens: Tokens, name: str) -> None:
    """Names stand in logs and lists, so they hold no control characters (T19)."""
    with pytest.raises(BadSetting):
        tokens.create(name, Scope.READ, DAY)
    with pytest.raises(BadSetting):
        tokens.create("laptop", Scope.READ, timedelta())


def test_sessions_are_bounded(tokens: Tokens, clock: FrozenClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of logins ends at a limit, and sessions that have ended make room again (T26)."""
    monkeypatch.setattr("modelward.api.tokens._MOST", 21)
    _, token = tokens.create("laptop", Scope.READ, timedelta(days=30))
    held = [tokens.open_session(token) for _ in range(20)]
    assert len({secret for secret, _ in held}) == 20
    assert tokens.list() == (token,)
    with pytest.raises(BadSetting, match="too many tokens and sessions"):
        tokens.open_session(token)
    with pytest.raises(BadSetting, match="too many tokens and sessions"):
        tokens.create("phone", Scope.READ, DAY)
    clock.advance(hours=13)
    tokens.open_session(token)
    assert tokens.check(held[0][0], session=True) is None


def test_what_is_shown_of_a_token_is_no_help_to_a_thief(tokens: Tokens) -> None:
    """Its name, its scope and its times: neither the text nor the hash."""
    secret, token = tokens.create("laptop", Scope.OPERATE, DAY)
    shown = encode(token.view).decode()
    assert (token.view.name, token.view.scope, token.view.expires_at) == ("laptop", Scope.OPERATE, BEGIN + DAY)
    assert secret not in shown
    assert token.hash not in shown


def test_a_file_that_is_damaged_lets_nobody_in(tokens: Tokens, tmp_path: Path) -> None:
    """Tokens that cannot be read are an error, never an open door."""
    tokens.create("laptop", Scope.READ, DAY)
    (tmp_path / "state" / FILE).write_text("{")
    with pytest.raises(BadObject):
        tokens.any()
    with pytest.raises(ModelwardError):
        tokens.check("mw_x")


def test_the_proof_of_a_page_is_of_its_session() -> None:
    """The proof follows from the session's secret, differs between sessions, and does not give it away."""
    assert csrf_of("mws_a") == csrf_of("mws_a") != csrf_of("mws_b")
    assert "mws_a" not in csrf_of("mws_a")


def test_scopes_contain_one_another() -> None:
    """Admin may operate, operate may read, and never the other way."""
    allowed = {(held, needed) for held in Scope for needed in Scope if held.allows(needed)}
    assert allowed == {
        (Scope.READ, Scope.READ),
        (Scope.OPERATE, Scope.READ),
        (Scope.OPERATE, Scope.OPERATE),
        (Scope.ADMIN, Scope.READ),
        (Scope.ADMIN, Scope.OPERATE),
        (Scope.ADMIN, Scope.ADMIN),
    }
