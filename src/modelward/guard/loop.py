"""The guard itself: lanes for looking, working and asking, a schedule, and a tick that never waits for work."""

import threading
from collections.abc import Callable
from datetime import timedelta

from modelward.domain.outcome import DrillReport, RepairReport
from modelward.domain.schedule import Task, next_run
from modelward.domain.standing import JobState, JobView
from modelward.domain.timetable import Timetable
from modelward.guard import tasks, work
from modelward.guard.calm import few_arenas, free_circles, give_back, large_apart, set_apart
from modelward.guard.heart import Heart
from modelward.guard.jobs import Job, Run
from modelward.guard.lane import Lane
from modelward.guard.probing import Prober
from modelward.guard.reconcile import Reconciler
from modelward.guard.rows import action_rows, drill_row
from modelward.guard.watcher import Watcher
from modelward.scan import release_buffers, signals_held
from modelward.services.brake import wished_release

_TICK = 1.0
_GAP = 2.0  # seconds between looks at a store that is being written to
_HANGS = 60.0  # seconds past its deadline after which a lane is given up
_PATIENCE = 8.0  # seconds that a stop waits for what runs
_HUNG_LOOK = 900.0
_TRIM_EVERY = 5.0  # seconds between two times that free memory is given back; it takes a millisecond
_CIRCLES_EVERY = 60.0
TEND = "tend"
SCHEDULE = "guard: schedule"


class Guard:
    """One guard over one store. ``beside`` is called once a tick: metrics file, dead-man's ping, delivery."""

    def __init__(
        self,
        heart: Heart,
        prober: Prober,
        *,
        maintenance: bool = True,
        beside: Callable[[], None] = lambda: None,
        seed: str = "",
    ) -> None:
        self._heart, self._prober, self._beside, self._seed = heart, prober, beside, seed
        self._maintenance = maintenance
        self._stop = threading.Event()
        self._reconciler = Reconciler(heart, self._stop, heals=maintenance)
        clock = heart.clock
        self.looking = Lane("look", self._look, clock, every=self._every, gap=_GAP, ended=heart.turned)
        self.working = Lane("work", self._work, clock, every=lambda: 1.0, ended=heart.turned)
        self.asking = Lane("ask", self._ask, clock, every=self._every, ended=heart.turned)
        self.watcher = Watcher(self._store, self._heard, self._stop, clock)
        self.beat = clock.monotonic()
        self._probed_at = self._trimmed_at = self._freed_at = float("-inf")

    def _every(self) -> float:
        return self._heart.settings().check_interval.total_seconds()

    # One after the other, without threads.

    def once(self) -> tuple[JobView, ...]:
        """One look, one maintenance run, and every task that is due; returns the jobs that were done."""
        self._heart.journal.interrupt_jobs(self._heart.clock.now())
        self._reconciler.look("run once")
        self._ask("run once")
        if self._maintenance:
            self._submit(tasks.MAINTENANCE)
            self._due_tasks()
        done = self._drain()
        self._reconciler.look("after maintenance")
        again = self._drain()
        self._heart.alarm.flush()
        return (*done, *again)

    def _drain(self) -> tuple[JobView, ...]:
        done = []
        while (job := self._heart.jobs.take()) is not None:
            done.append(self._do(job))
        return tuple(done)

    # With threads.

    def run(self, stop: threading.Event) -> None:
        """Guard until ``stop``; then end what runs at its next chunk, within ten seconds."""
        few_arenas()
        large_apart()
        set_apart()
        interrupted = self._heart.journal.interrupt_jobs(self._heart.clock.now())
        self._heart.log.say("guard_started", version=self._heart.version, interrupted=interrupted)
        for lane in (self.looking, self.working, self.asking):
            lane.start()
        watcher = threading.Thread(target=self.watcher.run, name="guard watch", daemon=True)
        with signals_held():
            watcher.start()
        self.looking.wake("start")
        self.asking.wake("start")
        try:
            while not stop.wait(_TICK):
                self.tick()
        finally:
            self._end()

    def _end(self) -> None:
        self._stop.set()
        self._heart.jobs.stop_all()
        give_up = self._heart.clock.monotonic() + _PATIENCE
        for lane in (self.looking, self.working, self.asking):
            lane.stop()
        for lane in (self.looking, self.working, self.asking):
            lane.join(give_up - self._heart.clock.monotonic())
        self._heart.log.say("guard_stopped")

    def tick(self) -> None:
        """What is due by the clock; never waits for a disk of the store, a server or a channel."""
        self.beat = self._heart.clock.monotonic()
        self._heart.alarm.tick()
        self._let_go()
        self._retry()
        self._overtime()
        self._tidy_memory()
        if self._maintenance and self._heart.board.standing is not None:
            self._due_tasks()
            if self._heart.tend.due(self.beat, self._heart.settings().settle.total_seconds()):
                self._submit(TEND)
        self._beside()

    def _tidy_memory(self) -> None:
        if self.beat - self._freed_at >= _CIRCLES_EVERY:
            self._freed_at = self.beat
            free_circles()
        if self.beat - self._trimmed_at >= _TRIM_EVERY:
            self._trimmed_at = self.beat
            release_buffers()
            give_back()

    def _let_go(self) -> None:
        """Take up a release that a person asked for at the command line."""
        memory = self._heart.memory
        if memory.brake.engaged and (wish := wished_release(self._heart.journal, memory.brake)) is not None:
            self.release_brake(wish.by)

    def _retry(self) -> None:
        wait = self._heart.memory.tries.wait(self.beat)
        if wait is not None and wait <= 0:
            self.looking.wake("try again", urgent=False)

    def _overtime(self) -> None:
        """A job past its deadline is told to stop; a lane that does not even then is given up and replaced."""
        heart, limit = self._heart, self._heart.settings().job_deadline
        for job in heart.jobs.running():
            if job.view.began_at is not None and heart.clock.now() - job.view.began_at > limit:
                job.stop.set()
        for lane, patience in (
            (self.working, limit.total_seconds() + _HANGS),
            (self.looking, limit.total_seconds() + _HANGS),
            (self.asking, _HUNG_LOOK),
        ):
            if lane.stuck(patience):
                heart.log.say("lane_replaced", lane=lane.name)
                heart.works(lane.name, "a piece of work hangs and was given up; a disk or a server does not answer")
                lane.start()

    def release_brake(self, who: str) -> None:
        """A person has looked: heal alone again (G4)."""
        self._heart.memory.set_brake(self._heart.memory.brake.released())
        self._heart.log.say("brake_released", by=who)
        self.looking.wake("brake released")

    def alive(self, seconds: float = 15.0) -> bool:
        """Whether the tick is fresh: liveness, which no work can hold up (H1)."""
        return self._heart.clock.monotonic() - self.beat < seconds

    # Lanes.

    def _store(self) -> str:
        standing = self._heart.board.standing
        return standing.store if standing is not None else ""

    def _heard(self, reason: str, *, urgent: bool) -> None:
        self._heart.tend.stir(self._heart.clock.monotonic())
        self.looking.wake(reason, urgent=urgent)

    def _look(self, reason: str) -> None:
        self._reconciler.look(reason)
        self.working.wake("look ended")

    def _ask(self, reason: str) -> None:
        """The server first; models when their interval is over."""
        del reason
        now, seen = self._heart.clock.monotonic(), self._heart.board.standing is not None
        due = now - self._probed_at >= self._heart.settings().probe_interval.total_seconds()
        if self._prober.check() and due and seen:
            self._probed_at = now
            self._prober.probe()

    def _work(self, reason: str) -> None:
        del reason
        while not self._stop.is_set() and (job := self._heart.jobs.take()) is not None:
            self._do(job)
            self.looking.wake(f"after {job.view.kind}")

    def _do(self, job: Job) -> JobView:
        heart, kind = self._heart, job.view.kind
        recurring = job.view.cause == SCHEDULE and kind in {task.name for task in tasks.tasks_of(heart.settings())}
        if recurring:
            heart.memory.set_runs(heart.memory.runs.begin(kind, heart.clock.now()))
        view = heart.jobs.carry_out(job)
        if recurring:
            heart.memory.set_runs(heart.memory.runs.end(kind, heart.clock.now(), view.error or view.state.value))
        self._keep(view)
        if recurring or kind == TEND:
            error = view.error if view.state is JobState.FAILED else ""
            heart.works(kind, error)
        return view

    def _keep(self, view: JobView) -> None:
        """What a job did goes into the history, whoever asked for it."""
        now = self._heart.clock.now()
        if isinstance(view.report, DrillReport):
            self._heart.record([drill_row(view.report, now)])
        elif isinstance(view.report, RepairReport):
            self._heart.record(action_rows(view.report, view.cause, now))

    # Schedule.

    def _due_tasks(self) -> None:
        heart, now = self._heart, self._heart.clock.now()
        for task in tasks.tasks_of(heart.settings()):
            if self._waits(task.name) or not self._allowed(task):
                continue
            if next_run(task, heart.memory.runs, heart.started_at, now, self._seed) <= now:
                self._submit(task.name)

    def _waits(self, kind: str) -> bool:
        """Whether one of this kind waits or runs already: no task overlaps itself."""
        return any(view.kind == kind and not view.over for view in self._heart.jobs.list())

    def _allowed(self, task: Task) -> bool:
        hours = self._heart.settings().scrub_hours
        if not hours or task.name not in (tasks.SCRUB_STORE, tasks.SCRUB_VAULT):
            return True
        return not Timetable.parse(hours).wait(self._heart.clock.now().astimezone())

    def _submit(self, kind: str) -> JobView:
        return self._heart.jobs.submit(kind, (), SCHEDULE, self._run_of(kind))

    def _run_of(self, kind: str) -> Run:
        heart = self._heart
        if kind == tasks.MAINTENANCE:
            return lambda job: work.maintain(heart, job)
        if kind == TEND:
            return lambda job: work.tend_store(heart, job)
        if kind == tasks.DRILL:
            return lambda job: work.rehearse(heart, job)
        since = self._since(kind)
        return lambda job: work.scrub(heart, job, work.of_task(kind), since)

    def _since(self, kind: str) -> timedelta:
        """How long ago the last slice was begun; the slice makes up for all of it."""
        last = self._heart.memory.runs.began.get(kind)
        every = next(task.every for task in tasks.tasks_of(self._heart.settings()) if task.name == kind)
        return every if last is None else max(timedelta(), self._heart.clock.now() - last)
