"""Makes the calls that schemathesis invents meet something: proofs, and what exists in place of most inventions.

It is loaded by schemathesis, in a process of its own, which gets what there is in the environment.
"""

from __future__ import annotations

import json
import os
import zlib

import schemathesis

THERE = json.loads(os.environ.get("THERE", "{}"))


def _one_of(number, *values):
    """Whether these are the one in so many: the same at each run for the same inventions."""
    return zlib.crc32(repr(values).encode()) % number == 0


def _whose(case):
    """Whom a call is about; what ends something ends nothing that the others need."""
    if "/admin/" not in case.operation.path:
        return THERE["friend"]
    gone = {"/v1/admin/users/{id}": "condemned", "/v1/admin/users/{id}/erase": "erased"}
    return THERE[gone.get(case.operation.path, "victim")]


def _group(case):
    """Which group a call is about; what operators do to one is not done to the others' one."""
    path = case.operation.path
    if (case.method, path) == ("DELETE", "/v1/groups/{id}"):
        return THERE["dissolved"]
    if "/bans" in path or "/mute" in path:
        return THERE["moderated"]
    if "/admin/" not in path:
        return THERE["group"]
    return THERE["doomed" if (case.method, case.operation.path) == ("DELETE", "/v1/admin/groups/{id}") else "changed"]


def _in_path(case):
    whose = _whose(case)
    known = {
        "conversation": THERE["conversation"],
        "device": "phone",
        "user": whose,
        "id": _group(case) if "/groups/" in case.operation.path else whose,
        "report": THERE["report"],
        "token": THERE["users_token"],
        "position": THERE["position"],
    }
    return {name: known.get(name, value) for name, value in case.path_parameters.items()}


def _spared(case):
    # schemathesis learns ids from answers.
    needed = {str(THERE[name]) for name in ("user", "friend", "victim", "forgetful")}
    groups = {str(THERE[name]) for name in ("group", "changed", "moderated")}
    return {
        name: _whose(case) if str(value) in needed else _group(case) if str(value) in groups else value
        for name, value in case.path_parameters.items()
    }


def _message(body):
    body = {name: value for name, value in body.items() if name in ("client_id", "text")}
    return {**body, **({"to_group": THERE["group"]} if _one_of(2, body) else {"to_user": THERE["friend"]})}


@schemathesis.hook
def before_call(context, case, **kwargs):
    """Say who calls, and name what there is."""
    for name in ("Authorization", "X-API-Key"):
        case.headers.pop(name, None)
    if "/admin/" in case.operation.path or "/tokens" in case.operation.path:
        case.headers["X-API-Key"] = THERE["key"]
    elif case.operation.path != "/v1/accounts":
        case.headers["Authorization"] = f"Bearer {THERE['token']}"
    positive = case.meta is not None and case.meta.generation.mode is schemathesis.GenerationMode.POSITIVE
    if case.path_parameters and case.method != "GET":
        case.path_parameters = _spared(case)
    if positive and not _one_of(4, case.path_parameters, case.body):
        if case.path_parameters:
            case.path_parameters = _in_path(case)
        if isinstance(case.body, dict) and "client_id" in case.body:
            case.body = _message(case.body)
        if isinstance(case.body, dict) and "code" in case.body:
            case.body["code"] = THERE["code"]
