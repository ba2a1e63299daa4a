-- Trucks of a fleet that drove (above 20) in more than 22 of the 24 ten-minute periods of the last 4 hours.
WITH periods AS (
  SELECT asset, date_bin(INTERVAL '10 minutes', time) AS period FROM truck_readings
  WHERE time > (SELECT max(time) FROM truck_readings) - INTERVAL '4 hours'
  GROUP BY 1, 2 HAVING avg(velocity) > 20),
driven AS (SELECT asset, count(*) AS periods FROM periods GROUP BY asset)
SELECT t.asset AS name, t.driver FROM truck_readings_last t JOIN driven d ON t.asset = d.asset
WHERE t.fleet = 'South' AND d.periods > 22
