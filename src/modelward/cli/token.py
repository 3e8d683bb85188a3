"""``modelward token``: who may read, operate and administer the guard over HTTP."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from modelward.cli.options import ConfigFile, Json, given
from modelward.domain.access import Scope
from modelward.domain.errors import BadSetting

if TYPE_CHECKING:
    from modelward.api.tokens import Tokens
    from modelward.domain.access import TokenView

NAME = "token"


class Action(StrEnum):
    """What to do."""

    CREATE = "create"
    LIST = "list"
    REVOKE = "revoke"


def command(
    action: Annotated[Action, typer.Argument(metavar="[create|list|revoke]", help="What to do.")] = Action.LIST,
    name: Annotated[
        str, typer.Argument(metavar="[NAME|ID]", help="create: a name to know it by; revoke: the name or the id.")
    ] = "",
    *,
    scope: Annotated[
        Scope,
        typer.Option(help="read: look at everything; operate: start jobs too; admin: also what can lose something."),
    ] = Scope.OPERATE,
    expires: Annotated[
        str, typer.Option("--expires", metavar="DURATION", help="How long it is good for, for example 90d.")
    ] = "90d",
    config: ConfigFile = "",
    json: Json = False,
) -> None:
    """Make a token for the guard's API and dashboard, list the tokens, or end one with every session it opened.

    A token's text is shown once, when it is made; what is kept of it cannot be turned back into it. As long as there is
    none, everybody on this machine may read and operate a guard that listens on loopback; from the first one on a token
    is demanded, and a guard on another address does not start without one.
    """
    from modelward.api.tokens import Tokens
    from modelward.bootstrap import SystemClock, resolve

    settings = resolve(given({"config": config})).settings
    tokens = Tokens(Path(settings.state), SystemClock())
    if action is Action.CREATE:
        _create(tokens, name, scope, expires, json=json)
    elif action is Action.REVOKE:
        _show((tokens.revoke(_named(name, "revoke")).view,), "revoked", json=json)
    else:
        _show(tuple(token.view for token in tokens.list()), "tokens", json=json)


def _named(name: str, action: str) -> str:
    if not name:
        raise BadSetting("which one?", thing=f"token {action}", next_step=f"write: modelward token {action} NAME")
    return name


def _create(tokens: "Tokens", name: str, scope: Scope, expires: str, *, json: bool) -> None:
    from modelward.cli.render import document
    from modelward.domain.units import parse_duration

    secret, token = tokens.create(_named(name, "create"), scope, parse_duration(expires))
    if json:
        typer.echo(document("token", {"token": secret, "created": token.view}))
        return
    typer.echo(secret)
    typer.echo(
        f"{token.name}: scope {token.scope}, until {token.expires_at:%Y-%m-%d %H:%M} UTC. "
        "It is not shown again; send it as: Authorization: Bearer TOKEN",
        err=True,
    )


def _show(found: "tuple[TokenView, ...]", word: str, *, json: bool) -> None:
    from modelward.cli.pieces import table
    from modelward.cli.render import document

    if json:
        typer.echo(document("token", {word: found}))
        return
    rows = [
        (view.id, view.name, view.scope, f"{view.created_at:%Y-%m-%d %H:%M}", f"{view.expires_at:%Y-%m-%d %H:%M}")
        for view in found
    ]
    table(("ID", "NAME", "SCOPE", "MADE", "GOOD UNTIL"), rows)
    if not found:
        typer.echo("no tokens: everybody on this machine may read and operate a guard that listens on loopback")
