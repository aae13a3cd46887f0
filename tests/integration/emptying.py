"""Emptying tables between tests: a TRUNCATE makes new files for a table and its indexes, so only what was used is."""

from sqlalchemy import text

_USED = text("""
SELECT c.relname FROM pg_class c
WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY (:names) AND (
  pg_relation_size(c.oid) > 0
  OR EXISTS (SELECT FROM pg_partition_tree(c.oid) p WHERE pg_relation_size(p.relid) > 0)
  OR EXISTS (
    SELECT FROM pg_depend d JOIN pg_sequence s ON s.seqrelid = d.objid
    WHERE d.refobjid = c.oid AND pg_sequence_last_value(s.seqrelid) IS NOT NULL
  )
)
""")


def empty(connection, names, options=""):
    """Truncate those of the tables that hold anything, or have numbered a row, since they were last truncated."""
    used = connection.execute(_USED, {"names": list(names)}).scalars().all()
    if used:
        connection.execute(text(f"TRUNCATE {', '.join(used)} {options} CASCADE"))
