"""The outbox: each channel gets each notice at least once, in order, and a dead channel costs the others nothing."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from modelward.domain.alert import Notice, Severity, What
from modelward.domain.codec import decode, encode
from modelward.domain.outbox import (
    FIRST_BREAK,
    LONGEST_BREAK,
    LONGEST_QUEUE,
    TRIES,
    Delivery,
    Outbox,
    delivered,
    due,
    failed,
    next_try,
    posted,
)

NOW = datetime(2026, 1, 5, 12, 0, tzinfo=UTC)


def notice(name: str) -> Notice:
    """A notice that is known by its id."""
    return Notice(id=name, at=NOW, what=What.FIRING, severity=Severity.CRITICAL, title=f"title {name}")


def filled(*names: str, channels: tuple[str, ...] = ("webhook", "log")) -> Outbox:
    """An outbox with these notices for two channels."""
    return posted(Outbox(), [notice(name) for name in names], channels)


def first(outbox: Outbox, channel: str, now: datetime = NOW) -> Delivery | None:
    """What is due for the channel."""
    return next((delivery for delivery in due(outbox, now) if delivery.channel == channel), None)


def test_every_channel_gets_every_notice_in_order() -> None:
    """One at a time for each channel, until its queue is empty."""
    outbox, sent = filled("1", "2", "3"), list[tuple[str, str]]()
    while found := due(outbox, NOW):
        for delivery in found:
            sent.append((delivery.channel, delivery.notice.id))
            outbox = delivered(outbox, delivery)
    assert [name for channel, name in sent if channel == "webhook"] == ["1", "2", "3"]
    assert [name for channel, name in sent if channel == "log"] == ["1", "2", "3"]
    assert next_try(outbox, NOW) is None


def test_a_failure_is_tried_again_after_growing_breaks() -> None:
    """10 s, 20 s, 40 s and so on up to an hour; the other channel goes on; what it said is kept."""
    outbox, now, breaks = filled("1"), NOW, list[timedelta]()
    for _ in range(12):
        delivery = first(outbox, "webhook", now)
        assert delivery is not None
        outbox = failed(outbox, delivery, "answered 500", now)
        assert first(outbox, "webhook", now) is None
        at = min(queue.due for queue in outbox.queues if queue.due)
        breaks.append(at - now)
        now = at
    assert breaks[:3] == [FIRST_BREAK, 2 * FIRST_BREAK, 4 * FIRST_BREAK]
    assert breaks[-1] == max(breaks) == LONGEST_BREAK
    assert outbox.of("webhook").error == "answered 500"
    assert first(outbox, "log") == Delivery(channel="log", notice=notice("1"))


def test_a_delivery_ends_the_break() -> None:
    """The next failure begins with the short break."""
    outbox = filled("1", "2", channels=("webhook",))
    delivery = due(outbox, NOW)[0]
    outbox = delivered(failed(outbox, delivery, "down", NOW), delivery)
    assert (outbox.of("webhook").error, outbox.of("webhook").tries) == ("", 0)
    assert [each.notice.id for each in due(outbox, NOW)] == ["2"]


def test_a_notice_that_nobody_takes_is_given_up_after_days() -> None:
    """So that one bad notice does not hold back the others for ever; it is counted."""
    outbox, now = filled("bad", "good", channels=("webhook",)), NOW
    for _ in range(TRIES):
        outbox = failed(outbox, due(outbox, now)[0], "answered 400", now)
        now = next_try(outbox, now) or now
    assert now - NOW > timedelta(days=2)
    assert outbox.of("webhook").lost == 1
    assert [each.notice.id for each in due(outbox, now)] == ["good"]


def test_the_same_notice_waits_once() -> None:
    """A guard that was killed posts again what it had posted."""
    outbox = posted(filled("1"), [notice("1"), notice("2")], ("webhook", "log"))
    assert [each.id for each in outbox.of("webhook").notices] == ["1", "2"]


def test_a_queue_keeps_its_newest_and_counts_the_lost() -> None:
    """A channel that is dead for ever costs no more than so much."""
    names = [str(number) for number in range(LONGEST_QUEUE + 3)]
    queue = filled(*names).of("log")
    assert [each.id for each in queue.notices] == names[3:]
    assert queue.lost == 3


def test_a_channel_that_is_no_longer_set_ends() -> None:
    """With all that waited for it."""
    outbox = posted(filled("1"), [], ("log", "new"))
    assert [queue.channel for queue in outbox.queues] == ["log", "new"]
    assert [delivery.channel for delivery in due(outbox, NOW)] == ["log"]


def test_a_clock_that_was_set_back_does_not_make_a_break_of_a_month() -> None:
    """What was due at a time that is far ahead now is due at once."""
    outbox = filled("1", channels=("webhook",))
    outbox = failed(outbox, due(outbox, NOW)[0], "down", NOW)
    back = NOW - timedelta(days=30)
    assert next_try(outbox, back) == back
    assert len(due(outbox, back)) == 1


@given(outcomes=st.lists(st.booleans(), max_size=60), count=st.integers(1, 5))
def test_each_notice_is_delivered_once_in_order_whatever_fails(outcomes: list[bool], count: int) -> None:
    """Through any failures, the JSON form, and a restart after each step."""
    names = [str(number) for number in range(count)]
    outbox, now, taken = filled(*names, channels=("webhook",)), NOW, list[str]()
    for good in [*outcomes, *[True] * count]:
        outbox = decode(encode(outbox), Outbox)
        now = next_try(outbox, now) or now
        for delivery in due(outbox, now):
            if good:
                taken.append(delivery.notice.id)
                outbox = delivered(outbox, delivery)
            else:
                outbox = failed(outbox, delivery, "down", now)
    assert taken == names
