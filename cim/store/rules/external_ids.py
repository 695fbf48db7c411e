"""Rules about external ids."""

from __future__ import annotations

from cim.errors import Conflict, NotFound
from cim.external_ids import ExternalId

#: What is said when an id leads to another account, or is to lead to one that nobody logs in to.
LEADS_ELSEWHERE = "this external id leads to another account"
NO_CREDENTIAL = "there is no such account, or it is a guest's"


def may_link(user: int, there: bool, leads_to: int, has: str | None, external: ExternalId) -> bool:
    """Decide whether an id may lead to an account; return False if it does.

    :param there: whether the account has a credential
    :param leads_to: the account that the id leads to; 0 for none
    :param has: the account's id of that issuer; None for none
    :raises NotFound: the account has no credential
    :raises Conflict: the id leads elsewhere, or the account has another one
    """
    if not there:
        raise NotFound(NO_CREDENTIAL)
    if leads_to not in (0, user):
        raise Conflict(LEADS_ELSEWHERE)
    if has is not None and has != external.id:
        raise Conflict("this account has another external id of this issuer: unlink that one first")
    return leads_to != user or has is None
