-- Last known position of every truck of a fleet.
SELECT asset AS name, driver, longitude, latitude FROM truck_readings_last WHERE fleet = 'South'
