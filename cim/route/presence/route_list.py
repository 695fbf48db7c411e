"""The routes that the registry lists, for operators to see."""

from __future__ import annotations

from collections.abc import Mapping

from cim.nodes import NodeData


class RouteList:
    """Follows the registry.

    :ivar listed: the routes of this software, by name
    """

    def __init__(self) -> None:
        self.listed: Mapping[str, NodeData] = {}

    def update(self, nodes: Mapping[str, bytes]) -> None:
        """Take over the registry's list."""
        read = {name: NodeData.decode(value) for name, value in nodes.items()}
        self.listed = {name: data for name, data in read.items() if data is not None}
