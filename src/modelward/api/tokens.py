"""Tokens: who may read, operate and administer the guard over HTTP; kept hashed, with an end (T17)."""

import hmac
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

import msgspec

from modelward.domain.access import Scope, TokenView
from modelward.domain.codec import decode, encode
from modelward.domain.errors import BadSetting, BlobMissing, UnknownToken
from modelward.domain.snapshot import Moment
from modelward.durable import Folder, locked, put_small
from modelward.ports import Clock

PREFIX = "mw_"
SESSION_PREFIX = "mws_"
SESSION = timedelta(hours=12)
FILE = "tokens.json"
_LIMIT = 4 << 20
_MOST = 1_000  # tokens and sessions together: a flood of logins must not grow the file without end
_WAIT = 5.0


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """A token as it is kept: ``hash`` is the SHA-256 of its text, ``session_of`` the id of the token that logged in."""

    id: str
    name: str
    scope: Scope
    hash: str
    created_at: Moment
    expires_at: Moment
    session_of: str = ""

    @property
    def view(self) -> TokenView:
        """The token as it may be shown."""
        return TokenView(
            id=self.id, name=self.name, scope=self.scope, created_at=self.created_at, expires_at=self.expires_at
        )


class _Kept(msgspec.Struct, frozen=True, kw_only=True):
    tokens: tuple[Token, ...] = ()


class Tokens:
    """The tokens of one guard, in a file of its state folder that the command line and the guard both change.

    Reading it costs nothing while the file stays as it is. Safe from several threads and processes.
    """

    def __init__(self, state: Path, clock: Clock) -> None:
        self._state, self._clock = state, clock
        self._lock = threading.Lock()
        self._seen: object = None
        self._kept: tuple[Token, ...] = ()

    def list(self) -> tuple[Token, ...]:
        """All tokens, expired ones as well, without the sessions of browsers; the oldest first."""
        return tuple(token for token in self._read() if not token.session_of)

    def any(self) -> bool:
        """Whether a token was ever made and not revoked: from then on one is demanded."""
        return bool(self.list())

    def create(self, name: str, scope: Scope, lasts: timedelta) -> tuple[str, Token]:
        """Make a token; returns its text, which nobody can show again, and what is kept of it."""
        if not 1 <= len(name) <= 60 or not name.isprintable():
            raise BadSetting(
                "not a name for a token", thing=repr(name[:80]), next_step="write up to 60 printable characters"
            )
        if lasts <= timedelta():
            raise BadSetting("a token that has ended already", thing=name, next_step="write for example --expires 90d")
        return self._add(PREFIX, name, scope, lasts)

    def open_session(self, token: Token) -> tuple[str, Token]:
        """Log a browser in: a secret for its cookie, which ends with the token, and after half a day at the latest."""
        left = token.expires_at - self._clock.now()
        return self._add(SESSION_PREFIX, token.name, token.scope, min(SESSION, left), session_of=token.id)

    def _add(self, prefix: str, name: str, scope: Scope, lasts: timedelta, session_of: str = "") -> tuple[str, Token]:
        secret, now = prefix + secrets.token_urlsafe(32), self._clock.now()
        token = Token(
            id=secrets.token_hex(4),
            name=name,
            scope=scope,
            hash=_hash(secret),
            created_at=now,
            expires_at=now + lasts,
            session_of=session_of,
        )
        with self._changing() as kept:
            live = [known for known in kept if not (known.session_of and known.expires_at <= now)]
            if len(live) >= _MOST:
                raise BadSetting("too many tokens and sessions", next_step="revoke some: modelward token revoke ID")
            self._write((*live, token))
        return secret, token

    def revoke(self, wanted: str) -> Token:
        """End a token, by its id or its name, and every session that it opened; raises UnknownToken."""
        with self._changing() as kept:
            hits = [token for token in kept if wanted in (token.id, token.name) and not token.session_of]
            if len(hits) != 1:
                what = "no such token" if not hits else f"{len(hits)} tokens have this name"
                raise UnknownToken(what, thing=wanted[:60], next_step="list them with: modelward token list")
            gone = hits[0].id
            self._write(tuple(token for token in kept if gone not in (token.id, token.session_of)))
        return hits[0]

    def close_session(self, secret: str) -> None:
        """Log a browser out."""
        ended = _hash(secret)
        with self._changing() as kept:
            self._write(tuple(token for token in kept if token.hash != ended or not token.session_of))

    def check(self, secret: str, *, session: bool = False) -> Token | None:
        """The token, or session, whose secret this is; None for one that is unknown, revoked or has ended."""
        given, found = _hash(secret), None
        kept = self._read()
        for token in kept:  # all of them, whichever it is: the time taken tells nothing
            if hmac.compare_digest(token.hash, given) and bool(token.session_of) is session:
                found = token
        if found is None or found.expires_at <= self._clock.now():
            return None
        return found

    def _read(self) -> tuple[Token, ...]:
        """What is kept now; the file is only read when it is another one than before."""
        with self._lock:
            try:
                folder = Folder.open(self._state)
                entry = folder.stat(FILE)
                seen = None if entry is None else (entry.st_ino, entry.st_size, entry.st_mtime_ns, entry.st_ctime_ns)
                if seen != self._seen:
                    self._kept = decode(folder.read(FILE, _LIMIT), _Kept).tokens if seen is not None else ()
                    self._seen = seen
            except BlobMissing:
                self._kept, self._seen = (), None
            return self._kept

    @contextmanager
    def _changing(self) -> Iterator[tuple[Token, ...]]:
        folder = Folder.open(self._state, create=True)
        with locked(folder, "tokens.lock", holder="modelward token", clock=self._clock, wait=_WAIT):
            yield self._read()

    def _write(self, tokens: tuple[Token, ...]) -> None:
        folder = Folder.open(self._state, create=True)
        put_small(folder.sub("staging", create=True), folder, FILE, encode(_Kept(tokens=tokens)), mode=0o600)


def csrf_of(secret: str) -> str:
    """The token that a page has to send with what it changes: only who knows the session's secret can make it (T14)."""
    return hmac.new(secret.encode(), b"modelward csrf", sha256).hexdigest()


def _hash(secret: str) -> str:
    return sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
