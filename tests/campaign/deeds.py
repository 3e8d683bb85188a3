"""What hostile and broken servers do: each deed is a function of the client and of the true answer."""

import gzip
import json
import os
from collections.abc import Callable

from modelward.testing.fault_proxy import Asker, Deed, Exchange, faithful

MIB = 1 << 20
DEEDS: dict[str, Deed] = {}


def deed(name: str) -> Callable[[Deed], Deed]:
    """Give a deed its name."""

    def note(function: Deed) -> Deed:
        DEEDS[name] = function
        return function

    return note


def _then_pour(first: bytes, piece: bytes) -> Deed:
    """Begin like this, and go on without end."""

    def work(client: Asker, _: Exchange) -> None:
        client.send(first)
        client.pour(piece)

    return work


def _redirect(place: str) -> Deed:
    def work(client: Asker, exchange: Exchange) -> None:
        client.answer(307, b"", Location=place.replace("{here}", f"http://{client.address}{exchange.path}"))

    return work


def _login(realm: str) -> Deed:
    def work(client: Asker, _: Exchange) -> None:
        client.answer(401, b"", WWW_Authenticate=realm.replace("{here}", client.address))

    return work


def _simple() -> None:
    """Deeds of one line."""
    DEEDS.update(
        {
            "closes at once": lambda client, _: client.link.close(),
            "resets at once": lambda client, _: client.reset(),
            "says nothing": lambda client, _: client.hang(),
            "garbage for a status line": lambda client, _: client.send(b"\0\xff\x80 hello\r\n\r\n"),
            "a status that is no number": lambda client, _: client.send(b"HTTP/1.1 abc OK\r\n\r\n"),
            "HTTP/0.9": lambda client, exchange: client.send(exchange.body[:1000]),
            "another protocol": lambda client, _: client.send(b"SSH-2.0-OpenSSH_9.2\r\n"),
            "an endless status line": lambda client, _: client.pour(b"HTTP/1.1 200 " + b"x" * 4096),
            "endless headers": _then_pour(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n" * 500),
            "one endless header": _then_pour(b"HTTP/1.1 200 OK\r\nX: ", b"y" * 4096),
            "headers by the byte": lambda client, _: client.trickle(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 500),
            "endless 100 Continue": lambda client, _: client.pour(b"HTTP/1.1 100 Continue\r\n\r\n" * 50),
            "a length that is negative": lambda client, ex: client.answer(ex.status, ex.body, Content_Length=-1),
            "a length that is no number": lambda client, ex: client.answer(ex.status, ex.body, Content_Length="many"),
            "a length beyond 64 bits": lambda client, ex: client.answer(ex.status, ex.body, Content_Length="9" * 30),
            "a length one too long": lambda client, ex: client.answer(
                ex.status, ex.body, Content_Length=len(ex.body) + 1
            ),
            "a length too short": lambda client, ex: client.answer(
                ex.status, ex.body, Content_Length=len(ex.body) // 2
            ),
            "no body": lambda client, ex: client.answer(ex.status, b""),
            "200 and an empty object": lambda client, _: client.answer(200, b"{}"),
            "200 and null": lambda client, _: client.answer(200, b"null"),
            "200 and a page": lambda client, _: client.answer(200, b"<html>log in to this network</html>"),
            "brackets without end": lambda client, _: client.answer(200, b"[" * 100_000),
            "not UTF-8": lambda client, _: client.answer(200, b'{"models":[{"name":"\xff\xfe"}],"version":"\xff"}'),
            "numbers without end": lambda client, _: client.answer(200, b'{"schemaVersion":' + b"9" * 5000 + b"}"),
            "404": lambda client, _: client.answer(404, b'{"errors":[]}'),
            "403": lambda client, _: client.answer(403, b""),
            "418": lambda client, _: client.answer(418, b"teapot"),
            "999": lambda client, _: client.answer(999, b""),
            "500 for ever": lambda client, _: client.answer(500, b"oops"),
            "503 for ever": lambda client, _: client.answer(503, b"", Retry_After=0),
            "429 and wait a day": lambda client, _: client.answer(429, b"", Retry_After=86_400),
            "429 and a wait that is negative": lambda client, _: client.answer(429, b"", Retry_After=-5),
            "429 and a wait that is no number": lambda client, _: client.answer(429, b"", Retry_After="soon, I think"),
            "416 for everything": lambda client, _: client.answer(416, b"no", Content_Length=1 << 40),
            "an endless error": _then_pour(b"HTTP/1.1 400 No\r\n\r\n", b"no " * 9999),
        }
    )


def _redirects() -> None:
    """Where a redirect can lead astray."""
    places = {
        "to itself for ever": "{here}",
        "to a file": "file:///etc/passwd",
        "to loopback, where nobody is": "http://127.0.0.1:1/",
        "to the metadata address": "http://169.254.169.254/latest/meta-data/",
        "to loopback in other words": "http://[::ffff:127.0.0.1]:1/",
        "to ftp": "ftp://127.0.0.1/x",
        "with a user's name": "http://user:word@127.0.0.1:1/",
        "to nothing": "",
        "to a place with blanks": "http://127.0.0.1 :1/ x",
        "to a port out of range": "http://127.0.0.1:99999/",
        "to an endless address": "http://127.0.0.1/" + "x" * 20_000,
    }
    for name, place in places.items():
        DEEDS[f"redirect {name}"] = _redirect(place)


def _logins() -> None:
    """Challenges that want a token taken elsewhere."""
    realms = {
        "elsewhere": 'Bearer realm="http://169.254.169.254/token",service="x"',
        "at a file": 'Bearer realm="file:///etc/passwd"',
        "without a realm": "Bearer",
        "of another kind": 'Negotiate realm="x"',
        "endless": 'Bearer realm="http://{here}/' + "y" * 30_000 + '"',
    }
    for name, realm in realms.items():
        DEEDS[f"login {name}"] = _login(realm)


_simple()
_redirects()
_logins()


@deed("resets in the middle of the head")
def _(client: Asker, _: Exchange) -> None:
    client.send(b"HTTP/1.1 200 OK\r\nContent-Le")
    client.reset()


@deed("resets in the middle of the body")
def _(client: Asker, exchange: Exchange) -> None:
    client.answer(exchange.status, exchange.body[: len(exchange.body) // 2], Content_Length=len(exchange.body))
    client.reset()


@deed("says nothing more in the middle of the body")
def _(client: Asker, exchange: Exchange) -> None:
    client.answer(exchange.status, exchange.body[: len(exchange.body) // 2], Content_Length=len(exchange.body))
    client.hang()


@deed("the body by the byte")
def _(client: Asker, exchange: Exchange) -> None:
    client.answer(exchange.status, b"", Content_Length=max(5000, len(exchange.body)))
    client.trickle(exchange.body + bytes(5000))


@deed("a body without end")
def _(client: Asker, exchange: Exchange) -> None:
    client.answer(exchange.status, exchange.body, Content_Length=None)
    client.pour(bytes(MIB))


@deed("a body without end, of a length")
def _(client: Asker, exchange: Exchange) -> None:
    client.answer(exchange.status, exchange.body, Content_Length=1 << 50)
    client.pour(bytes(MIB))


@deed("chunks without end")
def _(client: Asker, exchange: Exchange) -> None:
    client.answer(exchange.status, b"", Content_Length=None, Transfer_Encoding="chunked")
    client.pour(b"10000\r\n" + bytes(1 << 16) + b"\r\n")


@deed("a chunk of a length that is none")
def _(client: Asker, exchange: Exchange) -> None:
    client.answer(exchange.status, b"", Content_Length=None, Transfer_Encoding="chunked")
    client.send(b"zz\r\nhello\r\n0\r\n\r\n")


@deed("a chunk as long as memory")
def _(client: Asker, exchange: Exchange) -> None:
    client.answer(exchange.status, b"", Content_Length=None, Transfer_Encoding="chunked")
    client.send(b"7fffffffffffffff\r\nhello")


@deed("trailers without end")
def _(client: Asker, exchange: Exchange) -> None:
    client.answer(exchange.status, b"", Content_Length=None, Transfer_Encoding="chunked")
    client.send(b"%x\r\n%s\r\n0\r\n" % (max(1, len(exchange.body)), exchange.body or b"x"))
    client.pour(b"X: y\r\n" * 500)


@deed("two lengths")
def _(client: Asker, exchange: Exchange) -> None:
    size = len(exchange.body)
    client.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Length: 3\r\n\r\n%s" % (size, exchange.body))


@deed("wrong bytes of the right length")
def _(client: Asker, exchange: Exchange) -> None:
    flipped = bytes(byte ^ 1 for byte in exchange.body)
    faithful(client, _with(exchange, flipped))


@deed("one wrong bit")
def _(client: Asker, exchange: Exchange) -> None:
    middle = len(exchange.body) // 2
    body = bytearray(exchange.body)
    if body:
        body[middle] ^= 4
    faithful(client, _with(exchange, bytes(body)))


@deed("packed, and larger than memory")
def _(client: Asker, exchange: Exchange) -> None:
    client.answer(exchange.status, gzip.compress(bytes(64 * MIB)), Content_Encoding="gzip")


@deed("the whole for a range")
def _(client: Asker, exchange: Exchange) -> None:
    client.answer(200, exchange.body + bytes(MIB))


@deed("a range from elsewhere")
def _(client: Asker, exchange: Exchange) -> None:
    client.answer(206, exchange.body, Content_Range=f"bytes 7-{6 + len(exchange.body)}/{1 << 40}")


@deed("a range that is none")
def _(client: Asker, exchange: Exchange) -> None:
    client.answer(206, exchange.body, Content_Range="bytes */none")


@deed("several ranges")
def _(client: Asker, exchange: Exchange) -> None:
    body = b"--x\r\nContent-Range: bytes 0-3/9\r\n\r\nabcd\r\n--x--\r\n"
    client.answer(206, body + exchange.body, Content_Type="multipart/byteranges; boundary=x")


@deed("headers by the thousand")
def _(client: Asker, exchange: Exchange) -> None:
    client.answer(exchange.status, exchange.body, **{f"X_{number}": "y" for number in range(5000)})


@deed("a manifest of ten thousand layers")
def _(client: Asker, _: Exchange) -> None:
    layer = {"mediaType": "x", "digest": "sha256:" + "a" * 64, "size": 1 << 49}
    layers = [layer | {"digest": f"sha256:{number:064x}"} for number in range(10_001)]
    client.answer(200, json.dumps({"schemaVersion": 2, "config": layer, "layers": layers}).encode())


@deed("a manifest of a petabyte")
def _(client: Asker, _: Exchange) -> None:
    layer = {"mediaType": "x", "digest": "sha256:" + "a" * 64, "size": 1 << 50}
    client.answer(200, json.dumps({"schemaVersion": 2, "config": layer, "layers": []}).encode())


@deed("a manifest with paths for digests")
def _(client: Asker, _: Exchange) -> None:
    layer = {"mediaType": "x", "digest": "sha256:../../../../etc/passwd", "size": 5}
    client.answer(200, json.dumps({"schemaVersion": 2, "config": layer, "layers": [layer]}).encode())


@deed("a moved tag")
def _(client: Asker, exchange: Exchange) -> None:
    """Another model's manifest, of blobs that are there: good bytes, and not those that were asked for."""
    try:
        document = json.loads(exchange.body)
        document["layers"] = document["layers"][1:]
    except (ValueError, KeyError, TypeError):
        faithful(client, exchange)
        return
    client.answer(exchange.status, json.dumps(document).encode())


@deed("another tag each time")
def _(client: Asker, exchange: Exchange) -> None:
    client.answer(exchange.status, exchange.body + b" " * (int.from_bytes(os.urandom(2)) + 1))


@deed("an upload taken at once")
def _(client: Asker, _: Exchange) -> None:
    """A registry that says that all is there, and kept nothing."""
    client.answer(201, b"", Location="/v2/kept/blobs/uploads/1")


@deed("a place for an upload elsewhere")
def _(client: Asker, _: Exchange) -> None:
    client.answer(202, b"", Location="http://169.254.169.254/v2/kept/blobs/uploads/1")


@deed("a line without end")
def _(client: Asker, _: Exchange) -> None:
    client.answer(200, b'{"status":"', Content_Length=None)
    client.pour(b"x" * 4096)


@deed("the same line for ever")
def _(client: Asker, _: Exchange) -> None:
    client.answer(200, b"", Content_Length=None)
    while not client.over:
        client.trickle(b'{"status":"pulling manifest"}\n')


@deed("an error in a line")
def _(client: Asker, _: Exchange) -> None:
    client.answer(200, b'{"status":"pulling"}\n{"error":"no \x1b[31m space \\u0000 left"}\n')


@deed("success at once")
def _(client: Asker, _: Exchange) -> None:
    client.answer(200, b'{"status":"success"}\n')


def _with(exchange: Exchange, body: bytes) -> Exchange:
    return Exchange(
        method=exchange.method, path=exchange.path, status=exchange.status, headers=exchange.headers, body=body
    )
