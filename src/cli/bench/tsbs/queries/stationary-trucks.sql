-- Trucks of a fleet that hardly moved (below 10) over the last ten minutes.
SELECT t.asset AS name, t.driver
FROM truck_readings_last t
JOIN (SELECT asset, avg(velocity) AS velocity FROM truck_readings
      WHERE time > (SELECT max(time) FROM truck_readings) - INTERVAL '10 minutes' GROUP BY asset) r
  ON t.asset = r.asset
WHERE t.fleet = 'South' AND r.velocity < 10
