"""What a Client can be asked for, as its methods say it."""

from __future__ import annotations

import inspect

from twisted.application.service import Service

from cim.client.calls import ClientCalls
from cim.client.client import Client

#: Names of methods -> their signatures; those of a Service alone are left out.
METHODS = {
    name: inspect.signature(method)
    for part in (ClientCalls, Client)
    for name, method in vars(part).items()
    if inspect.isfunction(method) and not name.startswith("_") and not hasattr(Service, name)
}


def arguments(signature):
    """Return how it is called: names, kinds and defaults."""
    return [(one.name, one.kind, one.default) for one in signature.parameters.values()]
