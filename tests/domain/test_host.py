"""Which hosts are this machine, and which are spoken to without TLS."""

import pytest

from modelward.domain.host import is_loopback, name_of, speaks_plain


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
