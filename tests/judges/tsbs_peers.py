#!/usr/bin/env python3
"""The 13 TSBS IoT queries of two peers, and our times against the better of them per query.

    fieldwright bench tsbs --data DIR --out ours > ours.jsonl
    tests/judges/tsbs_peers.py --judge ../shared/judges/tsbs --data DIR --ours ours.jsonl --ours-out ours

DuckDB runs the judge's own texts (`run_duckdb.py`); chDB runs the texts below. Both have native
tables sorted by name and time, 2 threads, warm, the best of seven, no result cache. Answers are
compared with the judge's `compare.py`. Needs the packages duckdb and chdb (PyPI).
"""
import argparse, csv, json, math, os, subprocess, sys, tempfile, time

TRUCKS = "SELECT name, {cols} FROM ({both}) WHERE name IS NOT NULL GROUP BY name"
PERIOD = "toStartOfInterval(ts, INTERVAL 10 MINUTE)"
LAST_HOURS = """
WITH periods AS (
  SELECT r.name AS name, toStartOfInterval(r.ts, INTERVAL 10 MINUTE) AS period FROM readings r
  WHERE r.name IN (SELECT name FROM trucks WHERE fleet = 'South')
    AND r.ts > (SELECT max(ts) FROM readings) - INTERVAL {hours} HOUR
  GROUP BY name, period HAVING avg(r.velocity) > 20)
SELECT t.name AS name, t.driver AS driver FROM periods p JOIN trucks t ON p.name = t.name
GROUP BY t.name, t.driver HAVING count(*) > {periods}"""

CHDB = {
    "last-loc": """
SELECT t.name AS name, t.driver AS driver, l.longitude AS longitude, l.latitude AS latitude FROM (
  SELECT name, argMaxIf(longitude, ts, longitude IS NOT NULL) AS longitude,
         argMaxIf(latitude, ts, latitude IS NOT NULL) AS latitude
  FROM readings WHERE name = 'truck_1' GROUP BY name) l
JOIN trucks t ON l.name = t.name WHERE t.name = 'truck_1'""",
    "last-loc-fleet": """
SELECT t.name AS name, t.driver AS driver, l.longitude AS longitude, l.latitude AS latitude FROM (
  SELECT name, argMaxIf(longitude, ts, longitude IS NOT NULL) AS longitude,
         argMaxIf(latitude, ts, latitude IS NOT NULL) AS latitude
  FROM readings WHERE name IN (SELECT name FROM trucks WHERE fleet = 'South') GROUP BY name) l
JOIN trucks t ON l.name = t.name""",
    "low-fuel": """
SELECT t.name AS name, t.driver AS driver, l.fuel_state AS fuel_state FROM (
  SELECT name, argMaxIf(fuel_state, ts, fuel_state IS NOT NULL) AS fuel_state FROM diagnostics
  WHERE name IN (SELECT name FROM trucks WHERE fleet = 'North') GROUP BY name) l
JOIN trucks t ON l.name = t.name WHERE l.fuel_state < 0.75""",
    "high-load": """
SELECT t.name AS name, t.driver AS driver, t.load_capacity AS load_capacity, l.current_load AS current_load FROM (
  SELECT name, argMaxIf(current_load, ts, current_load IS NOT NULL) AS current_load FROM diagnostics
  WHERE name IN (SELECT name FROM trucks WHERE fleet = 'South') GROUP BY name) l
JOIN trucks t ON l.name = t.name WHERE l.current_load / t.load_capacity > 0.9""",
    "stationary-trucks": """
SELECT t.name AS name, t.driver AS driver FROM (
  SELECT name, avg(velocity) AS mean FROM readings
  WHERE name IN (SELECT name FROM trucks WHERE fleet = 'South')
    AND ts > (SELECT max(ts) FROM readings) - INTERVAL 10 MINUTE GROUP BY name) l
JOIN trucks t ON l.name = t.name WHERE l.mean < 10""",
    "long-driving-sessions": LAST_HOURS.format(hours=4, periods=22),
    "long-daily-sessions": LAST_HOURS.format(hours=24, periods=60),
    "avg-vs-projected-fuel-consumption": """
SELECT t.fleet AS fleet, avg(r.fuel_consumption) AS avg_fuel_consumption,
       avg(t.nominal_fuel_consumption) AS projected_fuel_consumption
FROM readings r JOIN trucks t ON r.name = t.name WHERE r.velocity > 1 AND t.fleet IS NOT NULL GROUP BY t.fleet""",
    "avg-daily-driving-duration": f"""
WITH periods AS (SELECT name, {PERIOD} AS period FROM readings GROUP BY name, period HAVING avg(velocity) > 1),
days AS (SELECT name, toStartOfDay(period) AS day, count(*) / 6.0 AS hours FROM periods GROUP BY name, day)
SELECT t.fleet AS fleet, t.name AS name, t.driver AS driver, avg(d.hours) AS avg_daily_hours
FROM days d JOIN trucks t ON d.name = t.name GROUP BY t.fleet, t.name, t.driver""",
    "avg-daily-driving-session": f"""
WITH periods AS (
  SELECT name, {PERIOD} AS period, avg(velocity) > 5 AS driving FROM readings
  GROUP BY name, period HAVING avg(velocity) IS NOT NULL),
changes AS (
  SELECT name, period, driving, lagInFrame(toNullable(driving)) OVER (PARTITION BY name ORDER BY period
         ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS before FROM periods),
sessions AS (
  SELECT name, driving, period AS start, leadInFrame(toNullable(period)) OVER (PARTITION BY name ORDER BY period
         ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS stop
  FROM changes WHERE before IS NULL OR before <> driving)
SELECT t.name AS name, toStartOfDay(s.start) AS day,
       avg(toUnixTimestamp(s.stop) - toUnixTimestamp(s.start)) / 60 AS avg_session_minutes
FROM sessions s JOIN trucks t ON s.name = t.name WHERE s.driving AND s.stop IS NOT NULL GROUP BY t.name, day""",
    "avg-load": """
WITH truck_load AS (SELECT name, avg(current_load) AS load FROM diagnostics GROUP BY name)
SELECT t.fleet AS fleet, t.model AS model, t.load_capacity AS load_capacity, avg(l.load / t.load_capacity) AS mean_load
FROM truck_load l JOIN trucks t ON l.name = t.name GROUP BY t.fleet, t.model, t.load_capacity""",
    "daily-activity": f"""
WITH periods AS (SELECT name, {PERIOD} AS period FROM diagnostics GROUP BY name, period HAVING avg(status) < 1)
SELECT t.fleet AS fleet, t.model AS model, toStartOfDay(p.period) AS day, count(*) / 144.0 AS daily_activity
FROM periods p JOIN trucks t ON p.name = t.name GROUP BY t.fleet, t.model, day""",
    "breakdown-frequency": f"""
WITH periods AS (
  SELECT name, {PERIOD} AS period, countIf(status = 0) / count(status) >= 0.5 AS broken FROM diagnostics
  WHERE status IS NOT NULL GROUP BY name, period),
changes AS (
  SELECT name, broken, leadInFrame(toNullable(broken)) OVER (PARTITION BY name ORDER BY period
         ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS next FROM periods)
SELECT t.model AS model, count(*) AS breakdowns FROM changes c JOIN trucks t ON c.name = t.name
WHERE NOT c.broken AND c.next GROUP BY t.model""",
}


def line(name, ms, rows):
    return {"name": f"tsbs/{name}", "value": round(ms, 3), "unit": "ms", "rows": rows}


def load_chdb(session, data):
    number = "Nullable(Float64)"
    values = {"readings": "latitude longitude elevation velocity heading grade fuel_consumption",
              "diagnostics": "fuel_state current_load status"}
    for table, columns in values.items():
        columns = columns.split()
        session.query(f"CREATE TABLE {table} (ts DateTime('UTC'), name LowCardinality(String), "
                      + ", ".join(f"{c} {number}" for c in columns) + ") ENGINE = MergeTree ORDER BY (name, ts)")
        session.query(f"INSERT INTO {table} SELECT ts, name, {', '.join(columns)} "
                      f"FROM file('{data}/{table}.parquet', Parquet) WHERE name IS NOT NULL")
        session.query(f"OPTIMIZE TABLE {table} FINAL")
    texts = ["fleet", "driver", "model", "device_version"]
    numbers = ["load_capacity", "fuel_capacity", "nominal_fuel_consumption"]
    tags = ", ".join(["name", *texts, *numbers])
    both = " UNION ALL ".join(f"SELECT {tags} FROM file('{data}/{t}.parquet', Parquet)" for t in values)
    session.query("CREATE TABLE trucks (name LowCardinality(String), "
                  + ", ".join(f"{c} LowCardinality(Nullable(String))" for c in texts) + ", "
                  + ", ".join(f"{c} {number}" for c in numbers) + ") ENGINE = MergeTree ORDER BY name")
    session.query("INSERT INTO trucks " + TRUCKS.format(cols=", ".join(f"max({c})" for c in texts + numbers), both=both))


def run_chdb(data, out, repeat):
    from chdb import session as sessions
    folder = tempfile.mkdtemp()
    session = sessions.Session(folder)
    session.query("CREATE DATABASE tsbs ENGINE = Atomic")
    session.query("USE tsbs")
    session.query("SET max_threads = 2")
    session.query("SET use_query_cache = 0")
    session.query("SET session_timezone = 'UTC'")
    load_chdb(session, data)
    lines = []
    for name in sorted(CHDB):
        times = []
        for _ in range(repeat):
            start = time.perf_counter()
            answer = session.query(CHDB[name], "CSVWithNames")
            times.append((time.perf_counter() - start) * 1000)
        text = str(answer)
        rows = list(csv.reader(text.splitlines()))
        os.makedirs(out, exist_ok=True)
        with open(f"{out}/{name}.csv", "w", newline="") as f:
            writer = csv.writer(f)
            writer.writerow(rows[0])
            writer.writerows(sorted(["None" if v == "\\N" else v for v in r] for r in rows[1:]))
        lines.append(line(name, min(times), len(rows) - 1))
    session.close()
    return lines


def run_duckdb(judge, data, out, repeat):
    done = subprocess.run([sys.executable, f"{judge}/run_duckdb.py", data, "--out", out, "--repeat", str(repeat), "--threads", "2"],
                          check=True, capture_output=True, text=True)
    return [json.loads(l) for l in done.stdout.splitlines()]


def by_name(lines):
    return {l["name"]: l["value"] for l in lines}


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--judge", default="../shared/judges/tsbs")
    a.add_argument("--data", required=True)
    a.add_argument("--ours", help="lines of `fieldwright bench tsbs`")
    a.add_argument("--ours-out", help="folder of its --out")
    a.add_argument("--out", default=tempfile.mkdtemp())
    a.add_argument("--repeat", type=int, default=7)
    a.add_argument("--rounds", type=int, default=1, help="runs of each peer; the best counts")
    o = a.parse_args()
    data = os.path.abspath(o.data)
    duck, ch = {}, {}
    for _ in range(o.rounds):
        for best, lines in ((duck, run_duckdb(o.judge, data, f"{o.out}/duckdb", o.repeat)),
                            (ch, run_chdb(data, f"{o.out}/chdb", o.repeat))):
            for name, value in by_name(lines).items():
                best[name] = min(value, best.get(name, math.inf))
    failed = 0
    pairs = [("chdb", f"{o.out}/chdb")] + ([("ours", o.ours_out)] if o.ours_out else [])
    for who, folder in pairs:
        done = subprocess.run([sys.executable, f"{o.judge}/compare.py", f"{o.out}/duckdb", folder], capture_output=True, text=True)
        print(f"{who} against duckdb: {done.stdout.strip()}", file=sys.stderr)
        failed |= done.returncode
    ours = {}
    if o.ours:
        with open(o.ours) as f:
            lines = [json.loads(l) for l in f if l.startswith("{")]
        # Two sets of lines: with our short cuts (tsbs/<query>) and without (tsbs-scan/<query>).
        for prefix in ("tsbs", "tsbs-scan"):
            ours[prefix] = {l["name"].split("/", 1)[1]: l["value"] for l in lines
                            if l["name"].startswith(prefix + "/") and l["unit"] == "ms"}
    ratios = {prefix: [] for prefix in ours}
    for full in sorted(duck):
        name = full.split("/", 1)[1]
        better = min(duck[full], ch[full])
        row = {"name": full, "duckdb_ms": duck[full], "chdb_ms": ch[full]}
        for prefix, values in ours.items():
            if name in values:
                row[prefix + "_ms"] = values[name]
                row[prefix + "_ratio"] = round(values[name] / better, 3)
                ratios[prefix].append(values[name] / better)
        print(json.dumps(row))
    for prefix, r in ratios.items():
        if r:
            mean = math.exp(sum(map(math.log, r)) / len(r))
            print(json.dumps({"name": f"{prefix}/geometric-mean", "value": round(mean, 3), "unit": "ratio", "worst": round(max(r), 3), "queries": len(r)}))
    sys.exit(failed)


if __name__ == "__main__":
    main()
