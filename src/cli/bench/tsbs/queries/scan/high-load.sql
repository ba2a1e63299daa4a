-- Trucks of a fleet whose last known load is above nine tenths of their capacity.
SELECT t.asset AS name, t.driver, t.load_capacity, d.current_load
FROM truck_diagnostics_last t
JOIN (SELECT asset, last_value(current_load ORDER BY time) FILTER (WHERE current_load IS NOT NULL) AS current_load
      FROM truck_diagnostics GROUP BY asset) d ON t.asset = d.asset
WHERE t.fleet = 'South' AND d.current_load / t.load_capacity > 0.9
