"""What tests of Modelward, and of programs that use it, are made of: stores, damage, a clock, a tiny real model.

Needs nothing but the standard library and Modelward itself.
"""

from modelward.testing.clock import FrozenClock
from modelward.testing.corrupt import (
    Damage,
    delete,
    empty,
    extend,
    flip_bit,
    garble,
    random_damage,
    swap,
    truncate,
    zero,
)
from modelward.testing.crowded import CrowdedServer
from modelward.testing.elsewhere import MemoryRegistry, MemorySource
from modelward.testing.fake_ollama import FakeOllama
from modelward.testing.fault_proxy import Asker, Exchange, FaultProxy, faithful
from modelward.testing.faulty import Fault, FaultySource
from modelward.testing.gguf import tiny_gguf
from modelward.testing.journal import MemoryJournal
from modelward.testing.memory import MemoryLedgers, MemoryVault
from modelward.testing.registry import Asked, FakeRegistry
from modelward.testing.runtime import IdleRuntime
from modelward.testing.store import FakeStore, ManifestInfo
from modelward.testing.trees import Entry, fingerprint

__all__ = [
    "Asked",
    "Asker",
    "CrowdedServer",
    "Damage",
    "Entry",
    "Exchange",
    "FakeOllama",
    "FakeRegistry",
    "FakeStore",
    "Fault",
    "FaultProxy",
    "FaultySource",
    "FrozenClock",
    "IdleRuntime",
    "ManifestInfo",
    "MemoryJournal",
    "MemoryLedgers",
    "MemoryRegistry",
    "MemorySource",
    "MemoryVault",
    "delete",
    "empty",
    "extend",
    "faithful",
    "fingerprint",
    "flip_bit",
    "garble",
    "random_damage",
    "swap",
    "tiny_gguf",
    "truncate",
    "zero",
]
