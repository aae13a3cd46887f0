"""What 8x8's call log is asked for, about calls whose outcome is not known."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = '0006'
down_revision = '0005'
branch_labels = None
depends_on = None

UNDETERMINED = 'messages_undetermined_idx'


def moment(name: str, *, required: bool = False, stamped: bool = False) -> sa.Column[Any]:
    default = sa.func.now() if stamped else None
    return sa.Column(name, sa.DateTime(timezone=True), nullable=not (required or stamped), server_default=default)


def upgrade() -> None:
    # Beside the traffic; it may be broken off and run again.
    with op.get_context().autocommit_block():
        op.execute(f'DROP INDEX CONCURRENTLY IF EXISTS {UNDETERMINED}')
        op.create_index(
            UNDETERMINED,
            'messages',
            ['finished_at'],
            postgresql_where=sa.text("status = 'undetermined'"),
            postgresql_concurrently=True,
        )
    op.create_table(
        'log_exports',
        sa.Column('export_id', sa.Text(), nullable=False),
        sa.Column('subaccount_id', sa.Text(), nullable=False),
        moment('since', required=True),
        moment('until', required=True),
        sa.Column('state', sa.Text(), nullable=False),
        sa.Column('job_id', sa.Text(), nullable=True),
        moment('requested_at'),
        sa.Column('jobs', sa.SmallInteger(), server_default='0', nullable=False),
        sa.Column('tries', sa.Integer(), server_default='0', nullable=False),
        sa.Column('failures', sa.SmallInteger(), nullable=False),
        sa.Column('reason', sa.Text(), nullable=True),
        moment('due_at'),
        moment('created_at', stamped=True),
        moment('finished_at'),
        sa.CheckConstraint("state IN ('done', 'failed', 'open')", name=op.f('log_exports_state_check')),
        sa.CheckConstraint("(due_at IS NOT NULL) = (state = 'open')", name=op.f('log_exports_due_check')),
        sa.CheckConstraint("(finished_at IS NULL) = (state = 'open')", name=op.f('log_exports_finished_check')),
        sa.PrimaryKeyConstraint('export_id', name=op.f('log_exports_pkey')),
    )
    op.create_index('log_exports_newest_idx', 'log_exports', ['subaccount_id', 'created_at'])
    op.create_index(
        'log_exports_open_key',
        'log_exports',
        ['subaccount_id'],
        unique=True,
        postgresql_where=sa.text("state = 'open'"),
    )
    op.create_table(
        'log_lookups',
        sa.Column('attempt_id', sa.Text(), nullable=False),
        sa.Column('lookups', sa.SmallInteger(), nullable=False),
        sa.Column('shown', sa.Text(), nullable=False),
        moment('due_at', required=True),
        sa.PrimaryKeyConstraint('attempt_id', name=op.f('log_lookups_pkey')),
    )
    op.create_index('log_lookups_due_idx', 'log_lookups', ['due_at'])


def downgrade() -> None:
    op.drop_index(UNDETERMINED, table_name='messages')
    op.drop_table('log_lookups')
    op.drop_table('log_exports')
