"""No foreign key from a message to the endpoint that it names: without an index, forgetting one read all messages."""

from alembic import op

revision = '0016'
down_revision = '0015'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_constraint('messages_endpoint_id_fkey', 'messages', type_='foreignkey')


def downgrade() -> None:
    op.execute(
        'UPDATE messages m SET endpoint_id = NULL WHERE endpoint_id IS NOT NULL'
        ' AND NOT EXISTS (SELECT FROM endpoints e WHERE e.endpoint_id = m.endpoint_id)'
    )
    op.create_foreign_key('messages_endpoint_id_fkey', 'messages', 'endpoints', ['endpoint_id'], ['endpoint_id'])
