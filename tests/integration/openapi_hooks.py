"""Makes the calls that schemathesis invents meet something: proofs, and what exists in place of every second invention.

It is loaded by schemathesis, in a process of its own, which gets what there is in the environment.
"""

from __future__ import annotations

import json
import os
import zlib

import schemathesis

THERE = json.loads(os.environ.get("THERE", "{}"))


def _second(*values):
    """Whether to replace: the same at each run for the same inventions."""
    return zlib.crc32(repr(values).encode()) % 2 == 0


def _in_path(case):
    whose = THERE["victim"] if "/admin/" in case.operation.path else THERE["friend"]
    known = {
        "conversation": THERE["conversation"],
        "device": "phone",
        "user": whose,
        "id": THERE["group"] if "/groups/" in case.operation.path else whose,
    }
    return {name: known[name] for name in case.path_parameters}


def _message(body):
    body = {name: value for name, value in body.items() if name in ("client_id", "text")}
    return {**body, **({"to_group": THERE["group"]} if _second(body) else {"to_user": THERE["friend"]})}


@schemathesis.hook
def before_call(context, case, **kwargs):
    """Say who calls, and name what there is."""
    for name in ("Authorization", "X-API-Key"):
        case.headers.pop(name, None)
    if "/admin/" in case.operation.path:
        case.headers["X-API-Key"] = THERE["key"]
    elif case.operation.path != "/v1/accounts":
        case.headers["Authorization"] = f"Bearer {THERE['token']}"
    positive = case.meta is not None and case.meta.generation.mode is schemathesis.GenerationMode.POSITIVE
    if positive and _second(case.path_parameters, case.body):
        if case.path_parameters:
            case.path_parameters = _in_path(case)
        if isinstance(case.body, dict) and "client_id" in case.body:
            case.body = _message(case.body)
