"""`/v1`: messages that users report, and what operators do with the reports (docs/moderation.md)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import frozen

from cim.api_keys import Scope
from cim.errors import NotFound
from cim.interfaces import IReports
from cim.model import Report
from cim.route.front.rates import Rates
from cim.route.http.access import Caller
from cim.route.http.shapes import MORE, PAGE, USER_ID, WHEN, WHERE, ConversationName, Position, limit
from cim.route.messages.accounts import KnownAccounts
from cim.route.messages.reporting import MAX_COPY, Reporting
from cim.user_tokens import UserScope
from cim.web.declaring import Who, WithStatus, http_call
from cim.web.schema import Array, Boolean, Choice, Id, Integer, Nullable, Object, Optional, Text
from cim.wire.native import MAX_CONTENT, MAX_CONTENT_TYPE

MAX_REASON = 500
_REPORT_ID = Id(about="The id of a report.")
_MADE = Object({"id": _REPORT_ID, "repeated": Boolean("You had reported it before: that report stands.")}, "MadeReport")
_SOMEBODY = Object({"id": USER_ID, "name": Text(1024, about="Empty if the account was deleted.")}, "ReportedUser")
REPORT = Object(
    {
        "id": _REPORT_ID,
        "reporter": _SOMEBODY,
        "sender": _SOMEBODY,
        "conversation": ConversationName(),
        "position": Position("Where the message is."),
        "sent_at": WHEN,
        "text": Text(MAX_COPY, about="What it said when it was reported, whatever became of it."),
        "cut": Boolean("It said more."),
        "content_type": Text(MAX_CONTENT_TYPE, about="The type of its data."),
        "size": Integer(0, MAX_CONTENT, "Bytes of data that it had, of which there is no copy."),
        "reason": Text(MAX_REASON, about="Why, by the reporter."),
        "at": WHEN,
        "closed": Nullable(Integer(0, 1 << 53, "When it was closed, ms since 1970; null while it is open.")),
        "by": Text(64, about="The name of the API key with which it was closed."),
        "note": Text(MAX_REASON, about="What the operator noted."),
    },
    "Report",
)
_REPORTS = Object(
    {"reports": Array(REPORT, "Open ones: the oldest first; closed ones: the newest first."), "more": MORE}, "Reports"
)


async def reports_shown(reports: Sequence[Report], known: KnownAccounts) -> list[dict[str, Any]]:
    """Return reports as JSON values."""
    names = await known.names([one.reporter for one in reports])
    return [
        {
            "id": one.id,
            "reporter": {"id": one.reporter, "name": name},
            "sender": {"id": one.sender, "name": one.sender_name},
            "conversation": one.conversation,
            "position": one.position,
            "sent_at": one.sent_at,
            "text": one.text,
            "cut": one.cut,
            "content_type": one.content_type,
            "size": one.size,
            "reason": one.reason,
            "at": one.at,
            "closed": one.closed or None,
            "by": one.by,
            "note": one.note,
        }
        for one, name in zip(reports, names, strict=True)
    ]


@frozen(kw_only=True, eq=False)
class ReportsAPI:
    """The calls about reports."""

    _store: IReports
    _reporting: Reporting
    _known: KnownAccounts
    _rates: Rates

    @http_call(
        "POST /v1/reports",
        needs=UserScope.SEND,
        body={
            "conversation": ConversationName(),
            "position": Position("The message."),
            "reason": Optional(Text(MAX_REASON, about="Why, for the operators."), ""),
        },
        answers={201: _MADE, 200: _MADE},
        errors=(404,),
        example={"conversation": "p:1795430398288:1795430398297", "position": "1795430398288-1", "reason": "spam"},
    )
    async def report_message(self, caller: Caller, conversation: str, position: str, reason: str) -> WithStatus:
        """Report a message of somebody else that you can read to the operators.

        They get a copy of what it says now, so that a recall does not help. 200 if you had reported it before. Nobody
        else learns of it.
        """
        user = caller.account.id
        self._rates.take("user-reports", user)
        made = await self._reporting.report(user, conversation, position, reason)
        return WithStatus(200 if made.repeated else 201, {"id": made.report.id, "repeated": made.repeated})

    @http_call(
        "GET /v1/admin/reports",
        who=Who.OPERATOR,
        scope=Scope.MODERATE,
        query={
            "state": Optional(Choice(("open", "closed"), "Which of them."), "open"),
            "reporter": Optional(Id(about="Only those by a user.")),
            "sender": Optional(Id(about="Only those of what a user said.")),
            "conversation": Optional(ConversationName()),
            "after": Optional(WHERE, ""),
            "limit": Optional(limit(), PAGE),
        },
        answers={200: _REPORTS},
        watched=True,
    )
    async def reports(
        self,
        caller: Caller,
        state: str,
        reporter: int | None,
        sender: int | None,
        conversation: str | None,
        after: str,
        limit: int,
    ) -> dict[str, Any]:
        """List reports.

        With a filter, a page may have few reports, or none, even if more follow.
        """
        page = await self._store.listed(open=state == "open", after=after, limit=limit)
        wanted = [
            one
            for one in page.items
            if reporter in (None, one.reporter)
            and sender in (None, one.sender)
            and conversation in (None, one.conversation)
        ]
        return {"reports": await reports_shown(wanted, self._known), "more": page.more or None}

    @http_call(
        "GET /v1/admin/reports/{report}",
        who=Who.OPERATOR,
        scope=Scope.MODERATE,
        path={"report": _REPORT_ID},
        answers={200: REPORT},
        errors=(404,),
        watched=True,
    )
    async def read_report(self, caller: Caller, report: int) -> dict[str, Any]:
        """Read a report."""
        return await self._shown(await self._store.report(report))

    @http_call(
        "POST /v1/admin/reports/{report}/close",
        who=Who.OPERATOR,
        scope=Scope.MODERATE,
        path={"report": _REPORT_ID},
        body={"note": Optional(Text(MAX_REASON, about="For operators."), "")},
        answers={200: REPORT},
        errors=(404,),
        example={"note": "was warned"},
    )
    async def close_report(self, caller: Caller, report: int, note: str) -> dict[str, Any]:
        """Close a report; one that is closed stays as it is."""
        by = caller.key.name if caller.key is not None else ""
        return await self._shown(await self._store.close(report, by, note))

    async def _shown(self, report: Report | None) -> dict[str, Any]:
        if report is None:
            raise NotFound("there is no such report")
        return (await reports_shown([report], self._known))[0]
