"""Providers rule their endpoints: how an endpoint fares, that it was deleted, and what was given up there."""

import sqlalchemy as sa
from alembic import op

revision = '0014'
down_revision = '0013'
branch_labels = None
depends_on = None

LIVE = sa.text('deleted_at IS NULL')
DELETED = sa.text('deleted_at IS NOT NULL')
FAILING = sa.text('failing_since IS NOT NULL AND disabled_at IS NULL')
MOMENTS = ('last_success_at', 'last_failure_at', 'warned_at', 'deleted_at')


def upgrade() -> None:
    # It may be broken off at any line and run again, hence the columns come after the index.
    with op.get_context().autocommit_block():
        op.execute('DROP INDEX CONCURRENTLY IF EXISTS callbacks_given_up_idx')
        op.create_index(
            'callbacks_given_up_idx',
            'callbacks',
            ['endpoint_id', 'event_id'],
            postgresql_where=sa.text("state = 'parked'"),
            postgresql_concurrently=True,
        )
    for name in MOMENTS:
        op.add_column('endpoints', sa.Column(name, sa.DateTime(timezone=True), nullable=True))
    op.add_column('endpoints', sa.Column('last_failure', sa.Text(), nullable=True))
    # A deleted endpoint is disabled, too: a version that does not know the column sends nothing there.
    op.create_index('endpoints_live_idx', 'endpoints', ['provider_id', 'url'], unique=True, postgresql_where=LIVE)
    op.create_index('endpoints_failing_idx', 'endpoints', ['failing_since'], postgresql_where=FAILING)
    op.create_index('endpoints_deleted_idx', 'endpoints', ['deleted_at'], postgresql_where=DELETED)
    op.drop_constraint('endpoints_provider_id_url_key', 'endpoints', type_='unique')


def downgrade() -> None:
    op.execute('DELETE FROM endpoints WHERE deleted_at IS NOT NULL')
    op.create_unique_constraint('endpoints_provider_id_url_key', 'endpoints', ['provider_id', 'url'])
    op.drop_index('endpoints_deleted_idx', table_name='endpoints')
    op.drop_index('endpoints_failing_idx', table_name='endpoints')
    op.drop_index('endpoints_live_idx', table_name='endpoints')
    op.drop_column('endpoints', 'last_failure')
    for name in reversed(MOMENTS):
        op.drop_column('endpoints', name)
    op.drop_index('callbacks_given_up_idx', table_name='callbacks')
