-- What alarms come to before and beside orders, what orders turned out to be, and what follows.

ALTER TABLE work_orders ADD COLUMN tier TEXT CHECK (tier IN ('planned_inspection', 'dispatch'));
ALTER TABLE work_orders ADD COLUMN due_at BIGINT;
ALTER TABLE work_orders ADD COLUMN close_out TEXT
    CHECK (close_out IN ('confirmed', 'no_fault_found', 'other_fault'));

-- One row per condition and episode: what triage decided about it last, and how it ended.
CREATE TABLE cases (
    id            TEXT PRIMARY KEY,
    asset_id      TEXT NOT NULL REFERENCES assets (id),
    failure_mode  TEXT NOT NULL,
    status        TEXT NOT NULL CHECK (status IN ('open', 'ordered', 'closed')),
    -- Asset and failure mode while the case is open; null afterwards.
    open_key      TEXT UNIQUE,
    tier          TEXT NOT NULL CHECK (tier IN
        ('watch', 'remote_check', 'planned_inspection', 'dispatch')),
    reason        TEXT NOT NULL,
    summary       TEXT NOT NULL,
    severity      TEXT NOT NULL,
    confidence_bp BIGINT NOT NULL CHECK (confidence_bp BETWEEN 0 AND 10000),
    persistence_s BIGINT NOT NULL,
    failure_ppm   BIGINT CHECK (failure_ppm BETWEEN 0 AND 1000000),
    agreeing      BIGINT NOT NULL,
    watching      BIGINT NOT NULL,
    -- What the decision saves on average, and what a visit costs, as planned, in minor units.
    saving        BIGINT NOT NULL,
    visit         BIGINT NOT NULL,
    currency      TEXT NOT NULL,
    opened_at     BIGINT NOT NULL,
    decided_at    BIGINT NOT NULL,
    -- When time alone may change the decision; null when it may not.
    again_at      BIGINT,
    work_order_id TEXT REFERENCES work_orders (id),
    close_out     TEXT CHECK (close_out IN ('confirmed', 'no_fault_found', 'other_fault')),
    closed_at     BIGINT,
    closed_by     TEXT,
    close_reason  TEXT,
    version       BIGINT NOT NULL
);
CREATE INDEX cases_by_asset ON cases (asset_id, id);
CREATE INDEX cases_by_order ON cases (work_order_id);
CREATE INDEX cases_by_time ON cases (status, again_at);

-- One row per alarm that triage has seen on a condition.
CREATE TABLE case_alarms (
    alarm_id      TEXT PRIMARY KEY,
    case_id       TEXT NOT NULL REFERENCES cases (id),
    cause         TEXT NOT NULL,
    -- The very model or rule behind it, where the teller names one.
    model         TEXT,
    severity      TEXT NOT NULL,
    confidence_bp BIGINT NOT NULL,
    failure_ppm   BIGINT,
    watching      BIGINT NOT NULL,
    -- The worst multiple of its own limit that the detector has told, in thousandths.
    peak_milli    BIGINT,
    summary       TEXT NOT NULL,
    evidence      TEXT NOT NULL,
    began_at      BIGINT NOT NULL,
    raised_at     BIGINT NOT NULL,
    returned_at   BIGINT
);
CREATE INDEX case_alarms_by_case ON case_alarms (case_id, alarm_id);

-- What an order was raised on, as it was known then; never changed.
CREATE TABLE evidence_packs (
    work_order_id TEXT PRIMARY KEY REFERENCES work_orders (id),
    pack          TEXT NOT NULL,
    digest        TEXT NOT NULL,
    taken_at      BIGINT NOT NULL
);

-- Proposals to move the alarm limit of a class and detector, each promoted or declined by a person.
CREATE TABLE limit_proposals (
    id                  TEXT PRIMARY KEY,
    class               TEXT NOT NULL,
    cause               TEXT NOT NULL,
    status              TEXT NOT NULL CHECK (status IN ('proposed', 'promoted', 'declined')),
    -- Class and cause while it waits for a decision; null afterwards.
    open_key            TEXT UNIQUE,
    factor_milli        BIGINT NOT NULL CHECK (factor_milli > 0),
    episodes            BIGINT NOT NULL,
    confirmed           BIGINT NOT NULL,
    no_fault_found      BIGINT NOT NULL,
    -- Planned costs of the labeled episodes with the limit as it is and as proposed, minor units.
    cost_now      BIGINT NOT NULL,
    cost_proposed BIGINT NOT NULL,
    currency            TEXT NOT NULL,
    reason              TEXT NOT NULL,
    created_at          BIGINT NOT NULL,
    decided_at          BIGINT,
    decided_by          TEXT,
    version             BIGINT NOT NULL
);

-- How good every version of every detector is, on conditions that it told of, not on rows.
-- A condition counts once for a version, however many of its alarms it had. Missed are failures
-- that a person reported on the class while no alarm of the asset had come in for 30 days.
CREATE VIEW detector_performance AS
SELECT t.class, t.cause, t.version, t.currency, t.cases, t.ordered, t.confirmed,
    t.no_fault_found, t.other_fault, t.missed,
    CASE WHEN t.labeled > 0 THEN t.found * 1000000 / t.labeled END AS precision_ppm,
    CASE WHEN t.found + t.missed > 0 THEN t.found * 1000000 / (t.found + t.missed) END
        AS recall_ppm,
    t.lead_time_s, t.visits_cost, t.wasted_cost
FROM (
    SELECT e.class, e.cause, e.version, e.currency,
        COUNT(*) AS cases,
        CAST(SUM(CASE WHEN e.work_order_id IS NULL THEN 0 ELSE 1 END) AS BIGINT) AS ordered,
        CAST(SUM(CASE WHEN e.close_out = 'confirmed' THEN 1 ELSE 0 END) AS BIGINT) AS confirmed,
        CAST(SUM(CASE WHEN e.close_out = 'no_fault_found' THEN 1 ELSE 0 END) AS BIGINT)
            AS no_fault_found,
        CAST(SUM(CASE WHEN e.close_out = 'other_fault' THEN 1 ELSE 0 END) AS BIGINT)
            AS other_fault,
        CAST(SUM(CASE WHEN e.close_out IN ('confirmed', 'other_fault') THEN 1 ELSE 0 END)
            AS BIGINT) AS found,
        CAST(SUM(CASE WHEN e.close_out IS NULL THEN 0 ELSE 1 END) AS BIGINT) AS labeled,
        CAST(AVG(CASE WHEN e.close_out IN ('confirmed', 'other_fault')
            THEN (e.started_at - e.raised_at) / 1000000 END) AS BIGINT) AS lead_time_s,
        CAST(SUM(CASE WHEN e.work_order_id IS NULL THEN 0 ELSE e.visit END) AS BIGINT)
            AS visits_cost,
        CAST(SUM(CASE WHEN e.work_order_id IS NOT NULL AND e.close_out = 'no_fault_found'
            THEN e.visit ELSE 0 END) AS BIGINT) AS wasted_cost,
        (SELECT COUNT(*) FROM work_orders p JOIN assets q ON q.id = p.asset_id
            WHERE q.class = e.class AND p.source = 'person' AND p.status <> 'canceled'
            AND p.close_out IN ('confirmed', 'other_fault')
            AND p.failure_mode NOT LIKE 'requested-%'
            AND NOT EXISTS (SELECT 1 FROM cases k WHERE k.asset_id = p.asset_id
                AND k.opened_at <= p.created_at
                AND k.opened_at > p.created_at - 2592000000000)) AS missed
    FROM (
        SELECT a.class, m.cause, COALESCE(m.model, m.cause) AS version, c.currency, c.id,
            c.work_order_id, c.close_out, c.visit, o.started_at, MIN(m.raised_at) AS raised_at
        FROM case_alarms m JOIN cases c ON c.id = m.case_id JOIN assets a ON a.id = c.asset_id
        LEFT JOIN work_orders o ON o.id = c.work_order_id
        GROUP BY a.class, m.cause, m.model, c.currency, c.id, c.work_order_id, c.close_out,
            c.visit, o.started_at
    ) e
    GROUP BY e.class, e.cause, e.version, e.currency
) t;
