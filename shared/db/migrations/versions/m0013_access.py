"""Operators of the dashboard and their sessions; what the audit log holds stays as it was written."""

import sqlalchemy as sa
from alembic import op

revision = '0013'
down_revision = '0012'
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table('operators',
    sa.Column('operator_id', sa.Text(), nullable=False),
    sa.Column('name', sa.Text(), nullable=False),
    sa.Column('role', sa.Text(), nullable=False),
    sa.Column('password', sa.Text(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('password_set_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('disabled_at', sa.DateTime(timezone=True), nullable=True),
    sa.CheckConstraint("role IN ('admin', 'operator', 'viewer')", name=op.f('operators_role_check')),
    sa.PrimaryKeyConstraint('operator_id', name=op.f('operators_pkey')),
    sa.UniqueConstraint('name', name=op.f('operators_name_key'))
    )
    op.create_table('operator_sessions',
    sa.Column('token_hash', sa.LargeBinary(), nullable=False),
    sa.Column('operator_id', sa.Text(), nullable=False),
    sa.Column('created_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.Column('used_at', sa.DateTime(timezone=True), server_default=sa.text('now()'), nullable=False),
    sa.ForeignKeyConstraint(
        ['operator_id'], ['operators.operator_id'], name=op.f('operator_sessions_operator_id_fkey')
    ),
    sa.PrimaryKeyConstraint('token_hash', name=op.f('operator_sessions_pkey'))
    )
    op.create_index(op.f('operator_sessions_operator_id_idx'), 'operator_sessions', ['operator_id'])
    op.execute("""
        CREATE FUNCTION audit_log_is_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          RAISE EXCEPTION 'what is in audit_log stays as it was written' USING ERRCODE = 'insufficient_privilege';
        END $$
    """)
    # Old versions only add rows, too.
    op.execute("""
        CREATE TRIGGER audit_log_append_only BEFORE UPDATE OR DELETE ON audit_log
        FOR EACH ROW EXECUTE FUNCTION audit_log_is_append_only()
    """)


def downgrade() -> None:
    op.execute('DROP TRIGGER audit_log_append_only ON audit_log')
    op.execute('DROP FUNCTION audit_log_is_append_only()')
    op.drop_table('operator_sessions')
    op.drop_table('operators')
