"""No foreign keys between the rows that every message writes: checking them took a tenth of PostgreSQL's time."""

from alembic import op

revision = '0003'
down_revision = '0002'
branch_labels = None
depends_on = None

# Table, column, what it refers to, and whether the row goes with it.
REFERENCES = (
    ('dial_attempts', 'message_id', 'messages.id', 'CASCADE'),
    ('call_legs', 'attempt_id', 'dial_attempts.attempt_id', 'CASCADE'),
    ('feed_events', 'message_id', 'messages.id', 'CASCADE'),
    ('callbacks', 'event_id', 'feed_events.event_id', 'CASCADE'),
    ('callbacks', 'endpoint_id', 'endpoints.endpoint_id', None),
    ('callbacks', 'message_id', 'messages.id', 'CASCADE'),
    ('delivery_attempts', 'callback_id', 'callbacks.callback_id', 'CASCADE'),
)


def upgrade() -> None:
    for table, column, _, _ in REFERENCES:
        op.drop_constraint(f'{table}_{column}_fkey', table, type_='foreignkey')


def downgrade() -> None:
    for table, column, target, on_delete in REFERENCES:
        other, key = target.split('.')
        op.create_foreign_key(f'{table}_{column}_fkey', table, other, [column], [key], ondelete=on_delete)
