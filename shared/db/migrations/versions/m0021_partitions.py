"""What grows with each leg and each try lies in partitions by time, which go whole instead of row by row."""

from datetime import timedelta

import sqlalchemy as sa
from alembic import op

from shared.ids import first_id

revision = '0021'
down_revision = '0020'
branch_labels = None
depends_on = None

#: Table, the time-ordered id that parts it, how such ids begin, and the primary key.
TABLES = (
    ('delivery_attempts', 'callback_id', 'cb', 'callback_id, number'),
    ('call_legs', 'attempt_id', 'att', 'attempt_id, session_id, leg'),
)
#: Until then the table as it is takes what comes: broken off, the migration has to be run again before.
AHEAD = timedelta(days=7)


def upgrade() -> None:
    # Beside the traffic; it may be broken off at any line and run again.
    with op.get_context().autocommit_block():
        for table, key, prefix, primary in TABLES:
            if not is_parted(table):
                part(table, key, prefix, primary)


def is_parted(table: str) -> bool:
    found = sa.text("SELECT relkind = 'p' FROM pg_class WHERE oid = to_regclass(:table)")
    return bool(op.get_bind().execute(found, {'table': table}).scalar())


def part(table: str, key: str, prefix: str, primary: str) -> None:
    """All rows stay where they are: the table becomes the first partition of one of its name."""
    until = op.get_bind().execute(sa.text("SELECT date_trunc('day', now())")).scalar_one() + AHEAD
    before, bound = f'{table}_before_{until:%Y%m%d}', first_id(prefix, until)
    # What takes long holds nobody back: an index, and the look that spares ATTACH its own.
    op.execute(f'DROP INDEX CONCURRENTLY IF EXISTS {table}_new_pkey')
    op.execute(f'CREATE UNIQUE INDEX CONCURRENTLY {table}_new_pkey ON {table} ({primary})')
    op.execute(f'ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {table}_until')
    op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {table}_until CHECK ({key} < '{bound}') NOT VALID")
    op.execute(f'ALTER TABLE {table} VALIDATE CONSTRAINT {table}_until')
    # One transaction, as one string is, and no row is looked at.
    op.execute(f"""
        ALTER TABLE {table} RENAME TO {before};
        ALTER TABLE {before} DROP CONSTRAINT {table}_pkey;
        ALTER TABLE {before} ADD CONSTRAINT {before}_pkey PRIMARY KEY USING INDEX {table}_new_pkey;
        DROP INDEX IF EXISTS call_legs_{key}_idx;
        CREATE TABLE {table} (LIKE {before} INCLUDING DEFAULTS) PARTITION BY RANGE ({key});
        ALTER TABLE {table} ADD CONSTRAINT {table}_pkey PRIMARY KEY ({primary});
        ALTER TABLE {table} ATTACH PARTITION {before} FOR VALUES FROM (MINVALUE) TO ('{bound}');
        ALTER TABLE {before} DROP CONSTRAINT {table}_until;
        CREATE TABLE {table}_rest PARTITION OF {table} DEFAULT;
    """)


def downgrade() -> None:
    join('delivery_attempts', 'callback_id, number')
    join('call_legs', 'session_id, leg')
    op.create_index('call_legs_attempt_id_idx', 'call_legs', ['attempt_id'])


def join(table: str, primary: str) -> None:
    op.execute(f'CREATE TABLE {table}_joined (LIKE {table} INCLUDING DEFAULTS)')
    op.execute(f'INSERT INTO {table}_joined SELECT * FROM {table}')
    op.drop_table(table)
    op.rename_table(f'{table}_joined', table)
    op.execute(f'ALTER TABLE {table} ADD CONSTRAINT {table}_pkey PRIMARY KEY ({primary})')
