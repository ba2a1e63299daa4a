-- Last known position of every truck of a fleet.
SELECT t.asset AS name, t.driver, r.longitude, r.latitude
FROM truck_readings_last t
JOIN (SELECT asset, last_value(longitude ORDER BY time) FILTER (WHERE longitude IS NOT NULL) AS longitude,
             last_value(latitude ORDER BY time) FILTER (WHERE latitude IS NOT NULL) AS latitude
      FROM truck_readings GROUP BY asset) r ON t.asset = r.asset
WHERE t.fleet = 'South'
