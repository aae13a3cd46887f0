"""
Every table: columns, constraints, indexes. The migrations build the same; a test compares the two.

The schema defends itself: a CHECK ties final statuses to ``finished_at``, ``due_at`` and the erased text, so that
one query can prove that each message is final, or open with a due time.
"""

from shared.db.tables.access import OPERATOR_SESSIONS, OPERATORS
from shared.db.tables.base import METADATA
from shared.db.tables.callbacks import CALLBACKS, DELIVERY_ATTEMPTS, FEED_EVENTS
from shared.db.tables.exports import LOG_EXPORTS, LOG_LOOKUPS
from shared.db.tables.fraud import HOURLY_ENDS, OUTCOMES, QUARANTINES, SUPPRESSIONS, TALLIES
from shared.db.tables.messages import CALL_LEGS, DIAL_ATTEMPTS, MESSAGES, WEBHOOK_INBOX
from shared.db.tables.operations import (
    AUDIT_LOG,
    BREAKERS,
    COUNTERS,
    DAILY_CALLS,
    FIGURES,
    HEARTBEATS,
    LANES,
    PROCESSES,
    SERVERS,
    STOPS,
    SUBACCOUNTS,
    VOICES,
)
from shared.db.tables.past import DAILY_TOTALS, PAST_MESSAGES
from shared.db.tables.senders import API_KEYS, ENDPOINTS, PROVIDERS, TEMPLATES

__all__ = [
    "API_KEYS",
    "AUDIT_LOG",
    "BREAKERS",
    "CALLBACKS",
    "CALL_LEGS",
    "COUNTERS",
    "DAILY_CALLS",
    "DAILY_TOTALS",
    "DELIVERY_ATTEMPTS",
    "DIAL_ATTEMPTS",
    "ENDPOINTS",
    "FEED_EVENTS",
    "FIGURES",
    "HEARTBEATS",
    "HOURLY_ENDS",
    "LANES",
    "LOG_EXPORTS",
    "LOG_LOOKUPS",
    "MESSAGES",
    "METADATA",
    "OPERATORS",
    "OPERATOR_SESSIONS",
    "OUTCOMES",
    "PAST_MESSAGES",
    "PROCESSES",
    "PROVIDERS",
    "QUARANTINES",
    "SERVERS",
    "STOPS",
    "SUBACCOUNTS",
    "SUPPRESSIONS",
    "TALLIES",
    "TEMPLATES",
    "VOICES",
    "WEBHOOK_INBOX",
]
