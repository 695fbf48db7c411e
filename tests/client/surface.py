"""The public methods of Client, with their signatures."""

from __future__ import annotations

import inspect

from twisted.application.service import Service

from cim.client.calls import ClientCalls
from cim.client.client import Client

#: Signatures by method name, without the methods of Service.
METHODS = {
    name: inspect.signature(method)
    for part in (ClientCalls, Client)
    for name, method in vars(part).items()
    if inspect.isfunction(method) and not name.startswith("_") and not hasattr(Service, name)
}


def arguments(signature):
    """Return the signature of a method: names, kinds and defaults."""
    return [(one.name, one.kind, one.default) for one in signature.parameters.values()]
