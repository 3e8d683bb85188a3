"""Answer a registry's challenge: an anonymous token from the registry's own host, and from nowhere else."""

import re
from urllib.parse import urlencode

import msgspec

from modelward.domain.codec import learned
from modelward.domain.errors import RegistryRefused
from modelward.registry.address import Address, Origin, parse

_PAIR = re.compile(r'([a-z_]+)="([^"\\]*)"', re.IGNORECASE)


class _Token(msgspec.Struct, frozen=True):
    token: str = ""
    access_token: str = ""
    expires_in: float = 60.0


class Token(msgspec.Struct, frozen=True):
    """What to send in Authorization, and for how many seconds it holds."""

    text: str
    seconds: float


def where(challenge: str, registry: Origin) -> Address:
    """Where to ask for a token. Raises RegistryRefused for another kind of challenge, or another host's (T: theft).

    A realm on another host gets the names of what we read; Ollama refuses it as well since v0.14.3.
    """
    kind, _, rest = challenge.partition(" ")
    values = {key.lower(): value for key, value in _PAIR.findall(rest)}
    if kind.lower() != "bearer" or not values.get("realm"):
        raise _refused(registry, "it wants a login that Modelward does not have")
    realm = parse(values["realm"])
    if realm.origin.host != registry.host or (registry.scheme, realm.origin.scheme) == ("https", "http"):
        raise _refused(registry, f"its login leads to another host ({realm.origin})")
    wanted = {key: values[key] for key in ("service", "scope") if key in values}
    joint = "&" if "?" in realm.target else "?"
    return Address(realm.origin, f"{realm.target}{joint}{urlencode(wanted)}" if wanted else realm.target)


def read(data: bytes, registry: Origin) -> Token:
    """The token in the answer; raises RegistryRefused."""
    try:
        found = msgspec.json.decode(data, type=learned(_Token))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _refused(registry, f"its login answered with something else ({error})") from error
    text = found.token or found.access_token
    if not text or not text.isascii() or not text.isprintable():
        raise _refused(registry, "its login gave no token")
    return Token(f"Bearer {text}", max(0.0, min(found.expires_in, 3600.0)) * 0.9)


def _refused(registry: Origin, why: str) -> RegistryRefused:
    return RegistryRefused(why, thing=str(registry), next_step="let the server pull it, or use another source")
