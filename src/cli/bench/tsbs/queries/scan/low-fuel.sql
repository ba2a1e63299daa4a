-- Trucks of a fleet whose last known fuel state is below three quarters.
SELECT t.asset AS name, t.driver, d.fuel_state
FROM truck_diagnostics_last t
JOIN (SELECT asset, last_value(fuel_state ORDER BY time) FILTER (WHERE fuel_state IS NOT NULL) AS fuel_state
      FROM truck_diagnostics GROUP BY asset) d ON t.asset = d.asset
WHERE t.fleet = 'North' AND d.fuel_state < 0.75
