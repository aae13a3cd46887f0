"""Beside a sealed webhook stands the session that it names, so that its claim finds its attempt, too."""

import sqlalchemy as sa
from alembic import op

revision = '0005'
down_revision = '0004'
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Webhooks that came before have none, and are matched by what their bodies say.
    op.add_column('webhook_inbox', sa.Column('named_session_id', sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column('webhook_inbox', 'named_session_id')
