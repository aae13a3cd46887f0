"""A summary is written to its attempt in place: no index holds what it changes, and pages keep room for it."""

import sqlalchemy as sa
from alembic import op

revision = '0004'
down_revision = '0003'
branch_labels = None
depends_on = None

INDEX = 'dial_attempts_unsettled_idx'


def upgrade() -> None:
    op.execute('ALTER TABLE dial_attempts SET (fillfactor = 50)')
    rebuild("session_id IS NULL AND (disposition IS NULL OR disposition = 'unknown')")


def downgrade() -> None:
    op.execute('ALTER TABLE dial_attempts RESET (fillfactor)')
    rebuild('settled_at IS NULL AND session_id IS NULL')


def rebuild(predicate: str) -> None:
    """Beside the traffic; it may be broken off at any line and run again. Either index serves either version."""
    with op.get_context().autocommit_block():
        op.execute(f'DROP INDEX CONCURRENTLY IF EXISTS {INDEX}_new')
        op.create_index(
            f'{INDEX}_new',
            'dial_attempts',
            ['destination_key'],
            postgresql_where=sa.text(predicate),
            postgresql_concurrently=True,
        )
        op.execute(f'DROP INDEX CONCURRENTLY IF EXISTS {INDEX}')
        op.execute(f'ALTER INDEX {INDEX}_new RENAME TO {INDEX}')
