"""The admission of one HTTP request: who asks, and the charge against the quotas."""

from __future__ import annotations

import asyncio
from threading import Lock
from typing import Self

from docwell.answers import Cost
from docwell.deadline import Deadline, event_loop
from docwell.errors import DeadlineExceeded, Unauthenticated
from docwell.identity import CANARY, Identity, Principal
from docwell.observability import logger
from docwell.ports import Principals, Reservation
from docwell.query.ask import Admitted, Identified

# The share of a request's time for finding its principal. The charge gets the same share again.
_SHARE = 0.2


def known(identity: Identity, principals: Principals) -> Principal:
    """Return the caller, without a charge. Raises `Unauthenticated`, `Unavailable`."""
    if identity.id == CANARY.id:
        return CANARY
    principal = principals.find(identity.id, identity.groups)
    if principal is None:
        raise Unauthenticated("this key or token has no rights here: docwell principals add gives it some")
    return principal


class RequestAdmission:
    """`docwell.query.ask.Admission` for the caller that the gateway named.

    The constructor schedules lookup and charge as tasks. Leaving an `async with` block waits for the charge: a
    question that fails is charged too, and a used-up quota is reported before any other error.
    The canary's requests are free.

    A question reserves the most `tokens` that it can use, and ends with `settle`.
    """

    def __init__(self, identity: Identity, principals: Principals, deadline: Deadline, tokens: int = 0) -> None:
        self._identity = identity
        self._principals = principals
        self._tokens = tokens
        self._reservation: Reservation | None = None
        self._given_up = False
        self._lock = Lock()
        self.deadline = deadline
        self.of_canary = identity.id == CANARY.id
        self._identified = event_loop().create_task(self._identify())
        self._admitted = event_loop().create_task(self._charge())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.admitted()

    async def identified(self) -> Identified:
        """Wait until the caller is known. Raises `Unauthenticated`, `Unavailable`."""
        return await asyncio.shield(self._identified)

    async def admitted(self) -> Admitted:
        """Wait until the request is charged. Raises as `identified` does, and `QuotaExceeded`."""
        return await asyncio.shield(self._admitted)

    def settle(self, tokens: int, cost: Cost | None = None) -> None:
        """Charge what the question used in place of the tokens reserved. Raises `Unavailable`."""
        if self._reservation is not None:
            self._principals.settle(self._reservation, tokens, cost)

    async def _identify(self) -> Identified:
        async with self.deadline.stage("principals", _SHARE):
            principal = await asyncio.to_thread(known, self._identity, self._principals)
        logger.append_keys(principal=principal.id)
        return Identified(principal)

    async def _charge(self) -> Admitted:
        try:
            async with self.deadline.stage("principals", 2 * _SHARE):
                principal = (await self.identified()).principal
                if self.of_canary:
                    return Admitted(principal)
                charge = self._reserve if self._tokens else self._principals.charge
                await asyncio.to_thread(charge, principal)
        except DeadlineExceeded:
            with self._lock:
                self._given_up = True
            raise
        return Admitted(principal)

    def _reserve(self, principal: Principal) -> None:
        """Reserve the tokens. If nothing waits for them any more, give them back."""
        reservation = self._principals.reserve(principal, self._tokens)
        with self._lock:
            if not self._given_up:
                self._reservation = reservation
                return
        self._principals.settle(reservation, 0)
