"""PostgreSQL: tables, statements, migrations, group commit."""
