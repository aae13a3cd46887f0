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
#: Ids of test messages' attempts begin so, behind all others: they lie in the default partition.
TESTS = 'test_'
#: Until then the first partition, which is the table as it was, takes what comes. One with rows is looked through under a
#: check that a kill leaves behind: run again, or dropped by hand, before the second of these.
AHEAD_EMPTY, AHEAD = timedelta(days=7), timedelta(days=90)


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
    asked = sa.text(f"SELECT date_trunc('day', now()) AS today, EXISTS (SELECT FROM {table}) AS has_rows")
    found = op.get_bind().execute(asked).one()
    until = found.today + (AHEAD if found.has_rows else AHEAD_EMPTY)
    before, bound = f'{table}_before_{until:%Y%m%d}', first_id(prefix, until)
    set_tests_aside(table, key, primary)
    # What takes long holds nobody back: an index, and the look that spares ATTACH its own.
    op.execute(f'DROP INDEX CONCURRENTLY IF EXISTS {table}_new_pkey')
    op.execute(f'CREATE UNIQUE INDEX CONCURRENTLY {table}_new_pkey ON {table} ({primary})')
    op.execute(f'ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {table}_until')
    if found.has_rows:
        op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {table}_until CHECK ({key} < '{bound}') NOT VALID")
    try:
        if found.has_rows:
            op.execute(f'ALTER TABLE {table} VALIDATE CONSTRAINT {table}_until')
        swap(table, key, primary, before, bound)
    except Exception:
        op.execute(f'ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {table}_until')
        raise


def swap(table: str, key: str, primary: str, before: str, bound: str) -> None:
    """One transaction, as one string is, and no row is looked at. Who may use the table may use the new one."""
    op.execute(f"""
        ALTER TABLE {table} RENAME TO {before};
        ALTER TABLE {before} DROP CONSTRAINT {table}_pkey;
        ALTER TABLE {before} ADD CONSTRAINT {before}_pkey PRIMARY KEY USING INDEX {table}_new_pkey;
        DROP INDEX IF EXISTS {table}_{key}_idx;
        CREATE TABLE {table} (LIKE {before} INCLUDING DEFAULTS) PARTITION BY RANGE ({key});
        ALTER TABLE {table} ADD CONSTRAINT {table}_pkey PRIMARY KEY ({primary});
        ALTER TABLE {table} ATTACH PARTITION {before} FOR VALUES FROM (MINVALUE) TO ('{bound}');
        ALTER TABLE {before} DROP CONSTRAINT IF EXISTS {table}_until;
        DROP TRIGGER {table}_aside ON {before};
        DROP FUNCTION {table}_aside();
        ALTER TABLE {table} ATTACH PARTITION {table}_rest DEFAULT;
        DO $$ DECLARE one record; BEGIN
          FOR one IN
            SELECT a.privilege_type, CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END AS grantee
            FROM pg_class c, aclexplode(c.relacl) a
            WHERE c.oid = '{before}'::regclass AND a.grantee <> c.relowner
          LOOP EXECUTE format('GRANT %s ON {table} TO %s', one.privilege_type, one.grantee); END LOOP;
        END $$;
    """)


def set_tests_aside(table: str, key: str, primary: str) -> None:
    """Into what will be the default partition, and keep those there that come meanwhile."""
    op.execute(
        f'CREATE TABLE IF NOT EXISTS {table}_rest'
        f' (LIKE {table} INCLUDING DEFAULTS, CONSTRAINT {table}_rest_pkey PRIMARY KEY ({primary}))'
    )
    op.execute(f"""
        CREATE OR REPLACE FUNCTION {table}_aside() RETURNS trigger LANGUAGE plpgsql
        SECURITY DEFINER SET search_path FROM CURRENT AS $$
        BEGIN
          INSERT INTO {table}_rest SELECT NEW.* ON CONFLICT DO NOTHING;
          RETURN NULL;
        END $$
    """)
    op.execute(f"""
        CREATE OR REPLACE TRIGGER {table}_aside BEFORE INSERT ON {table}
        FOR EACH ROW WHEN (NEW.{key} >= '{TESTS}') EXECUTE FUNCTION {table}_aside()
    """)
    op.execute(f"""
        WITH moved AS (DELETE FROM {table} WHERE {key} >= '{TESTS}' RETURNING *)
        INSERT INTO {table}_rest SELECT * FROM moved ON CONFLICT DO NOTHING
    """)


def downgrade() -> None:
    join('delivery_attempts', 'callback_id, number')
    join('call_legs', 'session_id, leg')
    op.create_index('call_legs_attempt_id_idx', 'call_legs', ['attempt_id'])


def join(table: str, primary: str) -> None:
    op.execute(f'LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE')
    op.execute(f'CREATE TABLE {table}_joined (LIKE {table} INCLUDING DEFAULTS)')
    op.execute(f'INSERT INTO {table}_joined SELECT * FROM {table}')
    op.drop_table(table)
    op.rename_table(f'{table}_joined', table)
    op.execute(f'ALTER TABLE {table} ADD CONSTRAINT {table}_pkey PRIMARY KEY ({primary})')
