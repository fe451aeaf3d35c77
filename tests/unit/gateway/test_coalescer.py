"""Many callers, few calls."""

import asyncio
from collections.abc import Sequence

import pytest
from gateway.clients.coalescer import Coalescer, Limits
from wattbook.errors import InvalidInput, Unavailable


class Owner:
    """Answers items with themselves; holds calls until told."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.error: Exception | None = None

    async def __call__(self, items: Sequence[int]) -> Sequence[int]:
        self.calls.append([*items])
        await self.open.wait()
        if self.error:
            raise self.error
        if 13 in items:
            raise InvalidInput("13 brings bad luck")
        return items


async def on_its_way(owner: Owner) -> None:
    """Until a call is on its way."""
    async with asyncio.timeout(5):
        while not owner.calls:
            await asyncio.sleep(0)


def run(scenario) -> None:
    asyncio.run(asyncio.wait_for(scenario, 10))


def test_who_asks_in_the_same_turn_shares_one_call() -> None:
    async def scenario() -> None:
        owner = Owner()
        coalescer = Coalescer(owner, Limits())

        answers = await asyncio.gather(*(coalescer.ask(number) for number in range(10)))

        assert answers == [*range(10)]
        assert owner.calls == [[*range(10)]]

    run(scenario())


def test_arrivals_gather_while_calls_are_in_flight() -> None:
    async def scenario() -> None:
        owner = Owner()
        owner.open.clear()
        coalescer = Coalescer(owner, Limits(in_flight=1))
        first = asyncio.ensure_future(coalescer.ask(0))
        await on_its_way(owner)

        later = [asyncio.ensure_future(coalescer.ask(number)) for number in (1, 2, 3)]
        await asyncio.sleep(0)
        assert owner.calls == [[0]]
        owner.open.set()

        assert await asyncio.gather(first, *later) == [0, 1, 2, 3]
        assert owner.calls == [[0], [1, 2, 3]]

    run(scenario())


def test_a_call_takes_no_more_than_its_limit() -> None:
    async def scenario() -> None:
        owner = Owner()
        coalescer = Coalescer(owner, Limits(most_a_call=4))

        assert await asyncio.gather(*(coalescer.ask(n) for n in range(10))) == [*range(10)]
        assert max(map(len, owner.calls)) == 4

    run(scenario())


def test_who_gives_up_takes_nobody_along() -> None:
    async def scenario() -> None:
        owner = Owner()
        owner.open.clear()
        coalescer = Coalescer(owner, Limits())
        asked = [asyncio.ensure_future(coalescer.ask(number)) for number in (1, 2, 3)]
        await on_its_way(owner)

        asked[1].cancel()
        owner.open.set()

        assert await asyncio.gather(asked[0], asked[2]) == [1, 3]
        assert asked[1].cancelled()

    run(scenario())


def test_one_bad_item_does_not_refuse_the_others() -> None:
    async def scenario() -> None:
        owner = Owner()
        coalescer = Coalescer(owner, Limits())

        answers = await asyncio.gather(*(coalescer.ask(n) for n in (12, 13, 14)), return_exceptions=True)

        assert (answers[0], answers[2]) == (12, 14)
        assert isinstance(answers[1], InvalidInput)

    run(scenario())


def test_a_failed_call_fails_everybody_in_it_once() -> None:
    async def scenario() -> None:
        owner = Owner()
        owner.error = Unavailable("down", retry_after_s=3)
        coalescer = Coalescer(owner, Limits())

        answers = await asyncio.gather(*(coalescer.ask(n) for n in (1, 2)), return_exceptions=True)

        assert [type(answer) for answer in answers] == [Unavailable, Unavailable]
        assert answers[0] is not answers[1]
        assert len(owner.calls) == 1

    run(scenario())


def test_a_bug_in_the_call_leaves_nobody_waiting() -> None:
    async def scenario() -> None:
        owner = Owner()
        owner.error = ZeroDivisionError()
        coalescer = Coalescer(owner, Limits())

        with pytest.raises(Unavailable):
            await coalescer.ask(1)

    run(scenario())


def test_no_answer_in_time_is_unavailable_and_the_next_caller_is_served() -> None:
    async def scenario() -> None:
        owner = Owner()
        owner.open.clear()
        coalescer = Coalescer(owner, Limits(timeout_s=0.02, in_flight=1))

        with pytest.raises(Unavailable):
            await coalescer.ask(1)
        waiting = asyncio.ensure_future(Coalescer.ask(coalescer, 2))
        await asyncio.sleep(0)
        owner.open.set()

        assert await waiting == 2

    run(scenario())


def test_beyond_the_queue_callers_are_turned_away_at_once() -> None:
    async def scenario() -> None:
        owner = Owner()
        owner.open.clear()
        coalescer = Coalescer(owner, Limits(most_waiting=2, in_flight=1))
        held = [asyncio.ensure_future(coalescer.ask(0))]
        await on_its_way(owner)
        held += [asyncio.ensure_future(coalescer.ask(n)) for n in (1, 2)]
        await asyncio.sleep(0)

        with pytest.raises(Unavailable) as caught:
            await coalescer.ask(3)

        assert caught.value.retry_after_s == 1
        owner.open.set()
        assert await asyncio.gather(*held) == [0, 1, 2]

    run(scenario())


FOREVER_S = 3600.0


def test_whoever_was_answered_together_is_waited_for() -> None:
    """Callers who ask one thing after the other come back at once, but not in one turn of the loop."""

    async def scenario() -> None:
        owner = Owner()
        coalescer = Coalescer(owner, Limits(linger_s=FOREVER_S))
        await asyncio.gather(*(coalescer.ask(number) for number in range(10)))

        back = []
        for number in range(8):  # most of them
            assert owner.calls == [[*range(10)]]
            back.append(asyncio.ensure_future(coalescer.ask(number)))
            await asyncio.sleep(0)

        assert await asyncio.gather(*back) == [*range(8)]
        assert owner.calls == [[*range(10)], [*range(8)]]

    run(scenario())


def test_who_comes_back_alone_waits_for_a_moment_and_a_few_wait_for_nobody() -> None:
    async def scenario() -> None:
        owner = Owner()
        coalescer = Coalescer(owner, Limits(linger_s=0.001))
        await asyncio.gather(*(coalescer.ask(number) for number in range(10)))
        assert await coalescer.ask(1) == 1

        few = Coalescer(owner, Limits(linger_s=FOREVER_S))
        await asyncio.gather(*(few.ask(number) for number in range(3)))
        assert await few.ask(2) == 2

    run(scenario())


def test_another_call_begins_beside_one_only_after_it_was_given_time() -> None:
    async def scenario(patience_s: float, expected: list[list[int]]) -> None:
        owner = Owner()
        owner.open.clear()
        coalescer = Coalescer(owner, Limits(patience_s=patience_s))
        held = [asyncio.ensure_future(coalescer.ask(0))]
        await on_its_way(owner)
        held += [asyncio.ensure_future(coalescer.ask(number)) for number in (1, 2)]

        async with asyncio.timeout(5):
            while len(owner.calls) < len(expected):
                await asyncio.sleep(0)
        assert owner.calls == expected
        owner.open.set()
        assert await asyncio.gather(*held) == [0, 1, 2]
        assert owner.calls == [[0], [1, 2]]

    run(scenario(FOREVER_S, [[0]]))
    run(scenario(0.001, [[0], [1, 2]]))
