//! Promises about alarms, orders, bookings and events.

use super::Check;

pub(super) const CHECKS: &[Check] = &[
    Check {
        name: "one_open_order_per_condition",
        promise: "an asset has one open order per failure mode",
        over: "work_orders",
        breaks: "SELECT asset_id || ' has ' || CAST(COUNT(*) AS TEXT) || ' open orders for ' \
            || failure_mode AS detail FROM work_orders \
            WHERE status IN ('unscheduled', 'scheduled', 'in_progress') \
            OR (status = 'completed' AND verification = 'pending') \
            GROUP BY asset_id, failure_mode HAVING COUNT(*) > 1",
    },
    Check {
        name: "one_order_per_alarm",
        promise: "an alarm reaches one order, or waits, once",
        over: "work_order_alarms",
        breaks: "SELECT alarm_id || ' is taken in ' || CAST(COUNT(*) AS TEXT) || ' times' \
            AS detail FROM (SELECT alarm_id FROM work_order_alarms \
            UNION ALL SELECT alarm_id FROM waiting_alarms) taken_in \
            GROUP BY alarm_id HAVING COUNT(*) > 1",
    },
    Check {
        name: "no_case_beside_its_order",
        promise: "a condition is an open case or an open order, never both",
        over: "cases",
        breaks: "SELECT c.id || ' is open beside ' || o.number AS detail FROM cases c \
            JOIN work_orders o ON o.open_key = c.open_key WHERE c.status = 'open'",
    },
    Check {
        name: "ordered_cases_have_their_order",
        promise: "a case has an order exactly when it became one",
        over: "cases",
        breaks: "SELECT id || ' is ' || status || ' with the order ' \
            || COALESCE(work_order_id, 'none') AS detail FROM cases \
            WHERE (status = 'ordered') <> (work_order_id IS NOT NULL)",
    },
    Check {
        name: "alarm_orders_have_their_alarm",
        promise: "an order that an alarm raised names that alarm",
        over: "work_orders",
        breaks: "SELECT o.number || ' was raised by no alarm' AS detail FROM work_orders o \
            WHERE o.source = 'alarm' AND NOT EXISTS \
            (SELECT 1 FROM work_order_alarms a WHERE a.work_order_id = o.id)",
    },
    Check {
        name: "no_overlapping_bookings",
        promise: "a resource is in one place at a time",
        over: "bookings",
        breaks: "SELECT a.id || ' and ' || b.id || ' overlap for ' || a.resource_id AS detail \
            FROM bookings a JOIN bookings b ON b.resource_id = a.resource_id AND b.id > a.id \
            AND a.travel_from < b.ends_at AND b.travel_from < a.ends_at \
            WHERE a.status IN ('scheduled', 'traveling', 'in_progress') \
            AND b.status IN ('scheduled', 'traveling', 'in_progress')",
    },
    Check {
        name: "bookings_roll_up_to_orders",
        promise: "an order's status follows from its live booking",
        over: "work_orders",
        breaks: "SELECT number || ' is ' || status || ' with ' || CAST(planned AS TEXT) \
            || ' planned and ' || CAST(running AS TEXT) || ' running bookings' AS detail FROM \
            (SELECT o.number, o.status, \
            COUNT(CASE WHEN b.status = 'scheduled' THEN 1 END) AS planned, \
            COUNT(CASE WHEN b.status IN ('traveling', 'in_progress') THEN 1 END) AS running \
            FROM work_orders o LEFT JOIN bookings b ON b.work_order_id = o.id \
            GROUP BY o.id, o.number, o.status) orders \
            WHERE NOT CASE status WHEN 'scheduled' THEN planned = 1 AND running = 0 \
            WHEN 'in_progress' THEN planned = 0 AND running = 1 \
            ELSE planned = 0 AND running = 0 END",
    },
    Check {
        name: "done_orders_have_a_completed_booking",
        promise: "a completed or posted order has a completed booking",
        over: "work_orders",
        breaks: "SELECT o.number || ' is ' || o.status || ' without a completed booking' \
            AS detail FROM work_orders o WHERE o.status IN ('completed', 'posted') \
            AND NOT EXISTS (SELECT 1 FROM bookings b WHERE b.work_order_id = o.id \
            AND b.status = 'completed')",
    },
    Check {
        name: "events_without_gap",
        promise: "the event feed counts 1..n",
        over: "outbox",
        breaks: "SELECT 'the feed has ' || CAST(events AS TEXT) || ' events from ' \
            || CAST(first AS TEXT) || ' to ' || CAST(last AS TEXT) || ', ' \
            || CAST(given AS TEXT) || ' were given' AS detail FROM \
            (SELECT COUNT(*) AS events, COALESCE(MIN(seq), 1) AS first, \
            COALESCE(MAX(seq), 0) AS last, \
            COALESCE((SELECT value FROM counters WHERE name = 'outbox'), 0) AS given \
            FROM outbox) feed WHERE events <> last OR first <> 1 OR given <> last",
    },
];
