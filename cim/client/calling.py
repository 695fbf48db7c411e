"""How the calls of a client are made: each is a coroutine, and a Deferred for Twisted programs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from twisted.internet.defer import Deferred

S = TypeVar("S")
P = ParamSpec("P")
T = TypeVar("T")


def call(method: Callable[Concatenate[S, P], Coroutine[Any, Any, T]]) -> Callable[Concatenate[S, P], Deferred[T]]:
    """Make a coroutine method return a Deferred, with the right signature for `help` and editors."""

    @wraps(method)
    def called(self: S, /, *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        return Deferred.fromCoroutine(method(self, *args, **kwargs))

    signature = inspect.signature(method)
    returned = f"Deferred[{signature.return_annotation}]"
    called.__signature__ = signature.replace(return_annotation=returned)  # type: ignore[attr-defined]  # read by inspect
    return called
