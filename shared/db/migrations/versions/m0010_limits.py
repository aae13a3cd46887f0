"""What each provider may send and when, numbers that are not called, and how calls end by provider and country."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = '0010'
down_revision = '0009'
branch_labels = None
depends_on = None


def moment(name: str, *, required: bool = False, stamped: bool = False) -> sa.Column[Any]:
    default = sa.func.now() if stamped else None
    return sa.Column(name, sa.DateTime(timezone=True), nullable=not (required or stamped), server_default=default)


def count(name: str) -> sa.Column[Any]:
    return sa.Column(name, sa.BigInteger(), server_default='0', nullable=False)


def providers_columns() -> list[sa.Column[Any]]:
    return [
        sa.Column('number_limits', sa.Text(), nullable=True),
        sa.Column('messages_per_minute', sa.Integer(), nullable=True),
        sa.Column('prefix_per_hour', sa.Integer(), nullable=True),
        sa.Column('quiet_hours', sa.Text(), nullable=True),
        sa.Column('quiet_alerts', sa.Boolean(), server_default='false', nullable=False),
        sa.Column('detection', sa.Text(), nullable=True),
    ]


def upgrade() -> None:
    for column in providers_columns():
        op.add_column('providers', column)
    # Entries that hold for every provider bear no provider's id.
    op.drop_constraint(op.f('suppressions_provider_id_fkey'), 'suppressions', type_='foreignkey')
    op.create_table(
        'quarantines',
        sa.Column('quarantine_id', sa.Text(), nullable=False),
        sa.Column('provider_id', sa.Text(), nullable=False),
        sa.Column('prefix_key', sa.LargeBinary(), nullable=False),
        sa.Column('prefix_masked', sa.Text(), nullable=False),
        sa.Column('country', sa.Text(), nullable=False),
        sa.Column('why', sa.Text(), nullable=False),
        moment('since', stamped=True),
        moment('until', required=True),
        moment('released_at'),
        sa.PrimaryKeyConstraint('quarantine_id', name=op.f('quarantines_pkey')),
    )
    op.create_index(
        'quarantines_open_key',
        'quarantines',
        ['provider_id', 'prefix_key'],
        unique=True,
        postgresql_where=sa.text('released_at IS NULL'),
    )
    op.create_table(
        'outcomes',
        sa.Column('message_id', sa.Text(), nullable=False),
        sa.Column('provider_id', sa.Text(), nullable=False),
        sa.Column('country', sa.Text(), nullable=False),
        sa.Column('verified', sa.Boolean(), nullable=False),
        moment('reported_at', stamped=True),
        sa.PrimaryKeyConstraint('message_id', name=op.f('outcomes_pkey')),
    )
    op.create_index('outcomes_reported_idx', 'outcomes', ['reported_at'])
    op.create_table(
        'hourly_ends',
        sa.Column('provider_id', sa.Text(), nullable=False),
        sa.Column('country', sa.Text(), nullable=False),
        moment('hour', required=True),
        count('rang'),
        count('heard'),
        count('reported'),
        count('verified'),
        sa.PrimaryKeyConstraint('provider_id', 'country', 'hour', name=op.f('hourly_ends_pkey')),
    )
    op.create_index('hourly_ends_hour_idx', 'hourly_ends', ['hour'])
    op.create_table(
        'tallies',
        sa.Column('name', sa.Text(), nullable=False),
        sa.Column('place', sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint('name', name=op.f('tallies_pkey')),
    )


def downgrade() -> None:
    for table in ('tallies', 'hourly_ends', 'outcomes', 'quarantines'):
        op.drop_table(table)
    op.execute("DELETE FROM suppressions WHERE provider_id NOT IN (SELECT provider_id FROM providers)")
    op.create_foreign_key(
        op.f('suppressions_provider_id_fkey'), 'suppressions', 'providers', ['provider_id'], ['provider_id']
    )
    for column in providers_columns():
        op.drop_column('providers', column.name)
