"""The jobs that are measured, in the order in which they are run and reported."""

from collections.abc import Callable, Mapping

from benchmarks.bench import Bench
from benchmarks.jobs import api, backup, bundle, guard, memory, repair, restore, scaling, siblings, upstream, verify
from benchmarks.result import Result

JOBS: Mapping[str, Callable[[Bench], Result]] = {
    "first-backup": backup.first,
    "unchanged": backup.unchanged,
    "many": backup.many,
    "verify-warm": verify.warm_cache,
    "verify-direct": verify.direct,
    "repair": repair.one_page,
    "restore": restore.copied,
    "clone": restore.cloned,
    "siblings": siblings.unchanged,
    "bundle": bundle.both_ways,
    "upstream": upstream.ranges,
    "pull": upstream.whole,
    "memory": memory.every_verb,
    "guard": guard.by_itself,
    "api": api.answers,
    "scaling": scaling.lines,
}
