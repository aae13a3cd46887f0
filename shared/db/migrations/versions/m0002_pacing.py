"""What a subaccount was found to bear, so that the pace and the calls in flight adapt to it; a queue by provider."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None

COLUMNS: tuple[tuple[str, sa.types.TypeEngine[Any]], ...] = (
    ('pace_refused', sa.Double()),
    ('pace_cut_at', sa.DateTime(timezone=True)),
    ('lines', sa.Double()),
    ('lines_refused', sa.Double()),
    ('lines_cut_at', sa.DateTime(timezone=True)),
    ('held_until', sa.DateTime(timezone=True)),
    ('otp_claimed_at', sa.DateTime(timezone=True)),
)


QUEUE = 'messages_queue_idx'
WAITING = sa.text("status = 'queued'")


def upgrade() -> None:
    rebuild_queue('lane', 'provider_id', 'deadline', 'due_at')
    for name, kind in COLUMNS:
        op.add_column('subaccounts', sa.Column(name, kind, nullable=True))
    op.add_column('subaccounts', sa.Column('dialed', sa.BigInteger(), server_default='0', nullable=False))


def downgrade() -> None:
    for name in ('dialed', *(name for name, _ in COLUMNS)):
        op.drop_column('subaccounts', name)
    rebuild_queue('lane', 'deadline')


def rebuild_queue(*columns: str) -> None:
    """
    Outside of any transaction, beside the traffic: it reads the whole table, however few messages wait.

    It may be broken off at any line and run again, hence the columns come after it.
    """
    with op.get_context().autocommit_block():
        op.execute(f'DROP INDEX CONCURRENTLY IF EXISTS {QUEUE}_new')
        op.create_index(
            f'{QUEUE}_new', 'messages', list(columns), postgresql_where=WAITING, postgresql_concurrently=True
        )
        op.execute(f'DROP INDEX CONCURRENTLY IF EXISTS {QUEUE}')
        op.execute(f'ALTER INDEX {QUEUE}_new RENAME TO {QUEUE}')
