"""What a caller may do over HTTP, and a token as it may be shown."""

from datetime import datetime
from enum import StrEnum

import msgspec


class Scope(StrEnum):
    """What a token allows; each scope allows what the ones before it do."""

    READ = "read"
    OPERATE = "operate"
    ADMIN = "admin"

    def allows(self, needed: "Scope") -> bool:
        """Whether this scope is enough."""
        order = list(Scope)
        return order.index(self) >= order.index(needed)


class TokenView(msgspec.Struct, frozen=True, kw_only=True):
    """A token without what could be used of it."""

    id: str
    name: str
    scope: Scope
    created_at: datetime
    expires_at: datetime
