"""The echo bot as an asyncio program: no Twisted in sight.

    python examples/aio_echo.py --route http://127.0.0.1:8083 --user echo

It answers private messages, and continues where it left off.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys

from cim.client import CIMError, DataDirectory, Kind, aio, data_home


async def answer(client: aio.AsyncClient) -> None:
    """Echo messages until the client is closed."""
    await client.when_ready()
    sys.stderr.write(f"{client.me.name if client.me else ''} is online\n")
    async for message in client.messages():
        if message.kind is Kind.TEXT and not message.mine and message.conversation.startswith("p:"):
            try:
                # The same client id is the same message, so a crash repeats no answer. Upstream's servers have no ids.
                client_id = f"echo-{message.position}" if message.position else ""
                await client.send(message.conversation, message.text, client_id=client_id)
            except CIMError as error:
                sys.stderr.write(f"not answered: {error.message}\n")


async def main(route: str, user: str) -> None:
    """Stay online until SIGINT or SIGTERM."""
    directory = DataDirectory.of(data_home(os.environ), route, user)
    async with aio.connect(route, directory.credentials(user), history=directory.history, agent="aio_echo") as client:
        answering = asyncio.create_task(answer(client))
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, answering.cancel)
        await asyncio.wait([answering])
    if not answering.cancelled():
        await answering


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Echo messages.")
    parser.add_argument("--route", default="http://127.0.0.1:8083")
    parser.add_argument("--user", default="echo")
    options = parser.parse_args()
    try:
        asyncio.run(main(options.route, options.user))
    except CIMError as error:
        sys.exit(f"aio_echo: {error.message}")
