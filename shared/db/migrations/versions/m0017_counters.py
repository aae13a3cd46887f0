"""What all processes count together, for GET /metrics."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0017'
down_revision = '0016'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('counters',
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('labels', postgresql.ARRAY(sa.Text()), nullable=False),
    sa.Column('amounts', postgresql.ARRAY(sa.Double()), nullable=False),
    sa.PrimaryKeyConstraint('name', 'labels', name=op.f('counters_pkey')),
    postgresql_with={'fillfactor': '50'}
    )


def downgrade() -> None:
    op.drop_table('counters')
