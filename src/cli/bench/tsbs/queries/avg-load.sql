-- Mean load, as a share of capacity, by fleet and model (mean over trucks of each truck's mean).
WITH truck_load AS (
  SELECT asset, sum(current_load__mean * current_load__count) / sum(current_load__count) AS load
  FROM truck_diagnostics_1h GROUP BY asset)
SELECT t.fleet, t.model, t.load_capacity, avg(l.load / t.load_capacity) AS mean_load
FROM truck_load l JOIN truck_diagnostics_last t ON t.asset = l.asset GROUP BY 1, 2, 3
