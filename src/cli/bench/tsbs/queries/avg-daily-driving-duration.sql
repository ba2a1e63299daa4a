-- Mean hours a day that each truck drove, by ten-minute periods.
WITH periods AS (
  SELECT asset, date_bin(INTERVAL '10 minutes', time) AS period FROM truck_readings
  GROUP BY 1, 2 HAVING avg(velocity) > 1),
days AS (
  SELECT asset, date_bin(INTERVAL '1 day', period) AS day, count(*) / 6.0 AS hours FROM periods GROUP BY 1, 2),
trucks AS (SELECT asset, avg(hours) AS hours FROM days GROUP BY asset)
SELECT t.fleet, t.asset AS name, t.driver, d.hours AS avg_daily_hours
FROM trucks d JOIN truck_readings_last t ON t.asset = d.asset
