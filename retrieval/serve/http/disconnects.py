"""Clients that leave: what is done for them ends."""

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from fastapi import Request

from retrieval.serve.errors import ClientLeft

T = TypeVar("T")


async def unless_left(request: Request, work: Awaitable[T]) -> T:
    """The result of `work`, which is cancelled where the client leaves before. Raises ClientLeft.

    The request's body must have been read.
    """
    task = asyncio.ensure_future(work)
    leaving = asyncio.ensure_future(_left(request))
    try:
        await asyncio.wait([task, leaving], return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientLeft("the client left before the answer")
    finally:
        leaving.cancel()
        task.cancel()
        await asyncio.gather(task, leaving, return_exceptions=True)


async def _left(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
