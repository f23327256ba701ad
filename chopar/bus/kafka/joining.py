"""Joining a consumer group by aiokafka: how long its answer may take, and leaving before it has come.

A broker answers to a join when all members have joined anew or the sessions of those that are dead have ended; every
other request is answered at once, or the broker hangs.
"""

import asyncio
import contextlib
from typing import Any

from aiokafka.client import ConnectionGroup
from aiokafka.errors import KafkaError
from aiokafka.protocol.group import JoinGroupRequest, LeaveGroupRequest, SyncGroupRequest


def wait_longer_for_joins(client: Any, seconds: float) -> None:
    """Have a consumer that is not started yet wait so long for the answer to a join, and as usual for all others.

    aiokafka 0.14 has one time-out for all requests of a client; the upstream cure is one by kind of request, as the
    Java client has it.
    """
    network = client._client
    get = network._get_conn

    async def get_connection(node_id: Any, **options: Any) -> Any:
        connection = await get(node_id, **options)
        if options.get("group") is ConnectionGroup.COORDINATION and connection is not None:
            _wait_longer(connection, seconds)
        return connection

    network._get_conn = get_connection


def _wait_longer(connection: Any, seconds: float) -> None:
    if "send" in vars(connection):
        return
    usual, send = connection._request_timeout, connection.send

    def send_patiently(request: Any, expect_response: bool = True) -> Any:
        joins = isinstance(request, (JoinGroupRequest, SyncGroupRequest))
        connection._request_timeout = max(usual, seconds) if joins else usual  # looked at once, as it is sent
        return send(request, expect_response=expect_response)

    connection.send = send_patiently


async def leave_in_mid_join(client: Any) -> None:
    """Leave a group if it is being joined.

    aiokafka 0.14 waits for the end of the join, which may take as long as a session, and broken off it leaves a member
    behind: the group then waits for it, or gives it partitions that nobody reads until its session has expired. The
    upstream cure is to break the join off in `GroupCoordinator.close` and to leave by the member id known so far. The
    coordinator looks at nothing more on the connection on which it owes the answer to the join: so by another one.
    """
    coordinator = client._coordinator
    joining = getattr(coordinator, "_coordination_task", None)
    if joining is None or joining.done():
        return
    subscription = client._subscription.subscription
    if subscription is None or not coordinator.need_rejoin(subscription):
        return
    joining.cancel()
    await asyncio.wait([joining])
    if coordinator.member_id and coordinator.coordinator_id is not None:
        leave = LeaveGroupRequest(coordinator.group_id, coordinator.member_id)
        coordinator.reset_generation()  # its own `close` need not leave any more
        with contextlib.suppress(KafkaError):
            await client._client.send(coordinator.coordinator_id, leave)
