-- Registry, orders, bookings, and what every command writes beside its effect.
-- Portable: ids and decimals TEXT, instants BIGINT microseconds UTC, truth 0/1, JSON TEXT.

CREATE TABLE counters (
    name  TEXT PRIMARY KEY,
    value BIGINT NOT NULL
);

CREATE TABLE outbox (
    seq     BIGINT PRIMARY KEY,
    kind    TEXT NOT NULL,
    subject TEXT NOT NULL,
    time    BIGINT NOT NULL,
    data    TEXT NOT NULL
);

CREATE TABLE audit (
    id             TEXT PRIMARY KEY,
    at             BIGINT NOT NULL,
    actor          TEXT NOT NULL,
    noun           TEXT NOT NULL,
    subject        TEXT NOT NULL,
    verb           TEXT NOT NULL,
    version_before BIGINT,
    version_after  BIGINT NOT NULL,
    detail         TEXT NOT NULL
);
CREATE INDEX audit_by_subject ON audit (subject, id);

CREATE TABLE idempotency (
    key         TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    status      BIGINT NOT NULL,
    response    TEXT NOT NULL,
    kept_at     BIGINT NOT NULL
);
CREATE INDEX idempotency_by_age ON idempotency (kept_at);

CREATE TABLE accounts (
    id         TEXT PRIMARY KEY,
    key        TEXT NOT NULL UNIQUE,
    name       TEXT NOT NULL,
    currency   TEXT NOT NULL,
    -- Days until an invoice is due; null takes the terms of the billing entity.
    terms_days BIGINT CHECK (terms_days >= 0),
    created_at BIGINT NOT NULL,
    version    BIGINT NOT NULL
);

CREATE TABLE sites (
    id         TEXT PRIMARY KEY,
    key        TEXT NOT NULL UNIQUE,
    account_id TEXT NOT NULL REFERENCES accounts (id),
    name       TEXT NOT NULL,
    latitude   TEXT NOT NULL,
    longitude  TEXT NOT NULL,
    country    TEXT NOT NULL,
    time_zone  TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    version    BIGINT NOT NULL
);

CREATE TABLE assets (
    id          TEXT PRIMARY KEY,
    tag         TEXT NOT NULL UNIQUE,
    class       TEXT NOT NULL,
    name        TEXT NOT NULL,
    site_id     TEXT REFERENCES sites (id),
    criticality BIGINT NOT NULL CHECK (criticality BETWEEN 1 AND 5),
    created_at  BIGINT NOT NULL,
    version     BIGINT NOT NULL
);
CREATE INDEX assets_by_class ON assets (class, id);
CREATE INDEX assets_by_site ON assets (site_id, id);

CREATE TABLE incident_types (
    key              TEXT PRIMARY KEY,
    name             TEXT NOT NULL,
    duration_minutes BIGINT NOT NULL CHECK (duration_minutes > 0),
    skills           TEXT NOT NULL,
    tasks            TEXT NOT NULL,
    parts            TEXT NOT NULL,
    -- The code by which the price list prices an hour of this work.
    labor_code       TEXT NOT NULL
);

CREATE TABLE failure_modes (
    class         TEXT NOT NULL,
    cause         TEXT NOT NULL,
    failure_mode  TEXT NOT NULL,
    name          TEXT NOT NULL,
    incident_type TEXT NOT NULL REFERENCES incident_types (key),
    PRIMARY KEY (class, cause)
);

CREATE TABLE resources (
    id         TEXT PRIMARY KEY,
    key        TEXT NOT NULL UNIQUE,
    name       TEXT NOT NULL,
    skills     TEXT NOT NULL,
    latitude   TEXT NOT NULL,
    longitude  TEXT NOT NULL,
    time_zone  TEXT NOT NULL,
    speed_kmh  BIGINT NOT NULL CHECK (speed_kmh > 0),
    active     BIGINT NOT NULL CHECK (active IN (0, 1)),
    created_at BIGINT NOT NULL,
    version    BIGINT NOT NULL
);

-- Weekday 1 is Monday; minutes count from local midnight of the resource's time zone.
CREATE TABLE shifts (
    resource_id  TEXT NOT NULL REFERENCES resources (id),
    weekday      BIGINT NOT NULL CHECK (weekday BETWEEN 1 AND 7),
    from_minute  BIGINT NOT NULL CHECK (from_minute BETWEEN 0 AND 1439),
    until_minute BIGINT NOT NULL CHECK (until_minute BETWEEN 1 AND 1440),
    PRIMARY KEY (resource_id, weekday, from_minute),
    CHECK (from_minute < until_minute)
);

CREATE TABLE work_orders (
    id                TEXT PRIMARY KEY,
    number            TEXT NOT NULL UNIQUE,
    source            TEXT NOT NULL CHECK (source IN ('alarm', 'person')),
    asset_id          TEXT NOT NULL REFERENCES assets (id),
    site_id           TEXT NOT NULL REFERENCES sites (id),
    account_id        TEXT NOT NULL REFERENCES accounts (id),
    incident_type     TEXT NOT NULL REFERENCES incident_types (key),
    failure_mode      TEXT NOT NULL,
    status            TEXT NOT NULL CHECK (status IN
        ('unscheduled', 'scheduled', 'in_progress', 'completed', 'posted', 'canceled')),
    verification      TEXT NOT NULL CHECK (verification IN
        ('pending', 'passed', 'failed', 'unverified', 'not_needed')),
    -- Asset and failure mode while the condition is in work; null afterwards.
    open_key          TEXT UNIQUE,
    summary           TEXT NOT NULL,
    priority          BIGINT NOT NULL CHECK (priority BETWEEN 1 AND 5),
    priority_reason   TEXT NOT NULL,
    outcome           TEXT,
    reopen_count      BIGINT NOT NULL,
    last_reason       TEXT,
    -- Why no slot was found at the last try; null once booked.
    unbooked_reason   TEXT,
    created_at        BIGINT NOT NULL,
    started_at        BIGINT,
    completed_at      BIGINT,
    posted_at         BIGINT,
    posted_by         TEXT,
    canceled_at       BIGINT,
    version           BIGINT NOT NULL
);
CREATE INDEX work_orders_by_status ON work_orders (status, id);
CREATE INDEX work_orders_by_asset ON work_orders (asset_id, id);

CREATE TABLE work_order_tasks (
    id            TEXT PRIMARY KEY,
    work_order_id TEXT NOT NULL REFERENCES work_orders (id),
    position      BIGINT NOT NULL,
    name          TEXT NOT NULL,
    done_at       BIGINT,
    done_by       TEXT,
    UNIQUE (work_order_id, position)
);

-- One row per alarm that reached an order, so that a repeat is known.
CREATE TABLE work_order_alarms (
    alarm_id      TEXT PRIMARY KEY,
    work_order_id TEXT NOT NULL REFERENCES work_orders (id),
    cause         TEXT NOT NULL,
    severity      TEXT NOT NULL,
    summary       TEXT NOT NULL,
    evidence      TEXT NOT NULL,
    raised_at     BIGINT NOT NULL,
    attached_at   BIGINT NOT NULL,
    returned_at   BIGINT
);
CREATE INDEX work_order_alarms_by_order ON work_order_alarms (work_order_id, alarm_id);

-- Alarms that no order may be raised for yet: no such asset, or an asset without a site.
CREATE TABLE waiting_alarms (
    alarm_id   TEXT PRIMARY KEY,
    asset_tag  TEXT NOT NULL,
    reason     TEXT NOT NULL,
    report     TEXT NOT NULL,
    waiting_since BIGINT NOT NULL
);
CREATE INDEX waiting_alarms_by_asset ON waiting_alarms (asset_tag, alarm_id);

CREATE TABLE bookings (
    id              TEXT PRIMARY KEY,
    work_order_id   TEXT NOT NULL REFERENCES work_orders (id),
    resource_id     TEXT NOT NULL REFERENCES resources (id),
    status          TEXT NOT NULL CHECK (status IN
        ('scheduled', 'traveling', 'in_progress', 'completed', 'no_access', 'canceled')),
    -- The order's id while the booking is live: an order has one live booking at most.
    live_key        TEXT UNIQUE,
    travel_from     BIGINT NOT NULL,
    starts_at       BIGINT NOT NULL,
    ends_at         BIGINT NOT NULL,
    travel_minutes  BIGINT NOT NULL CHECK (travel_minutes >= 0),
    distance_m      BIGINT NOT NULL CHECK (distance_m >= 0),
    explanation     TEXT NOT NULL,
    traveled_at     BIGINT,
    started_at      BIGINT,
    ended_at        BIGINT,
    outcome         TEXT,
    notes           TEXT,
    minutes_worked  BIGINT,
    created_at      BIGINT NOT NULL,
    version         BIGINT NOT NULL,
    CHECK (travel_from <= starts_at AND starts_at < ends_at)
);
CREATE INDEX bookings_by_resource ON bookings (resource_id, travel_from);
CREATE INDEX bookings_by_order ON bookings (work_order_id, id);

-- The store's own guard against double booking: five-minute slots that a live booking holds.
CREATE TABLE booking_slots (
    resource_id TEXT NOT NULL REFERENCES resources (id),
    slot        BIGINT NOT NULL,
    booking_id  TEXT NOT NULL REFERENCES bookings (id),
    PRIMARY KEY (resource_id, slot)
);
CREATE INDEX booking_slots_by_booking ON booking_slots (booking_id);

-- Every command of a device, by the device's own key.
CREATE TABLE booking_commands (
    device_key  TEXT PRIMARY KEY,
    booking_id  TEXT NOT NULL REFERENCES bookings (id),
    verb        TEXT NOT NULL,
    device_time BIGINT NOT NULL,
    received_at BIGINT NOT NULL,
    actor       TEXT NOT NULL
);
CREATE INDEX booking_commands_by_booking ON booking_commands (booking_id, received_at);

-- Billable facts of the work done; invoicing prices them.
CREATE TABLE work_lines (
    id            TEXT PRIMARY KEY,
    work_order_id TEXT NOT NULL REFERENCES work_orders (id),
    booking_id    TEXT NOT NULL REFERENCES bookings (id),
    kind          TEXT NOT NULL CHECK (kind IN ('labor', 'part', 'travel')),
    code          TEXT NOT NULL,
    quantity      TEXT NOT NULL,
    unit          TEXT NOT NULL CHECK (unit IN ('minute', 'piece')),
    created_at    BIGINT NOT NULL
);
CREATE INDEX work_lines_by_order ON work_lines (work_order_id, id);
