"""Which hosts are this machine, which are spoken to without TLS, and which through a proxy."""

import pytest

from modelward.domain.host import is_loopback, name_of, proxy_of, speaks_plain


@pytest.mark.parametrize(
    ("authority", "name"),
    [("Example.org:5000", "example.org"), ("[::1]:80", "::1"), ("127.0.0.1", "127.0.0.1"), ("", "")],
)
def test_the_host_of_an_authority(authority: str, name: str) -> None:
    """Without port and brackets."""
    assert name_of(authority) == name


@pytest.mark.parametrize("host", ["localhost", "a.localhost", "127.0.0.1", "127.9.9.9", "127.1", "::1"])
def test_this_machine(host: str) -> None:
    """By name and by address."""
    assert is_loopback(host)
    assert speaks_plain(f"[{host}]:5000" if ":" in host else f"{host}:5000", ())


@pytest.mark.parametrize("host", ["registry.ollama.ai", "10.0.0.1", "localhost.example.org", "127.0.0.1.org", ""])
def test_other_machines(host: str) -> None:
    """Names that only look like it are none; the settings may name them."""
    assert not is_loopback(host)
    assert not speaks_plain(f"{host}:5000", ("other:5000",))
    assert speaks_plain(f"{host}:5000", (f"{host}:5000",))


@pytest.mark.parametrize(
    ("environ", "http", "https"),
    [
        ({}, "", ""),
        ({"HTTP_PROXY": "one", "HTTPS_PROXY": "two"}, "one", "two"),
        ({"HTTP_PROXY": "one", "http_proxy": "small"}, "small", ""),
        ({"HTTP_PROXY": "one", "http_proxy": ""}, "one", ""),
        ({"HTTP_PROXY": "one", "NO_PROXY": "*"}, "", ""),
        ({"HTTP_PROXY": "one", "no_proxy": "other, .Example.ORG"}, "", ""),
        ({"HTTP_PROXY": "one", "no_proxy": "box.example.org"}, "", ""),
        ({"HTTP_PROXY": "one", "no_proxy": "ox.example.org,org.example,,"}, "one", ""),
    ],
)
def test_a_proxy_is_the_environments(environ: dict[str, str], http: str, https: str) -> None:
    """By the server's scheme, except for hosts and domains that it spares; small letters come first."""
    assert proxy_of("http", "Box.Example.org", environ) == http
    assert proxy_of("https", "Box.Example.org", environ) == https


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "::1"])
def test_this_machine_needs_no_proxy(host: str) -> None:
    """A proxy has no business between two programs on one machine."""
    assert proxy_of("http", host, {"HTTP_PROXY": "one"}) == ""
