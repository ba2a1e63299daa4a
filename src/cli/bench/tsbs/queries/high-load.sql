-- Trucks of a fleet whose last known load is above nine tenths of their capacity.
SELECT asset AS name, driver, load_capacity, current_load FROM truck_diagnostics_last
WHERE fleet = 'South' AND current_load / load_capacity > 0.9
