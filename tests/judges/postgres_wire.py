"""Foreign PostgreSQL clients at the door: psycopg (both protocols, both encodings) and SQLAlchemy.

    python3 tests/judges/postgres_wire.py postgres://127.0.0.1:PORT/fieldwright [TOKEN]

The service holds the class `judge` with assets j-1 and j-2 and the metrics `a` and `b`.
Prints one line for each check; ends with 0 when all hold.
"""

import datetime
import sys
import threading

import psycopg
import sqlalchemy


def told(name):
    print(f"ok {name}", flush=True)


def refused(connection, query, state):
    try:
        connection.execute(query)
    except psycopg.Error as error:
        assert error.sqlstate == state, f"{query}: {error.sqlstate} {error}"
        return
    raise AssertionError(f"{query} was not refused")


def psycopg_asks(url):
    with psycopg.connect(url, autocommit=True) as connection:
        rows = connection.execute("SELECT asset, a FROM judge ORDER BY asset, time").fetchall()
        assert rows[0] == ("j-1", 1.5), rows
        told("psycopg reads text")
        query = "SELECT count(*), max(a), max(time) FROM judge WHERE asset = %s AND a > %s"
        for binary in (False, True):
            row = connection.execute(query, ("j-1", 1), binary=binary).fetchone()
            assert row[0] == 3 and row[1] == 3.5, row
            assert row[2].tzinfo is not None and row[2].year == 2026, row
        told("psycopg binds parameters in both encodings")
        since = datetime.datetime(2026, 1, 2, 0, 0, 2, tzinfo=datetime.timezone.utc)
        row = connection.execute("SELECT count(*) FROM judge WHERE time >= %s", (since,)).fetchone()
        assert row == (2,), row
        told("psycopg binds instants")
        for _ in range(7):
            # From the fifth time on psycopg prepares by name.
            row = connection.execute("SELECT b FROM judge WHERE asset = %s LIMIT 1", ("j-2",))
            assert row.fetchone() == (None,), row
        told("psycopg prepares by name")
        row = connection.execute("SELECT %s", ("text",)).fetchone()
        assert row == ("text",), row
        refused(connection, "INSERT INTO judge VALUES ('x')", "25006")
        refused(connection, "SELECT * FROM nope", "42P01")
        refused(connection, "SELECT nope FROM judge", "42703")
        assert connection.execute("SELECT 1").fetchone() == (1,)
        told("psycopg is refused what it must not do, and goes on")
    with psycopg.connect(url) as connection:
        connection.execute("SELECT 1")
        connection.rollback()
        connection.execute("SET statement_timeout = 60000")
        connection.commit()
        told("psycopg uses transactions")


def psycopg_cancels(url):
    with psycopg.connect(url, autocommit=True) as connection:
        endless = (
            "SELECT count(*) FROM generate_series(1, 1000000) a "
            "CROSS JOIN generate_series(1, 1000000) b"
        )
        timer = threading.Timer(0.3, connection.cancel)
        timer.start()
        refused(connection, endless, "57014")
        timer.join()
        told("psycopg cancels")


def sqlalchemy_looks_around(url):
    engine = sqlalchemy.create_engine(url.replace("postgres://", "postgresql+psycopg://"))
    inspector = sqlalchemy.inspect(engine)
    assert "public" in inspector.get_schema_names(), inspector.get_schema_names()
    tables = inspector.get_table_names()
    assert "judge" in tables, tables
    told("SQLAlchemy lists tables")
    columns = {column["name"]: str(column["type"]) for column in inspector.get_columns("judge")}
    assert columns["asset"] == "TEXT" and columns["a"] == "DOUBLE PRECISION", columns
    assert columns["time"].startswith("TIMESTAMP"), columns
    told("SQLAlchemy lists columns")
    reflected = sqlalchemy.Table("judge", sqlalchemy.MetaData(), autoload_with=engine)
    assert reflected.columns.keys()[:3] == ["asset", "time", "received_at"], reflected
    assert inspector.has_table("judge") and not inspector.has_table("nope")
    told("SQLAlchemy reflects a table")
    with engine.connect() as connection:
        table = sqlalchemy.table("judge", sqlalchemy.column("asset"), sqlalchemy.column("a"))
        query = sqlalchemy.select(table.c.asset, sqlalchemy.func.max(table.c.a))
        query = query.where(table.c.a > 1).group_by(table.c.asset).order_by(table.c.asset)
        rows = connection.execute(query).fetchall()
        assert rows[0] == ("j-1", 3.5), rows
        told("SQLAlchemy asks")
    engine.dispose()


def main():
    url = sys.argv[1]
    if len(sys.argv) > 2:
        url = url.replace("postgres://", f"postgres://judge:{sys.argv[2]}@")
        try:
            psycopg.connect(url.replace(sys.argv[2], "wrong"))
        except psycopg.OperationalError:
            told("a wrong password does not open")
        else:
            raise AssertionError("a wrong password opened")
    else:
        url = url.replace("postgres://", "postgres://judge@")
    psycopg_asks(url)
    psycopg_cancels(url)
    sqlalchemy_looks_around(url)


main()
