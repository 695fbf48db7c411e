"""Assembles what the console's listener serves: its page, its logins, and the calls of operators."""

from __future__ import annotations

from collections.abc import Callable

from cim.daemon.metrics import Metrics
from cim.daemon.tracing import Tracer
from cim.route.console.api import ConsoleAPI
from cim.route.console.gate import ConsoleGate
from cim.route.console.sessions import KeySessions
from cim.route.http.admin import AdminAPI
from cim.route.http.admin_groups import AdminGroupsAPI
from cim.route.http.api import V1
from cim.route.http.api_keys import APIKeys
from cim.route.http.audit import Auditing
from cim.route.http.broadcasts import BroadcastsAPI
from cim.route.http.conversations import ConversationsAPI
from cim.route.http.export import ExportAPI
from cim.route.http.removals import RemovalsAPI
from cim.route.http.reports import ReportsAPI
from cim.route.http.reset_codes import ResetCodesAPI
from cim.route.http.sanctions import SanctionsAPI
from cim.route.http.status import StatusAPI
from cim.route.http.users import UsersAPI
from cim.web.operations import Where
from cim.web.problem import Problems
from cim.web.serving import CallResource

#: Whose calls operators make at the console; calls of users among them are refused.
SERVED = (
    AdminAPI,
    AdminGroupsAPI,
    BroadcastsAPI,
    ConversationsAPI,
    ExportAPI,
    RemovalsAPI,
    ReportsAPI,
    ResetCodesAPI,
    SanctionsAPI,
    StatusAPI,
    UsersAPI,
)


def console_calls(
    v1: V1,
    keys: APIKeys,
    *,
    metrics: Metrics,
    where: Where,
    seconds: Callable[[], float],
    new_id: Callable[[], str],
    reads_messages: bool,
    tracer: Tracer | None = None,
) -> CallResource:
    """Return the resource that serves the console's calls.

    :param v1: the same objects as at the route's other listener
    :param where: gives the address of a request's client
    :param seconds: a clock that only goes forward
    :param new_id: makes an unguessable text
    :param reads_messages: whether operators may see what users said
    :param tracer: None if nothing is traced
    """
    audit = Auditing("console")
    sessions = KeySessions(keys, seconds, new_id)
    own = ConsoleAPI(keys, sessions, audit, seconds, metrics.refused, reads_messages=reads_messages)
    gate = ConsoleGate(sessions, where, reads_messages=reads_messages)
    metrics.gauge("console_sessions", "Logins at the console.", lambda: len(sessions))
    apis = [api for api in v1.apis if isinstance(api, SERVED)]
    return CallResource({_ConsoleProblems(gate, audit=audit): [own, *apis]}, metrics, tracer)


class _ConsoleProblems(Problems):
    """The dialect of all that is no page."""

    def speaks(self, path: str) -> bool:
        """See Dialect."""
        return True
