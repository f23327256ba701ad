"""A complete requester: asks for a person's papers and prints what comes."""

import asyncio
import sys

from chopar import Delivered, DemandResolved, HttpSchemaRegistry, KafkaBus, PersonId, Requester
from chopar.errors import ChoparError
from chopar.requester.requester import Event


async def ask(requester: Requester, pinfl: str, *documents: str) -> list[Event]:
    exchange = await requester.demand(
        procedure="electricity-supply-contract", subject=PersonId(pinfl), documents=documents, official="clerk-17"
    )
    events = []
    async for event in exchange:  # the resolution first, then each document as it arrives; ends when all is there
        events.append(event)
        if isinstance(event, DemandResolved):
            for one in event.documents:
                print(one.document_type, one.outcome, one.code, "->", one.next_step, one.provider or "")
        elif isinstance(event, Delivered):
            print(event.document.document_type, event.unavailable.code if event.unavailable else "arrived")
    return events


async def main(pinfl: str) -> None:
    registry = HttpSchemaRegistry("http://127.0.0.1:18081")
    async with Requester("electricity-het", KafkaBus("127.0.0.1:19092"), registry) as requester:
        print("waits until all that is fetched has come, or has expired (Ctrl-C ends it)")
        await ask(requester, pinfl, "tax-debt-certificate", "address-reference-certificate")
    await registry.aclose()


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1]))
    except ChoparError as error:
        sys.exit(f"asker: {error}")
