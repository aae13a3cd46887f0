"""What operators stopped, and the calls of each provider's day, so that a claim can hold to a cap."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = '0009'
down_revision = '0008'
branch_labels = None
depends_on = None

PAUSE: tuple[tuple[str, sa.types.TypeEngine[Any]], ...] = (
    ('reason', sa.Text()),
    ('paused_by', sa.Text()),
    ('paused_until', sa.DateTime(timezone=True)),
)


def upgrade() -> None:
    op.create_table(
        'stops',
        sa.Column('scope', sa.Text(), nullable=False),
        sa.Column('name', sa.Text(), nullable=False),
        sa.Column('reason', sa.Text(), nullable=False),
        sa.Column('stopped_by', sa.Text(), nullable=False),
        sa.Column('stopped_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
        sa.Column('until', sa.DateTime(timezone=True), nullable=True),
        sa.Column('ended_at', sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "scope IN ('country', 'global', 'prefix', 'provider', 'source')", name=op.f('stops_scope_check')
        ),
        sa.PrimaryKeyConstraint('scope', 'name', name=op.f('stops_pkey')),
    )
    for name, kind in PAUSE:
        op.add_column('lanes', sa.Column(name, kind, nullable=True))
    op.create_table(
        'daily_calls',
        sa.Column('name', sa.Text(), nullable=False),
        sa.Column('day', sa.Date(), nullable=False),
        sa.Column('calls', sa.BigInteger(), server_default='0', nullable=False),
        sa.Column('turns', sa.BigInteger(), server_default='0', nullable=False),
        sa.Column('cap', sa.BigInteger(), nullable=True),
        sa.Column('is_uncapped', sa.Boolean(), server_default='false', nullable=False),
        sa.CheckConstraint('cap >= 0', name=op.f('daily_calls_cap_check')),
        sa.PrimaryKeyConstraint('name', name=op.f('daily_calls_pkey')),
        postgresql_with={'fillfactor': '20'},
    )
    op.execute("INSERT INTO daily_calls (name, day) SELECT provider_id, now()::date FROM providers")


def downgrade() -> None:
    op.drop_table('daily_calls')
    for name, _ in reversed(PAUSE):
        op.drop_column('lanes', name)
    op.drop_table('stops')
