"""A foreign Flight SQL client at the door: the ADBC driver.

    python3 tests/judges/flight_sql.py grpc://127.0.0.1:PORT [TOKEN]

The service holds the class `judge` with assets j-1 and j-2 and the metrics `a` and `b`.
Prints one line for each check; ends with 0 when all hold.
"""

import sys

import adbc_driver_flightsql.dbapi
from adbc_driver_flightsql import DatabaseOptions


def told(name):
    print(f"ok {name}", flush=True)


def refused(cursor, query, words):
    try:
        cursor.execute(query)
        cursor.fetchall()
    except Exception as error:
        assert words in str(error), f"{query}: {error}"
        return
    raise AssertionError(f"{query} was not refused")


def connect(url, token):
    options = {}
    if token:
        options[DatabaseOptions.AUTHORIZATION_HEADER.value] = f"Bearer {token}"
    return adbc_driver_flightsql.dbapi.connect(url, db_kwargs=options, autocommit=True)


def main():
    url = sys.argv[1]
    token = sys.argv[2] if len(sys.argv) > 2 else None
    if token:
        try:
            with connect(url, "wrong") as connection, connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        except Exception as error:
            assert "token" in str(error), error
            told("a wrong token does not open")
        else:
            raise AssertionError("a wrong token opened")
        login = {"username": "judge", "password": token}
        with adbc_driver_flightsql.dbapi.connect(url, db_kwargs=login, autocommit=True) as connection:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 AS one")
                assert cursor.fetchone() == (1,)
        told("the token is taken as password")
    with connect(url, token) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT asset, a, time FROM judge ORDER BY asset, time")
        table = cursor.fetch_arrow_table()
        assert table.column_names == ["asset", "a", "time"], table.schema
        assert table.num_rows == 4 and table["a"][0].as_py() == 1.5, table
        told("ADBC reads an Arrow table")
        cursor.execute("SELECT count(*) FROM judge WHERE asset = $1 AND a > $2", ("j-1", 2.0))
        assert cursor.fetchone() == (2,)
        told("ADBC binds parameters")
        names = connection.adbc_get_objects(depth="all").read_all().to_pylist()
        schema = names[0]["catalog_db_schemas"][0]
        tables = {table["table_name"]: table for table in schema["db_schema_tables"]}
        columns = [column["column_name"] for column in tables["judge"]["table_columns"]]
        assert columns[:3] == ["asset", "time", "received_at"], columns
        told("ADBC lists tables and columns")
        assert set(connection.adbc_get_table_types()) == {"TABLE", "VIEW"}
        schema = connection.adbc_get_table_schema("judge")
        assert "a" in schema.names, schema
        info = connection.adbc_get_info()
        assert info["vendor_name"] == "Fieldwright", info
        told("ADBC asks what the service is")
        refused(cursor, "INSERT INTO judge VALUES ('x')", "only reads")
        refused(cursor, "DROP TABLE judge", "only reads")
        refused(cursor, "SELECT * FROM nope", "nope")
        told("ADBC is refused what it must not do")


main()
