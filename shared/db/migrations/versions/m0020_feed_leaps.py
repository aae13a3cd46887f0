"""Numbers that no event of a feed has: those given away between a backup and its restore."""

import sqlalchemy as sa
from alembic import op

revision = '0020'
down_revision = '0019'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        'feed_leaps',
        sa.Column('provider_id', sa.Text(), nullable=False),
        sa.Column('after', sa.BigInteger(), nullable=False),
        sa.Column('up_to', sa.BigInteger(), nullable=False),
        sa.Column('at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
        sa.PrimaryKeyConstraint('provider_id', 'after', name=op.f('feed_leaps_pkey')),
    )


def downgrade() -> None:
    op.drop_table('feed_leaps')
