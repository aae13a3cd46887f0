"""What stays of messages whose time is over."""

import sqlalchemy as sa
from alembic import op

revision = '0011'
down_revision = '0010'
branch_labels = None
depends_on = None


def word(name: str, *, required: bool = True) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=not required)


def upgrade() -> None:
    op.create_table(
        'past_messages',
        word('provider_id'),
        word('message_id'),
        word('id'),
        sa.Column('fingerprint', sa.LargeBinary(), nullable=False),
        word('lane'),
        word('status'),
        word('reason', required=False),
        sa.Column('deadline', sa.DateTime(timezone=True), nullable=False),
        sa.Column('buried_at', sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint('provider_id', 'message_id', name=op.f('past_messages_pkey')),
    )
    op.create_index(
        'past_messages_buried_idx', 'past_messages', ['buried_at'], postgresql_where=sa.text('buried_at IS NOT NULL')
    )
    op.create_table(
        'daily_totals',
        word('provider_id'),
        sa.Column('day', sa.Date(), nullable=False),
        word('country'),
        word('lane'),
        word('status'),
        word('reason'),
        sa.Column('messages', sa.BigInteger(), nullable=False),
        sa.Column('attempts', sa.BigInteger(), nullable=False),
        sa.Column('talk_seconds', sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            'provider_id', 'day', 'country', 'lane', 'status', 'reason', name=op.f('daily_totals_pkey')
        ),
    )
    op.add_column('providers', sa.Column('purged_sequence', sa.BigInteger(), server_default='0', nullable=False))


def downgrade() -> None:
    op.drop_column('providers', 'purged_sequence')
    op.drop_table('daily_totals')
    op.drop_table('past_messages')
