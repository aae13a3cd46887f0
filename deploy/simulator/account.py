"""One simulated 8x8 account: everything behind the HTTP faces, which share it with in-process tests."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime

from deploy.simulator.call import Call
from deploy.simulator.faults import Faults
from deploy.simulator.ledger import Ledger
from deploy.simulator.outcomes import behaviour_of, behaviours_named
from deploy.simulator.sessions import Sessions
from deploy.simulator.settings import SimulatorSettings
from deploy.simulator.validation import Callflow, Rules, with_plus


class Account:
    """Key, rules, plans for single numbers, running sessions, ledger and fault knobs."""

    def __init__(self, settings: SimulatorSettings) -> None:
        self.settings = settings
        self.api_key = settings.api_key
        self.rules = Rules(caller_ids=settings.caller_ids, is_strict=settings.validates_requests)
        self.ledger = Ledger()
        self.faults = Faults(random.Random(settings.seed).random)  # noqa: S311  (seeded on purpose: drills repeat)
        self.faults.replace(settings.faults)
        self.sessions = Sessions(settings, self.ledger, self.faults)
        self._plans: dict[str, tuple[str, ...]] = {}
        self._dials: Counter[str] = Counter()

    def plan(self, destination: str, behaviours: Iterable[str]) -> None:
        """
        Fix what a number does from its next dial on: one behaviour for each dial, the last repeats.

        Raises:
            UnknownBehaviour: nothing is planned then.
        """
        number = with_plus(destination)
        self._plans[number] = behaviours_named(behaviours)
        del self._dials[number]

    def new_call(self, callflow: Callflow) -> Call:
        """Make the session's record; settles what its phone does, so one dial is one step of a plan."""
        number = callflow.destination
        name = behaviour_of(
            number,
            dial=self._dials[number],
            plan=self._plans.get(number),
            by_suffix=self.settings.outcomes_by_suffix,
        )
        self._dials[number] += 1
        return Call(
            callflow=callflow,
            subaccount_id=self.settings.subaccount_id,
            accepted_at=datetime.now(UTC),
            behaviour_name=name,
        )

    def call_in(self, source: str, destination: str) -> Call:
        """Somebody calls our number back: a session nobody asked for."""
        call = Call(
            callflow=Callflow(source=with_plus(source), destination=with_plus(destination), actions=[]),
            subaccount_id=self.settings.subaccount_id,
            accepted_at=datetime.now(UTC),
            direction="INBOUND",
        )
        self.sessions.start(call, b"")
        return call

    async def reset(self) -> None:
        """Back to the start, running calls dropped; registered webhooks stay, as they are configuration."""
        await self.sessions.drop_all()
        self.ledger.clear()
        self.faults.clear()
        self.faults.replace(self.settings.faults)
        self._plans.clear()
        self._dials.clear()
        self.api_key = self.settings.api_key
