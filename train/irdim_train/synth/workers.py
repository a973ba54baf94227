"""Work over several processes, its results in order, few of them waiting."""

import itertools
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from typing import TypeVar

import cv2

T = TypeVar("T")
R = TypeVar("R")


def cores() -> int:
    """How many this process may use."""
    return len(os.sched_getaffinity(0))


def in_order(function: Callable[[T], R], tasks: Iterable[T], workers: int) -> Iterator[R]:
    """function(task) for every task, in their order. workers: 1 stays in this process; more are started afresh, so that no thread of this
    one is forked. An error, or leaving the loop, stops the work that has not begun."""
    if workers <= 1:
        yield from map(function, tasks)
        return
    tasks = iter(tasks)
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"), _begin) as pool:
        try:
            waiting: deque[Future[R]] = deque(pool.submit(function, t) for t in itertools.islice(tasks, 2 * workers))
            while waiting:
                result = waiting.popleft().result()
                waiting.extend(pool.submit(function, t) for t in itertools.islice(tasks, 1))
                yield result
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _begin() -> None:
    """Ctrl-C ends the parent, which ends these; and each is one core's worth of work."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
