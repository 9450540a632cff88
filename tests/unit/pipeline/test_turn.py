"""Turns: one at a time, first come first served, whatever happens in one."""

import threading
from functools import partial

import pytest

from connector.pipeline.turn import Turn
from tests.rig.process import wait_until

_THREADS = 6


def _is_waited_for(turn: Turn, by: int) -> bool:
    return len(turn._waiting) == by  # noqa: SLF001 - nobody else has to know


def test_turn_is_handed_to_whoever_has_waited_longest() -> None:
    """Who comes back at once has to wait behind all others."""
    turn, order = Turn(), list[int]()

    def take(number: int) -> None:
        with turn:
            order.append(number)

    with turn:
        threads = [threading.Thread(target=take, args=[number], daemon=True) for number in range(_THREADS)]
        for waiting, thread in enumerate(threads, 1):
            thread.start()
            wait_until(partial(_is_waited_for, turn, waiting), "another one waits")
    take(_THREADS)
    for thread in threads:
        thread.join(10)
    assert order == [*range(_THREADS + 1)]


def test_turn_of_many_threads_is_one_at_a_time() -> None:
    """None is ever in it with another, and all come through."""
    turn, done = Turn(), list[int]()
    inside: list[int] = []

    def work(number: int) -> None:
        for _ in range(200):
            with turn:
                inside.append(number)
                assert inside == [number]
                inside.clear()
        done.append(number)

    threads = [threading.Thread(target=work, args=[number], daemon=True) for number in range(_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(done) == [*range(_THREADS)]


def test_turn_that_ends_in_an_error_is_over() -> None:
    """A life of a partition may end within a turn; the others go on."""
    turn = Turn()
    with pytest.raises(ValueError, match="odd"), turn:
        raise ValueError("odd")
    with turn:
        assert _is_waited_for(turn, 0)
