"""The tables of the pipeline."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = '0001'
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('audit_log',
    sa.Column('audit_id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('actor', sa.Text(), nullable=False),
    sa.Column('action', sa.Text(), nullable=False),
    sa.Column('target', sa.Text(), nullable=False),
    sa.Column('before', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.Column('after', postgresql.JSONB(astext_type=sa.Text()), nullable=True),
    sa.PrimaryKeyConstraint('audit_id', name=op.f('audit_log_pkey'))
    )
    op.create_table('breakers',
    sa.Column('scope', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.Column('failures', sa.Integer(), nullable=False),
    sa.Column('probing', sa.Boolean(), server_default='false', nullable=False),
    sa.Column('opened_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('probe_at', sa.DateTime(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint('scope', 'name', name=op.f('breakers_pkey'))
    )
    op.create_table('heartbeats',
    sa.Column('process', sa.Text(), nullable=False),
    sa.Column('beat_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('process', name=op.f('heartbeats_pkey'))
    )
    op.create_table('lanes',
    sa.Column('lane', sa.Text(), nullable=False),
    sa.Column('paused_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("lane IN ('alert', 'notification', 'otp')", name=op.f('lanes_lane_check')),
    sa.PrimaryKeyConstraint('lane', name=op.f('lanes_pkey'))
    )
    op.create_table('providers',
    sa.Column('provider_id', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('countries', postgresql.ARRAY(sa.Text()), nullable=True),
    sa.Column('last_sequence', sa.BigInteger(), server_default='0', nullable=False),
    sa.Column('disabled_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('provider_id', name=op.f('providers_pkey')),
    sa.UniqueConstraint('name', name=op.f('providers_name_key'))
    )
    op.create_table('subaccounts',
    sa.Column('subaccount_id', sa.Text(), nullable=False),
    sa.Column('tokens', sa.Double(), nullable=False),
    sa.Column('refilled_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('subaccount_id', name=op.f('subaccounts_pkey'))
    )
    op.create_table('voices',
    sa.Column('code', sa.Text(), nullable=False),
    sa.Column('locale', sa.Text(), nullable=False),
    sa.Column('fetched_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.PrimaryKeyConstraint('code', name=op.f('voices_pkey'))
    )
    op.create_table('webhook_inbox',
    sa.Column('inbox_id', sa.BigInteger(), sa.Identity(always=False), nullable=False),
    sa.Column('dedupe_key', sa.Text(), nullable=False),
    sa.Column('body', sa.LargeBinary(), nullable=False),
    sa.Column('received_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('attempts', sa.SmallInteger(), server_default='0', nullable=False),
    sa.Column('due_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('session_id', sa.Text(), nullable=True),
    sa.Column('processed_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('result', sa.Text(), nullable=True),
    sa.PrimaryKeyConstraint('inbox_id', name=op.f('webhook_inbox_pkey')),
    sa.UniqueConstraint('dedupe_key', name=op.f('webhook_inbox_dedupe_key_key'))
    )
    op.create_index('webhook_inbox_due_idx', 'webhook_inbox', ['due_at'], unique=False, postgresql_where=sa.text('processed_at IS NULL'))
    op.create_index('webhook_inbox_processed_idx', 'webhook_inbox', ['processed_at'], unique=False, postgresql_where=sa.text('processed_at IS NOT NULL'))
    op.create_index('webhook_inbox_unmatched_idx', 'webhook_inbox', ['session_id'], unique=False, postgresql_where=sa.text('processed_at IS NULL AND session_id IS NOT NULL'))
    op.create_table('api_keys',
    sa.Column('key_id', sa.Text(), nullable=False),
    sa.Column('provider_id', sa.Text(), nullable=False),
    sa.Column('secret_hash', sa.LargeBinary(), nullable=False),
    sa.Column('expires_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('revoked_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['provider_id'], ['providers.provider_id'], name=op.f('api_keys_provider_id_fkey')),
    sa.PrimaryKeyConstraint('key_id', name=op.f('api_keys_pkey'))
    )
    op.create_index(op.f('api_keys_provider_id_idx'), 'api_keys', ['provider_id'], unique=False)
    op.create_table('endpoints',
    sa.Column('endpoint_id', sa.Text(), nullable=False),
    sa.Column('provider_id', sa.Text(), nullable=False),
    sa.Column('url', sa.Text(), nullable=False),
    sa.Column('secret', sa.LargeBinary(), nullable=False),
    sa.Column('event_types', postgresql.ARRAY(sa.Text()), nullable=False),
    sa.Column('disabled_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('disabled_reason', sa.Text(), nullable=True),
    sa.Column('failing_since', sa.DateTime(timezone=True), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['provider_id'], ['providers.provider_id'], name=op.f('endpoints_provider_id_fkey')),
    sa.PrimaryKeyConstraint('endpoint_id', name=op.f('endpoints_pkey')),
    sa.UniqueConstraint('provider_id', 'url', name=op.f('endpoints_provider_id_url_key'))
    )
    op.create_table('suppressions',
    sa.Column('provider_id', sa.Text(), nullable=False),
    sa.Column('destination_key', sa.LargeBinary(), nullable=False),
    sa.Column('destination_masked', sa.Text(), nullable=False),
    sa.Column('reason', sa.Text(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['provider_id'], ['providers.provider_id'], name=op.f('suppressions_provider_id_fkey')),
    sa.PrimaryKeyConstraint('provider_id', 'destination_key', name=op.f('suppressions_pkey'))
    )
    op.create_table('messages',
    sa.Column('id', sa.Text(), nullable=False),
    sa.Column('provider_id', sa.Text(), nullable=False),
    sa.Column('message_id', sa.Text(), nullable=False),
    sa.Column('fingerprint', sa.LargeBinary(), nullable=False),
    sa.Column('lane', sa.Text(), nullable=False),
    sa.Column('status', sa.Text(), nullable=False),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.Column('content', sa.LargeBinary(), nullable=True),
    sa.Column('destination_key', sa.LargeBinary(), nullable=False),
    sa.Column('destination_masked', sa.Text(), nullable=False),
    sa.Column('country', sa.Text(), nullable=False),
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('voice', sa.Text(), nullable=False),
    sa.Column('speed', sa.Double(), nullable=False),
    sa.Column('plays', sa.SmallInteger(), nullable=False),
    sa.Column('seconds_per_play', sa.Double(), nullable=False),
    sa.Column('interruptible', sa.Boolean(), nullable=False),
    sa.Column('max_attempts', sa.SmallInteger(), nullable=False),
    sa.Column('spare_attempts', sa.SmallInteger(), nullable=False),
    sa.Column('redial_unknown', sa.Boolean(), nullable=False),
    sa.Column('endpoint_id', sa.Text(), nullable=True),
    sa.Column('metadata', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('warnings', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('scheduled_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('deadline', sa.DateTime(timezone=True), nullable=False),
    sa.Column('due_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('attempt', sa.SmallInteger(), server_default='0', nullable=False),
    sa.Column('attempt_id', sa.Text(), nullable=True),
    sa.Column('session_id', sa.Text(), nullable=True),
    sa.Column('busy_destination', sa.LargeBinary(), nullable=True),
    sa.Column('busy_until', sa.DateTime(timezone=True), nullable=True),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('updated_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("(content IS NULL) = (status IN ('blocked', 'busy', 'canceled', 'delivered', 'expired', 'failed', 'no_answer', 'undetermined'))", name=op.f('messages_erased_check')),
    sa.CheckConstraint("(due_at IS NULL) = (status IN ('blocked', 'busy', 'canceled', 'delivered', 'expired', 'failed', 'no_answer', 'undetermined'))", name=op.f('messages_due_check')),
    sa.CheckConstraint("(finished_at IS NOT NULL) = (status IN ('blocked', 'busy', 'canceled', 'delivered', 'expired', 'failed', 'no_answer', 'undetermined'))", name=op.f('messages_finished_check')),
    sa.CheckConstraint("lane IN ('alert', 'notification', 'otp')", name=op.f('messages_lane_check')),
    sa.CheckConstraint("status IN ('answered', 'blocked', 'busy', 'canceled', 'delivered', 'dial_unknown', 'dialing', 'expired', 'failed', 'no_answer', 'placed', 'queued', 'scheduled', 'undetermined')", name=op.f('messages_status_check')),
    sa.ForeignKeyConstraint(['endpoint_id'], ['endpoints.endpoint_id'], name=op.f('messages_endpoint_id_fkey')),
    sa.PrimaryKeyConstraint('id', name=op.f('messages_pkey')),
    sa.UniqueConstraint('provider_id', 'message_id', name=op.f('messages_provider_id_message_id_key')),
    postgresql_with={'fillfactor': '85', 'autovacuum_vacuum_scale_factor': '0.01', 'autovacuum_analyze_scale_factor': '0.02'}
    )
    op.create_index('messages_busy_destination_key', 'messages', ['busy_destination'], unique=True, postgresql_where=sa.text('busy_destination IS NOT NULL'))
    op.create_index('messages_in_flight_idx', 'messages', ['busy_until'], unique=False, postgresql_where=sa.text('busy_until IS NOT NULL'))
    op.create_index('messages_open_idx', 'messages', ['status', 'due_at'], unique=False, postgresql_where=sa.text('finished_at IS NULL'))
    op.create_index('messages_provider_idx', 'messages', ['provider_id', 'created_at', 'id'], unique=False)
    op.create_index('messages_queue_idx', 'messages', ['lane', 'deadline'], unique=False, postgresql_where=sa.text("status = 'queued'"))
    op.create_table('dial_attempts',
    sa.Column('attempt_id', sa.Text(), nullable=False),
    sa.Column('message_id', sa.Text(), nullable=False),
    sa.Column('number', sa.SmallInteger(), nullable=False),
    sa.Column('claim_id', sa.Text(), nullable=False),
    sa.Column('subaccount_id', sa.Text(), nullable=False),
    sa.Column('source', sa.Text(), nullable=False),
    sa.Column('destination_key', sa.LargeBinary(), nullable=False),
    sa.Column('valid_until', sa.DateTime(timezone=True), nullable=False),
    sa.Column('started_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('replied_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('disposition', sa.Text(), nullable=True),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.Column('status_code', sa.BigInteger(), nullable=True),
    sa.Column('status_message', sa.Text(), nullable=True),
    sa.Column('session_id', sa.Text(), nullable=True),
    sa.Column('answered_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('key_pressed', sa.Text(), nullable=True),
    sa.Column('session_status', sa.Text(), nullable=True),
    sa.Column('session_status_raw', sa.Text(), nullable=True),
    sa.Column('error_code', sa.BigInteger(), nullable=True),
    sa.Column('error_message', sa.Text(), nullable=True),
    sa.Column('last_action', sa.Text(), nullable=True),
    sa.Column('session_started_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('session_ended_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('duration_seconds', sa.Integer(), nullable=True),
    sa.Column('heard', sa.Text(), nullable=True),
    sa.Column('settled_at', sa.DateTime(timezone=True), nullable=True),
    sa.ForeignKeyConstraint(['message_id'], ['messages.id'], name=op.f('dial_attempts_message_id_fkey'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('attempt_id', name=op.f('dial_attempts_pkey'))
    )
    op.create_index(op.f('dial_attempts_message_id_idx'), 'dial_attempts', ['message_id'], unique=False)
    op.create_index('dial_attempts_session_id_key', 'dial_attempts', ['session_id'], unique=True, postgresql_where=sa.text('session_id IS NOT NULL'))
    op.create_index('dial_attempts_unsettled_idx', 'dial_attempts', ['destination_key'], unique=False, postgresql_where=sa.text('settled_at IS NULL AND session_id IS NULL'))
    op.create_table('feed_events',
    sa.Column('event_id', sa.Text(), nullable=False),
    sa.Column('provider_id', sa.Text(), nullable=False),
    sa.Column('sequence', sa.BigInteger(), nullable=False),
    sa.Column('message_id', sa.Text(), nullable=False),
    sa.Column('type', sa.Text(), nullable=False),
    sa.Column('status', sa.Text(), nullable=False),
    sa.Column('reason', sa.Text(), nullable=True),
    sa.Column('facts', postgresql.JSONB(astext_type=sa.Text()), nullable=False),
    sa.Column('occurred_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(['message_id'], ['messages.id'], name=op.f('feed_events_message_id_fkey'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('event_id', name=op.f('feed_events_pkey')),
    sa.UniqueConstraint('provider_id', 'sequence', name=op.f('feed_events_provider_id_sequence_key'))
    )
    op.create_index(op.f('feed_events_message_id_idx'), 'feed_events', ['message_id'], unique=False)
    op.create_table('call_legs',
    sa.Column('session_id', sa.Text(), nullable=False),
    sa.Column('leg', sa.Text(), nullable=False),
    sa.Column('attempt_id', sa.Text(), nullable=False),
    sa.Column('call_id', sa.Text(), nullable=True),
    sa.Column('direction', sa.Text(), nullable=True),
    sa.Column('call_status', sa.Text(), nullable=True),
    sa.Column('call_status_raw', sa.Text(), nullable=True),
    sa.Column('initiated_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('connected_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('disconnected_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('duration_seconds', sa.Integer(), nullable=True),
    sa.Column('source_country', sa.Text(), nullable=True),
    sa.Column('destination_country', sa.Text(), nullable=True),
    sa.Column('mos', sa.Double(), nullable=True),
    sa.Column('packet_loss_rate', sa.Double(), nullable=True),
    sa.Column('jitter_ms', sa.Double(), nullable=True),
    sa.ForeignKeyConstraint(['attempt_id'], ['dial_attempts.attempt_id'], name=op.f('call_legs_attempt_id_fkey'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('session_id', 'leg', name=op.f('call_legs_pkey'))
    )
    op.create_index(op.f('call_legs_attempt_id_idx'), 'call_legs', ['attempt_id'], unique=False)
    op.create_table('callbacks',
    sa.Column('callback_id', sa.Text(), nullable=False),
    sa.Column('event_id', sa.Text(), nullable=False),
    sa.Column('endpoint_id', sa.Text(), nullable=False),
    sa.Column('message_id', sa.Text(), nullable=False),
    sa.Column('state', sa.Text(), nullable=False),
    sa.Column('due_at', sa.DateTime(timezone=True), nullable=True),
    sa.Column('attempts', sa.SmallInteger(), server_default='0', nullable=False),
    sa.Column('failures_forgiven', sa.SmallInteger(), server_default='0', nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('finished_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("(due_at IS NOT NULL) = (state IN ('due', 'sending'))", name=op.f('callbacks_due_check')),
    sa.CheckConstraint("state IN ('done', 'due', 'parked', 'sending')", name=op.f('callbacks_state_check')),
    sa.ForeignKeyConstraint(['endpoint_id'], ['endpoints.endpoint_id'], name=op.f('callbacks_endpoint_id_fkey')),
    sa.ForeignKeyConstraint(['event_id'], ['feed_events.event_id'], name=op.f('callbacks_event_id_fkey'), ondelete='CASCADE'),
    sa.ForeignKeyConstraint(['message_id'], ['messages.id'], name=op.f('callbacks_message_id_fkey'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('callback_id', name=op.f('callbacks_pkey')),
    sa.UniqueConstraint('event_id', 'endpoint_id', name=op.f('callbacks_event_id_endpoint_id_key'))
    )
    op.create_index('callbacks_due_idx', 'callbacks', ['endpoint_id', 'due_at'], unique=False, postgresql_where=sa.text("state IN ('due', 'sending')"))
    op.create_index(op.f('callbacks_message_id_idx'), 'callbacks', ['message_id'], unique=False)
    op.create_table('delivery_attempts',
    sa.Column('callback_id', sa.Text(), nullable=False),
    sa.Column('number', sa.SmallInteger(), nullable=False),
    sa.Column('started_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('elapsed_ms', sa.Integer(), nullable=True),
    sa.Column('http_status', sa.Integer(), nullable=True),
    sa.Column('error', sa.Text(), nullable=True),
    sa.Column('reply', sa.Text(), nullable=True),
    sa.ForeignKeyConstraint(['callback_id'], ['callbacks.callback_id'], name=op.f('delivery_attempts_callback_id_fkey'), ondelete='CASCADE'),
    sa.PrimaryKeyConstraint('callback_id', 'number', name=op.f('delivery_attempts_pkey'))
    )


def downgrade() -> None:
    op.drop_table('delivery_attempts')
    op.drop_index(op.f('callbacks_message_id_idx'), table_name='callbacks')
    op.drop_index('callbacks_due_idx', table_name='callbacks', postgresql_where=sa.text("state IN ('due', 'sending')"))
    op.drop_table('callbacks')
    op.drop_index(op.f('call_legs_attempt_id_idx'), table_name='call_legs')
    op.drop_table('call_legs')
    op.drop_index(op.f('feed_events_message_id_idx'), table_name='feed_events')
    op.drop_table('feed_events')
    op.drop_index('dial_attempts_unsettled_idx', table_name='dial_attempts', postgresql_where=sa.text('settled_at IS NULL AND session_id IS NULL'))
    op.drop_index('dial_attempts_session_id_key', table_name='dial_attempts', postgresql_where=sa.text('session_id IS NOT NULL'))
    op.drop_index(op.f('dial_attempts_message_id_idx'), table_name='dial_attempts')
    op.drop_table('dial_attempts')
    op.drop_index('messages_queue_idx', table_name='messages', postgresql_where=sa.text("status = 'queued'"))
    op.drop_index('messages_provider_idx', table_name='messages')
    op.drop_index('messages_open_idx', table_name='messages', postgresql_where=sa.text('finished_at IS NULL'))
    op.drop_index('messages_in_flight_idx', table_name='messages', postgresql_where=sa.text('busy_until IS NOT NULL'))
    op.drop_index('messages_busy_destination_key', table_name='messages', postgresql_where=sa.text('busy_destination IS NOT NULL'))
    op.drop_table('messages')
    op.drop_table('suppressions')
    op.drop_table('endpoints')
    op.drop_index(op.f('api_keys_provider_id_idx'), table_name='api_keys')
    op.drop_table('api_keys')
    op.drop_index('webhook_inbox_unmatched_idx', table_name='webhook_inbox', postgresql_where=sa.text('processed_at IS NULL AND session_id IS NOT NULL'))
    op.drop_index('webhook_inbox_processed_idx', table_name='webhook_inbox', postgresql_where=sa.text('processed_at IS NOT NULL'))
    op.drop_index('webhook_inbox_due_idx', table_name='webhook_inbox', postgresql_where=sa.text('processed_at IS NULL'))
    op.drop_table('webhook_inbox')
    op.drop_table('voices')
    op.drop_table('subaccounts')
    op.drop_table('providers')
    op.drop_table('lanes')
    op.drop_table('heartbeats')
    op.drop_table('breakers')
    op.drop_table('audit_log')
