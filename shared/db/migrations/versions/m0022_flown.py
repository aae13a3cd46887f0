"""How many calls were up when a claim last counted them, so that the next ones need not."""

import sqlalchemy as sa
from alembic import op

revision = '0022'
down_revision = '0021'
branch_labels = None
depends_on = None

NAMES = ('flown', 'flown_turns')


def upgrade() -> None:
    for name in NAMES:
        op.add_column('subaccounts', sa.Column(name, sa.BigInteger(), nullable=True))


def downgrade() -> None:
    for name in NAMES:
        op.drop_column('subaccounts', name)
