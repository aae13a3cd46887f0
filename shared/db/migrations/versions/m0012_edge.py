"""A callback secret that is being rotated has its predecessor beside it; webhooks of no call of ours are found."""

import sqlalchemy as sa
from alembic import op

revision = '0012'
down_revision = '0011'
branch_labels = None
depends_on = None

STRAY = sa.text("processed_at IS NOT NULL AND result IN ('contradicts', 'dropped', 'unmatched')")
ROTATED = sa.text('old_secret_until IS NOT NULL')


def upgrade() -> None:
    # It may be broken off at any line and run again, hence the columns come after the index.
    with op.get_context().autocommit_block():
        op.execute('DROP INDEX CONCURRENTLY IF EXISTS webhook_inbox_stray_idx')
        op.create_index(
            'webhook_inbox_stray_idx',
            'webhook_inbox',
            ['result', 'processed_at'],
            postgresql_where=STRAY,
            postgresql_concurrently=True,
        )
    # A version that does not know the columns signs with the new secret alone.
    op.add_column('endpoints', sa.Column('old_secret', sa.LargeBinary(), nullable=True))
    op.add_column('endpoints', sa.Column('old_secret_until', sa.DateTime(timezone=True), nullable=True))
    op.create_check_constraint(
        op.f('endpoints_rotation_check'), 'endpoints', '(old_secret IS NULL) = (old_secret_until IS NULL)'
    )
    op.create_index('endpoints_rotation_idx', 'endpoints', ['old_secret_until'], postgresql_where=ROTATED)


def downgrade() -> None:
    op.drop_index('webhook_inbox_stray_idx', table_name='webhook_inbox')
    op.drop_index('endpoints_rotation_idx', table_name='endpoints')
    op.drop_constraint(op.f('endpoints_rotation_check'), 'endpoints', type_='check')
    op.drop_column('endpoints', 'old_secret_until')
    op.drop_column('endpoints', 'old_secret')
