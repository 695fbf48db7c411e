"""A client's methods for asyncio programs, with the same names, arguments and docstrings."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Generator
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from twisted.internet.defer import Deferred

P = ParamSpec("P")
T = TypeVar("T")


async def result_of(deferred: Deferred[T]) -> T:
    """Wait for a Deferred in the running event loop."""
    import asyncio  # Twisted programs do not need it

    return await deferred.asFuture(asyncio.get_running_loop())


def awaited(
    method: Callable[Concatenate[Any, P], Deferred[T]],
) -> Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]:
    """Return a method of a client as a coroutine method of a class that has the client as `_client`."""

    @wraps(method)
    async def called(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        # Looked up by name, so that a subclass can override it.
        return await result_of(getattr(self._client, method.__name__)(*args, **kwargs))

    signature = inspect.signature(method)
    returned = signature.return_annotation.removeprefix("Deferred[").removesuffix("]")
    called.__signature__ = signature.replace(return_annotation=returned)  # type: ignore[attr-defined]  # read by inspect
    return called


class _Done:
    """Can be awaited, and need not be."""

    def __await__(self) -> Generator[Any, Any, None]:
        yield from ()


def noted(method: Callable[Concatenate[Any, P], None]) -> Callable[Concatenate[Any, P], Awaitable[None]]:
    """Return a method of a client that does not wait as `passed_on` does; its result can be awaited, too."""

    @wraps(method)
    def called(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> Awaitable[None]:
        getattr(self._client, method.__name__)(*args, **kwargs)
        return _Done()

    return called


def passed_on(method: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[Any, P], T]:
    """Return a method of a client that does not wait as a method of a class that has the client as `_client`."""

    @wraps(method)
    def called(self: Any, /, *args: P.args, **kwargs: P.kwargs) -> T:
        done: T = getattr(self._client, method.__name__)(*args, **kwargs)
        return done

    return called
