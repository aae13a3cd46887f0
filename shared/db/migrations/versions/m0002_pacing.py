"""What a subaccount was found to bear, so that the pace and the calls in flight adapt to it."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = '0002'
down_revision = '0001'
branch_labels = None
depends_on = None

COLUMNS: tuple[tuple[str, sa.types.TypeEngine[Any]], ...] = (
    ('pace', sa.Double()),
    ('pace_refused', sa.Double()),
    ('pace_cut_at', sa.DateTime(timezone=True)),
    ('lines', sa.Double()),
    ('lines_refused', sa.Double()),
    ('lines_cut_at', sa.DateTime(timezone=True)),
    ('held_until', sa.DateTime(timezone=True)),
    ('otp_claimed_at', sa.DateTime(timezone=True)),
)


def upgrade() -> None:
    for name, kind in COLUMNS:
        op.add_column('subaccounts', sa.Column(name, kind, nullable=True))
    op.add_column('subaccounts', sa.Column('dialed', sa.BigInteger(), server_default='0', nullable=False))


def downgrade() -> None:
    for name, _ in (*COLUMNS, ("dialed", None)):
        op.drop_column('subaccounts', name)
