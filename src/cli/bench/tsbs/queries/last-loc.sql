-- Last known position of one truck.
SELECT asset AS name, driver, longitude, latitude FROM truck_readings_last WHERE asset = 'truck_1'
