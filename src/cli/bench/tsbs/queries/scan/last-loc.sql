-- Last known position of one truck.
SELECT t.asset AS name, t.driver, r.longitude, r.latitude
FROM (SELECT asset, last_value(longitude ORDER BY time) FILTER (WHERE longitude IS NOT NULL) AS longitude,
             last_value(latitude ORDER BY time) FILTER (WHERE latitude IS NOT NULL) AS latitude
      FROM truck_readings WHERE asset = 'truck_1' GROUP BY asset) r
JOIN truck_readings_last t ON t.asset = r.asset WHERE t.asset = 'truck_1'
