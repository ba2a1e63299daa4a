-- Mean against nominal fuel consumption of each fleet, while moving.
WITH moving AS (
  SELECT asset, sum(fuel_consumption) AS fuel, count(fuel_consumption) AS readings, count(*) AS row_count
  FROM truck_readings WHERE velocity > 1 GROUP BY asset)
SELECT t.fleet, sum(m.fuel) / sum(m.readings) AS avg_fuel_consumption,
       sum(t.nominal_fuel_consumption * m.row_count)
         / sum(m.row_count) FILTER (WHERE t.nominal_fuel_consumption IS NOT NULL) AS projected_fuel_consumption
FROM moving m JOIN truck_readings_last t ON t.asset = m.asset WHERE t.fleet IS NOT NULL GROUP BY t.fleet
