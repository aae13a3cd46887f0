"""The PostgreSQL servers that held this database, so that a promotion which lost the last commits is noticed."""

import sqlalchemy as sa
from alembic import op

revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None


def upgrade() -> None:
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
    op.drop_table('servers')
