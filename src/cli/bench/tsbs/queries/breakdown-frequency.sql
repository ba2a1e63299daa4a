-- Breakdowns by model: a ten-minute period in which at least half of the status rows are 0, right after one that was not so.
WITH periods AS (
  SELECT asset, date_bin(INTERVAL '10 minutes', time) AS period,
         count(*) FILTER (WHERE status = 0) * 2 >= count(status) AS broken
  FROM truck_diagnostics WHERE status IS NOT NULL GROUP BY 1, 2),
changes AS (SELECT asset, broken, lead(broken) OVER (PARTITION BY asset ORDER BY period) AS next FROM periods),
trucks AS (SELECT asset, count(*) AS breakdowns FROM changes WHERE NOT broken AND next GROUP BY asset)
SELECT t.model, sum(b.breakdowns) AS breakdowns
FROM trucks b JOIN truck_diagnostics_last t ON t.asset = b.asset GROUP BY t.model
