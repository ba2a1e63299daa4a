-- Share of the 144 ten-minute periods of a day whose mean status is below 1, summed by fleet and model.
WITH periods AS (
  SELECT asset, date_bin(INTERVAL '10 minutes', time) AS period FROM truck_diagnostics
  GROUP BY 1, 2 HAVING avg(status) < 1),
days AS (SELECT asset, date_bin(INTERVAL '1 day', period) AS day, count(*) AS periods FROM periods GROUP BY 1, 2)
SELECT t.fleet, t.model, d.day, sum(d.periods) / 144.0 AS daily_activity
FROM days d JOIN truck_diagnostics_last t ON t.asset = d.asset GROUP BY 1, 2, 3
