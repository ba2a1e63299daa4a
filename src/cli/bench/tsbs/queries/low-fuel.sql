-- Trucks of a fleet whose last known fuel state is below three quarters.
SELECT asset AS name, driver, fuel_state FROM truck_diagnostics_last WHERE fleet = 'North' AND fuel_state < 0.75
