"""Processes tell that they live, and are told to end; figures of the past for charts; limits set at run time."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0018'
down_revision = '0017'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('processes',
    sa.Column('process_id', sa.Text(), nullable=False),
    sa.Column('work', sa.Text(), nullable=False),
    sa.Column('host', sa.Text(), nullable=False),
    sa.Column('pid', sa.Integer(), nullable=False),
    sa.Column('version', sa.Text(), nullable=False),
    sa.Column('rss_bytes', sa.BigInteger(), nullable=True),
    sa.Column('started_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('beat_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('drain_asked_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('drain_asked_by', sa.Text(), nullable=True),
    sa.PrimaryKeyConstraint('process_id', name=op.f('processes_pkey'))
    )
    op.create_table('figures',
    sa.Column('at', sa.DateTime(timezone=True), nullable=False),
    sa.Column('figures', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.PrimaryKeyConstraint('at', name=op.f('figures_pkey'))
    )
    op.add_column('subaccounts', sa.Column('pace_set', sa.Double(), nullable=True))
    op.add_column('subaccounts', sa.Column('lines_set', sa.Integer(), nullable=True))
    op.add_column('subaccounts', sa.Column('limits_set_by', sa.Text(), nullable=True))
    op.add_column('subaccounts', sa.Column('limits_set_at', sa.DateTime(timezone=True), nullable=True))


def downgrade() -> None:
    for name in ('limits_set_at', 'limits_set_by', 'lines_set', 'pace_set'):
        op.drop_column('subaccounts', name)
    op.drop_table('figures')
    op.drop_table('processes')
