"""The PostgreSQL servers that held this database, so that a promotion which lost the last commits is noticed."""

import sqlalchemy as sa
from alembic import op

revision = '0007'
down_revision = '0006'
branch_labels = None
depends_on = None


# Few among many: counted and listed without reading all that is done.
PARKED = (('webhook_inbox', 'inbox_id', "result = 'parked'"), ('callbacks', 'finished_at', "state = 'parked'"))


def upgrade() -> None:
    with op.get_context().autocommit_block():
        for table, column, parked in PARKED:
            op.execute(f'DROP INDEX CONCURRENTLY IF EXISTS {table}_parked_idx')
            op.create_index(
                f'{table}_parked_idx', table, [column], postgresql_where=sa.text(parked), postgresql_concurrently=True
            )
    op.create_table(
        'servers',
        sa.Column('started_at', sa.DateTime(timezone=True), nullable=False),
        sa.Column('system_identifier', sa.BigInteger(), nullable=True),
        sa.Column('timeline', sa.BigInteger(), nullable=True),
        sa.Column('held', sa.Integer(), server_default='0', nullable=False),
        sa.Column('found_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
        sa.PrimaryKeyConstraint('started_at', name=op.f('servers_pkey')),
    )
    op.add_column('heartbeats', sa.Column('clock_ahead_s', sa.Double(), nullable=True))


def downgrade() -> None:
    op.drop_column('heartbeats', 'clock_ahead_s')
    for table, _, _ in PARKED:
        op.drop_index(f'{table}_parked_idx', table_name=table)
    op.drop_table('servers')
