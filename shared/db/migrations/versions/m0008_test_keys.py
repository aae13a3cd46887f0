"""Keys have a mode, a name and a last use; the messages of test keys wait in a lane of their own."""

import sqlalchemy as sa
from alembic import op

revision = '0008'
down_revision = '0007'
branch_labels = None
depends_on = None

LANES = "lane IN ('alert', 'notification', 'otp')"
WITH_TEST = "lane IN ('alert', 'notification', 'otp', 'test')"
TEST_TYPE = "(test_type IS NOT NULL) = (lane = 'test')"


def check_lanes(allowed: str) -> None:
    for table in ('lanes', 'messages'):
        name = f'{table}_lane_check'
        replace_check(table, name, allowed)


def replace_check(table: str, name: str, rule: str) -> None:
    """Beside the traffic: the table is locked for a moment, then read; it may be broken off and run again."""
    op.execute(
        f'ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {name}, ADD CONSTRAINT {name} CHECK ({rule}) NOT VALID'
    )
    op.execute(f'ALTER TABLE {table} VALIDATE CONSTRAINT {name}')


def upgrade() -> None:
    with op.get_context().autocommit_block():
        op.execute('ALTER TABLE messages ADD COLUMN IF NOT EXISTS test_type text')
        check_lanes(WITH_TEST)
        replace_check('messages', 'messages_test_type_check', TEST_TYPE)
    op.add_column('api_keys', sa.Column('mode', sa.Text(), server_default='live', nullable=False))
    op.add_column('api_keys', sa.Column('name', sa.Text(), nullable=True))
    op.add_column('api_keys', sa.Column('last_used_at', sa.DateTime(timezone=True), nullable=True))
    op.create_check_constraint(op.f('api_keys_mode_check'), 'api_keys', "mode IN ('live', 'test')")


def downgrade() -> None:
    op.drop_constraint(op.f('api_keys_mode_check'), 'api_keys')
    op.drop_column('api_keys', 'last_used_at')
    op.drop_column('api_keys', 'name')
    op.drop_column('api_keys', 'mode')
    op.drop_constraint(op.f('messages_test_type_check'), 'messages')
    with op.get_context().autocommit_block():
        check_lanes(LANES)
    op.drop_column('messages', 'test_type')
