"""Reads one Delta table with the Python packages deltalake, Polars and DuckDB.

Usage: read_delta.py TABLE

TABLE is a class's folder in the lake. Prints one line per reader,
`<reader> rows=<physical rows> keys=<rows after the deduplicating query> sum=<sum of all numbers>`,
and ends with 1 when two readers disagree. A reader that is not installed is skipped with a line on
stderr; when none is left it ends with 77.
"""

import math
import sys

KEYS = {"asset", "time", "received_at", "_sequence"}


def with_deltalake(table):
    import deltalake
    import pyarrow as pa
    import pyarrow.compute as pc

    data = pa.table(deltalake.DeltaTable(table).to_pyarrow_table())
    total = 0.0
    for name in data.column_names:
        column = data[name]
        if name in KEYS or pa.types.is_large_string(column.type) or pa.types.is_string(column.type):
            continue
        total += pc.sum(column.cast(pa.float64())).as_py() or 0.0
    keys = data.select(["asset", "time"]).group_by(["asset", "time"]).aggregate([])
    return data.num_rows, keys.num_rows, total


def with_polars(table):
    import polars as pl

    data = pl.scan_delta(table).collect()
    total = 0.0
    for name in data.columns:
        if name in KEYS or not data[name].dtype.is_numeric():
            continue
        total += data[name].cast(pl.Float64).sum() or 0.0
    return data.height, data.select(["asset", "time"]).unique().height, total


def with_duckdb(table):
    import duckdb

    connection = duckdb.connect()
    try:
        connection.execute("INSTALL delta; LOAD delta")
        source = f"delta_scan('{table}')"
    except duckdb.Error as error:
        # Without the network there is no extension: the files come from the log instead.
        print(f"duckdb: no delta extension ({str(error).splitlines()[0]})", file=sys.stderr)
        import deltalake

        files = deltalake.DeltaTable(table).file_uris()
        source = f"read_parquet({files!r}, union_by_name = true)"
    columns = connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
    numbers = [
        f"coalesce(sum(\"{name}\"::DOUBLE), 0)"
        for name, form, *_ in columns
        if name not in KEYS and (form.startswith("DECIMAL") or form == "DOUBLE")
    ]
    rows, total = connection.execute(
        f"SELECT count(*), {' + '.join(numbers) or '0'} FROM {source}"
    ).fetchall()[0]
    order = "received_at DESC, _sequence DESC NULLS LAST"
    if "_sequence" not in [name for name, *_ in columns]:
        order = "received_at DESC"
    keys = connection.execute(
        f"SELECT count(*) FROM (SELECT * FROM {source} "
        f"QUALIFY row_number() OVER (PARTITION BY asset, time ORDER BY {order}) = 1)"
    ).fetchall()[0][0]
    return rows, keys, total


def main():
    table = sys.argv[1]
    found = {}
    for name, read in [
        ("deltalake", with_deltalake),
        ("polars", with_polars),
        ("duckdb", with_duckdb),
    ]:
        try:
            found[name] = read(table)
        except ImportError as error:
            print(f"skipped {name}: {error}", file=sys.stderr)
    if not found:
        sys.exit(77)
    for name, (rows, keys, total) in found.items():
        print(f"{name} rows={rows} keys={keys} sum={total:.6f}")
    first = next(iter(found.values()))
    for name, other in found.items():
        same = first[:2] == other[:2] and math.isclose(first[2], other[2], rel_tol=1e-9, abs_tol=1e-6)
        if not same:
            print(f"{name} disagrees", file=sys.stderr)
            sys.exit(1)


main()
