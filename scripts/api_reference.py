"""Write docs/api.md from the API's route table: every operation with its scope, parameters, answers and examples."""

import json
from itertools import groupby
from pathlib import Path
from typing import Any

from modelward.api.openapi import document, errors_of
from modelward.api.route import Kind, Route
from modelward.api.routes import ROUTES
from modelward.domain.codec import encode
from modelward.guard.verbs import VERBS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "api.md"
HEAD = """# HTTP API

Made from the program by `make docs`; a test fails when the two differ. The same as an OpenAPI 3.1 document:
`/api/v1/openapi.json`.

## How to ask
- The guard serves the API at the setting `listen` (`127.0.0.1:8484`; `unix:PATH` for a socket of mode 0600).
- As long as no token was made, everybody on this machine may read and operate a guard on loopback, and administer one
  on a unix socket. `modelward token create NAME --scope read|operate|admin --expires 90d` makes a token, and from then
  on one is demanded: `Authorization: Bearer mw_...`. Each scope allows what the ones before it do.
- On another address the guard serves nothing without a token, nor without TLS (`tls_cert`, `tls_key`) unless
  `behind_proxy` says that a proxy in front does it.
- The guard answers to its own address only, and to the names of `allowed_hosts`; any other Host header gets 421.
- Times are RFC 3339 in UTC, sizes are bytes. Lists come in parts: `limit`, and `cursor` with the `next` of the part
  before. A GET carries an ETag; sent back as `If-None-Match` it is answered 304 while nothing changed.
- What changes something takes `Content-Type: application/json` and at most 64 KiB. With an `Idempotency-Key` a job is
  started once, however often the request is sent within 24 hours.
- A model's name may stand in a path with its slashes or with `%2F`; write its tag where its own name is `chunks`.
- Errors are problem documents (RFC 9457) with the fields `detail`, `thing`, `next_step` and `exit_code`.
- Every verb of the command line and where it stands here: [below](#verbs-of-the-command-line).

```
curl -s http://127.0.0.1:8484/api/v1/models?healthy=no
curl -s -H 'Content-Type: application/json' -d '{"verb":"repair","options":{}}' http://127.0.0.1:8484/api/v1/plans
```

From Python, with the standard library alone:

```python
from modelward.client import Client

guard = Client("http://127.0.0.1:8484", token="mw_...")
job = guard.start("repair", {"models": ["llama3"]}, key="repair-of-today")
print(guard.finish(job.id).state)
```
"""

# Each verb of the command line: the jobs and operations that do the same, or why none does.
COMMANDS = {
    "status": "GET /standing, GET /models, GET /findings",
    "doctor": "job doctor",
    "backup": "job backup",
    "verify": "job verify, job verify-vault",
    "repair": "job repair, job repair-vault",
    "restore": "job restore",
    "pull": "job pull",
    "rollback": "job rollback",
    "pin": "job pin, job unpin",
    "snapshots": "GET /snapshots, GET /snapshots/{id}",
    "diff": "GET /diff",
    "forget": "job forget, job undelete",
    "prune": "job prune",
    "space": "GET /space, GET /vaults, job space-reclaim",
    "push": "job push",
    "fetch": "job fetch",
    "release": "job release",
    "protect": "job protect",
    "drill": "job drill, GET /drills",
    "audit": "GET /audit, GET /audit/verify",
    "config": "GET /settings",
    "alerts": "GET /alerts, POST /alerts/test, GET /silences, POST /silences, DELETE /silences/{id}",
    "health": "GET /health",
    "forecast": "GET /forecast",
    "history": "GET /history/{name}, GET /series, GET /actions",
    "brake": "GET /brake, POST /brake/release",
}
ALONE = {
    "export": "writes a file where the caller is; over the network it would write on the guard's machine",
    "import": "reads a file where the caller is, as export writes one",
    "gate": "runs before there is a guard",
    "guard": "is what serves this API",
    "run": "is backup, verify and status in one",
    "token": "who may do what is said on the machine itself",
}


def main() -> None:
    """Write the file."""
    PAGE.write_text(text(), encoding="utf-8")


def text() -> str:
    """The whole page."""
    whole = json.loads(encode(document(ROUTES)))
    parts = [HEAD, _overview()]
    for group, routes in groupby(ROUTES, key=lambda route: route.group):
        parts += [f"## {group}\n", *(_operation(route, whole) for route in routes)]
    return "\n".join([*parts, _verbs(), _commands()])


def _commands() -> str:
    head = ["## Verbs of the command line\n", "| `modelward` | here |", "|---|---|"]
    rows = [f"| `{verb}` | {_as_code(places)} |" for verb, places in COMMANDS.items()]
    about = (
        "\nOnly on the command line, beside `restore --via` and `restore --to`, whose places the caller names, and "
        "`forecast backtest`:\n"
    )
    return "\n".join([*head, *rows, about, *(f"- `{verb}` {why}." for verb, why in ALONE.items()), ""])


def _as_code(places: str) -> str:
    return ", ".join(f"`{place}`" for place in places.split(", "))


def _overview() -> str:
    rows = [f"| `{route.method}` | `{route.template}` | {_scope(route)} | {route.summary} |" for route in ROUTES]
    return "\n".join(["## All operations\n", "| method | address | scope | what |", "|---|---|---|---|", *rows, ""])


def _scope(route: Route) -> str:
    return str(route.scope) if route.scope is not None else "none"


def _operation(route: Route, whole: dict[str, Any]) -> str:
    found = whole["paths"][route.template][route.method.lower()]
    about = " ".join((route.handler.__doc__ or route.summary).split())
    lines = [f"### {route.method} {route.template}\n", f"{about}\n", f"- scope: {_scope(route)}"]
    lines += [_parameter(each) for each in found["parameters"]]
    if route.body is not None:
        lines.append(f"- body: {_kind(found['requestBody']['content']['application/json']['schema'])}")
    lines.append(f"- answers: {route.status} {_answer(route, found)}")
    lines.append(f"- refuses with: {', '.join(str(status) for status in errors_of(route))}\n")
    for title, example in (("Body", route.example_body), ("Answer", route.example)):
        if example is not None:
            shown = example.rstrip() if isinstance(example, str) else json.dumps(example, indent=2)
            lines.append(f"{title}:\n\n```\n{shown}\n```\n")
    return "\n".join(lines)


def _parameter(given: dict[str, Any]) -> str:
    schema = given["schema"]
    words = [schema.get("type", "")] if "enum" not in schema else [", ".join(f"`{word}`" for word in schema["enum"])]
    if "$ref" in schema:
        words = [_kind(schema)]
    words += [f"{word} {schema[name]}" for name, word in (("minimum", "from"), ("maximum", "to")) if name in schema]
    if schema.get("default", "") != "":
        words.append(f"default {schema['default']}")
    about = given.get("description") or schema.get("description", "")
    needed = "" if given["required"] else ", optional"
    return f"- {given['in']} `{given['name']}`{needed}: {' '.join(word for word in words if word)}" + (
        f"; {about}" if about else ""
    )


def _answer(route: Route, found: dict[str, Any]) -> str:
    if route.status == 204:
        return "without a body"
    if route.kind is Kind.EVENTS:
        return "and events (`standing`, `job`), each with its JSON, until the end; a comment every 15 seconds"
    if route.kind is not Kind.JSON:
        return "and text"
    return _kind(found["responses"][str(route.status)]["content"]["application/json"]["schema"])


def _kind(schema: dict[str, Any]) -> str:
    """A schema in a word: the name of a component, or what it is a list or a choice of."""
    if "$ref" in schema:
        return f"`{schema['$ref'].rpartition('/')[2]}`"
    if "anyOf" in schema:
        return "one of " + ", ".join(_kind(each) for each in schema["anyOf"])
    if schema.get("type") == "array" and "items" in schema:
        return f"a list of {_kind(schema['items'])}"
    return str(schema.get("type", "any value"))


def _verbs() -> str:
    head = ["## Verbs\n", "What `POST /api/v1/jobs` takes as `verb`, with the fields of `options`.\n"]
    rows = ["| verb | scope | options | what |", "|---|---|---|---|"]
    for verb in VERBS.values():
        options = ", ".join(f"`{name}`" for name in verb.options.__struct_fields__)
        rows.append(f"| `{verb.name}` | {'admin' if verb.grave else 'operate'} | {options} | {verb.about} |")
    return "\n".join([*head, *rows, ""])


if __name__ == "__main__":
    main()
