"""Webhooks for tests of clusters in memory."""

from __future__ import annotations

from cim.route.events.webhooks import Webhooks


def webhooks_of(cluster, request, *webhooks):
    """Return the webhooks of a route, whose requests are made by a function of the test's."""
    return Webhooks(
        webhooks,
        requests=lambda _: request,
        store=cluster.store,
        clock=cluster.clock,
        time_of_day=cluster.clock.seconds,
        new_id=lambda: next(cluster.owners),
        random=lambda: 0.5,
        metrics=cluster.metrics,
    )
