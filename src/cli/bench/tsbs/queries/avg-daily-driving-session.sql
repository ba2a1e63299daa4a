-- Mean length in minutes of a driving session of each truck and day (sessions end at the next period of standing).
WITH periods AS (
  SELECT asset, date_bin(INTERVAL '10 minutes', time) AS period, avg(velocity) > 5 AS driving FROM truck_readings
  GROUP BY 1, 2 HAVING avg(velocity) IS NOT NULL),
changes AS (
  SELECT asset, period, driving, lag(driving) OVER (PARTITION BY asset ORDER BY period) AS before FROM periods),
sessions AS (
  SELECT asset, driving, period AS start, lead(period) OVER (PARTITION BY asset ORDER BY period) AS stop
  FROM changes WHERE before IS NULL OR before <> driving)
SELECT asset AS name, date_bin(INTERVAL '1 day', start) AS day,
       avg(date_part('epoch', stop) - date_part('epoch', start)) / 60 AS avg_session_minutes
FROM sessions WHERE driving AND stop IS NOT NULL GROUP BY 1, 2
