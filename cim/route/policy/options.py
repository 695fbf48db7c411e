"""The options of policies and hooks, and the policy that they describe."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar

from twisted.internet.interfaces import IReactorTime
from twisted.python.usage import UsageError

from cim.daemon.config import DaemonOptions
from cim.interfaces import IMessagePolicy
from cim.plain import quoted
from cim.policies import About
from cim.route.policy.guarded import AllOf, Bounds, Count, Guarded
from cim.route.policy.hook import Hook, HookSettings, hook_of
from cim.route.policy.words import WordFilter

#: The longest time that all hooks that are asked about the same may take together, in seconds: servers give a message
#: up after five.
MOST_SECONDS = 3.0


class PolicyOptions(DaemonOptions):
    """Adds `--message-policy`, and the tables `[[before-hook]]` of the file."""

    repeated: ClassVar[Sequence[str]] = ("message-policy",)
    tables: ClassVar[Mapping[str, Callable[[Mapping[str, Any]], Any]]] = {"before-hook": hook_of}

    def opt_message_policy(self, text: str) -> None:
        """Have what users say and call themselves decided on: words:mask:FILE, words:refuse:FILE, or NAME[:ARGUMENT] of
        a plugin; may be repeated."""
        self.add("message-policy", text)


def hooks_of(options: Any) -> Sequence[HookSettings]:
    """Return the hooks that options describe.

    :raises UsageError: two have one name, or they may take too long together
    """
    hooks: Sequence[HookSettings] = options.get("before-hook") or ()
    if len({hook.name for hook in hooks}) < len(hooks):
        raise UsageError("each [[before-hook]] must have a name of its own")
    for about in About:
        seconds = sum(hook.bounds.seconds for hook in hooks if about in hook.kinds)
        if seconds > MOST_SECONDS:
            raise UsageError(
                f"the deadlines of all [[before-hook]] that are asked about {about} must be {MOST_SECONDS:g} seconds at"
                f" most together, not {seconds:g}"
            )
    return hooks


def policies_of(
    options: Any,
    plugins: Callable[[], Iterable[IMessagePolicy]],
    hooks: Sequence[Hook],
    clock: IReactorTime,
    count: Count,
) -> AllOf | None:
    """Return the policies that options describe, those in the process first; None if there are none.

    :param plugins: looks for plugins
    :param hooks: asks those of `hooks_of`, in their order
    :raises UsageError: there is no such policy, or it does not take its argument
    """
    chosen = [_chosen(text, plugins) for text in options.get("message-policy") or ()]
    guarded = [Guarded(policy, policy.name, Bounds(), clock, count) for policy in chosen]
    bounds = [hook.bounds for hook in hooks_of(options)]
    guarded += [Guarded(hook, hook.name, one, clock, count) for hook, one in zip(hooks, bounds, strict=True)]
    return AllOf(guarded) if guarded else None


def _chosen(text: str, plugins: Callable[[], Iterable[IMessagePolicy]]) -> IMessagePolicy:
    name, _, argument = text.partition(":")
    # Plugins are other people's code: import them only if the name is not ours.
    found: dict[str, IMessagePolicy] = {WordFilter.name: WordFilter()}
    if name not in found:
        found.update({one.name: one for one in plugins()})
    if name not in found:
        raise UsageError(f"--message-policy must be one of {', '.join(sorted(found))}, not {quoted(name, 40)}")
    try:
        return found[name].configured(argument)
    except ValueError as error:
        raise UsageError(f"--message-policy {error}") from None
