-- The scheduler goes through all orders without a booking, most urgent first, a page at a time.

CREATE INDEX work_orders_by_urgency ON work_orders (status, priority, id);
