-- Prices, invoices, receipts and the ledger.
-- Portable: amounts BIGINT minor units beside a TEXT currency, decimals TEXT, days TEXT (ISO 8601).

CREATE TABLE legal_entities (
    code       TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    country    TEXT NOT NULL,
    time_zone  TEXT NOT NULL,
    terms_days BIGINT NOT NULL CHECK (terms_days BETWEEN 0 AND 365),
    -- The first one bills.
    position   BIGINT NOT NULL
);

CREATE TABLE price_lists (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    currency   TEXT NOT NULL,
    valid_from TEXT NOT NULL,
    UNIQUE (currency, valid_from)
);

-- Every kind of price in one shape; what a kind has not is null.
CREATE TABLE prices (
    price_list_id    TEXT NOT NULL REFERENCES price_lists (id),
    kind             TEXT NOT NULL CHECK (kind IN ('labor', 'travel', 'part')),
    code             TEXT NOT NULL,
    name             TEXT NOT NULL,
    unit_price       TEXT NOT NULL,
    tax_category     TEXT NOT NULL,
    minimum_minutes  BIGINT,
    step_minutes     BIGINT,
    included_minutes BIGINT,
    per_minute       TEXT,
    PRIMARY KEY (price_list_id, kind, code)
);

CREATE TABLE tax_rates (
    country    TEXT NOT NULL,
    category   TEXT NOT NULL,
    valid_from TEXT NOT NULL,
    code       TEXT NOT NULL,
    rate       TEXT NOT NULL,
    name       TEXT NOT NULL,
    PRIMARY KEY (country, category, valid_from)
);

-- One row per series; incremented last in the transaction that posts.
CREATE TABLE number_series (
    legal_entity   TEXT NOT NULL REFERENCES legal_entities (code),
    document       TEXT NOT NULL CHECK (document IN ('invoice')),
    year           BIGINT NOT NULL,
    last_number    BIGINT NOT NULL CHECK (last_number >= 0),
    -- No later number carries an earlier day.
    last_issued_on TEXT NOT NULL,
    PRIMARY KEY (legal_entity, document, year)
);

CREATE TABLE invoice_documents (
    id            TEXT PRIMARY KEY,
    status        TEXT NOT NULL CHECK (status IN ('draft', 'posted', 'discarded')),
    legal_entity  TEXT NOT NULL REFERENCES legal_entities (code),
    series_year   BIGINT,
    series_number BIGINT,
    number        TEXT UNIQUE,
    account_id    TEXT NOT NULL REFERENCES accounts (id),
    site_id       TEXT NOT NULL REFERENCES sites (id),
    work_order_id TEXT NOT NULL REFERENCES work_orders (id),
    currency      TEXT NOT NULL,
    net_minor     BIGINT NOT NULL,
    tax_minor     BIGINT NOT NULL,
    total_minor   BIGINT NOT NULL,
    terms_days    BIGINT NOT NULL CHECK (terms_days >= 0),
    supplied_on   TEXT NOT NULL,
    issued_on     TEXT,
    due_on        TEXT,
    created_at    BIGINT NOT NULL,
    posted_at     BIGINT,
    version       BIGINT NOT NULL,
    CHECK ((status = 'posted') = (number IS NOT NULL)),
    CHECK ((number IS NULL) = (issued_on IS NULL))
);
-- An order has one invoice that is not given up.
CREATE UNIQUE INDEX invoice_documents_one_live_per_order
    ON invoice_documents (work_order_id) WHERE status <> 'discarded';
CREATE UNIQUE INDEX invoice_documents_by_series
    ON invoice_documents (legal_entity, series_year, series_number);
CREATE INDEX invoice_documents_by_account ON invoice_documents (account_id, id);

CREATE TABLE invoice_lines (
    id           TEXT PRIMARY KEY,
    invoice_id   TEXT NOT NULL REFERENCES invoice_documents (id),
    position     BIGINT NOT NULL,
    work_line_id TEXT NOT NULL REFERENCES work_lines (id),
    -- 0 once the invoice is discarded, so that the work can be billed again.
    live         BIGINT NOT NULL CHECK (live IN (0, 1)),
    kind         TEXT NOT NULL CHECK (kind IN ('labor', 'travel', 'part')),
    code         TEXT NOT NULL,
    description  TEXT NOT NULL,
    quantity     TEXT NOT NULL,
    unit         TEXT NOT NULL CHECK (unit IN ('hour', 'visit', 'piece')),
    unit_price   TEXT NOT NULL,
    net_minor    BIGINT NOT NULL,
    tax_code     TEXT NOT NULL,
    -- How the amount came about, as JSON.
    steps        TEXT NOT NULL,
    UNIQUE (invoice_id, position)
);
-- Work is billed once.
CREATE UNIQUE INDEX invoice_lines_one_live_per_work_line
    ON invoice_lines (work_line_id) WHERE live = 1;

CREATE TABLE invoice_taxes (
    invoice_id TEXT NOT NULL REFERENCES invoice_documents (id),
    code       TEXT NOT NULL,
    name       TEXT NOT NULL,
    rate       TEXT NOT NULL,
    base_minor BIGINT NOT NULL,
    tax_minor  BIGINT NOT NULL,
    PRIMARY KEY (invoice_id, code)
);

CREATE TABLE receipt_documents (
    id           TEXT PRIMARY KEY,
    status       TEXT NOT NULL CHECK (status IN ('recorded')),
    account_id   TEXT NOT NULL REFERENCES accounts (id),
    amount_minor BIGINT NOT NULL CHECK (amount_minor > 0),
    currency     TEXT NOT NULL,
    reference    TEXT NOT NULL,
    method       TEXT NOT NULL,
    received_on  TEXT NOT NULL,
    recorded_at  BIGINT NOT NULL,
    -- How the reference was read, in words.
    matching     TEXT NOT NULL,
    -- The caller's idempotency key, kept for good: one key, one receipt.
    request_key  TEXT,
    version      BIGINT NOT NULL
);
CREATE UNIQUE INDEX receipt_documents_one_per_request_key ON receipt_documents (request_key);
CREATE INDEX receipt_documents_by_account ON receipt_documents (account_id, id);

-- Money of a receipt given to an invoice; only ever added to.
CREATE TABLE applications (
    id           TEXT PRIMARY KEY,
    receipt_id   TEXT NOT NULL REFERENCES receipt_documents (id),
    invoice_id   TEXT NOT NULL REFERENCES invoice_documents (id),
    amount_minor BIGINT NOT NULL CHECK (amount_minor > 0),
    currency     TEXT NOT NULL,
    applied_on   TEXT NOT NULL,
    applied_at   BIGINT NOT NULL
);
CREATE INDEX applications_by_invoice ON applications (invoice_id, amount_minor);
CREATE INDEX applications_by_receipt ON applications (receipt_id, amount_minor);

CREATE TABLE ledger_accounts (
    code     TEXT PRIMARY KEY,
    kind     TEXT NOT NULL CHECK (kind IN ('asset', 'liability', 'income')),
    position BIGINT NOT NULL
);
INSERT INTO ledger_accounts (code, kind, position) VALUES
    ('receivables', 'asset', 1),
    ('bank', 'asset', 2),
    ('customer_advances', 'liability', 3),
    ('tax_payable', 'liability', 4),
    ('revenue_labor', 'income', 5),
    ('revenue_travel', 'income', 6),
    ('revenue_parts', 'income', 7);

CREATE TABLE journal_entries (
    -- Position in the chain: 1..n without a gap.
    seq           BIGINT PRIMARY KEY,
    id            TEXT NOT NULL UNIQUE,
    rule          TEXT NOT NULL,
    -- The document that the entry stands for.
    source_id     TEXT NOT NULL,
    dated         TEXT NOT NULL,
    posted_at     BIGINT NOT NULL,
    currency      TEXT NOT NULL,
    text          TEXT NOT NULL,
    previous_hash TEXT NOT NULL,
    hash          TEXT NOT NULL UNIQUE,
    UNIQUE (rule, source_id)
);
CREATE INDEX journal_entries_by_source ON journal_entries (source_id);

-- Debits are positive, credits negative.
CREATE TABLE postings (
    id             TEXT PRIMARY KEY,
    entry_seq      BIGINT NOT NULL REFERENCES journal_entries (seq),
    position       BIGINT NOT NULL,
    ledger_account TEXT NOT NULL REFERENCES ledger_accounts (code),
    amount_minor   BIGINT NOT NULL CHECK (amount_minor <> 0),
    currency       TEXT NOT NULL,
    account_id     TEXT REFERENCES accounts (id),
    tax_code       TEXT,
    UNIQUE (entry_seq, position)
);
-- Covers the sums of the trial balance and of the control account.
CREATE INDEX postings_by_ledger_account
    ON postings (ledger_account, currency, account_id, amount_minor);

-- What SQL and the API read: settlement is derived here and stored nowhere.
CREATE VIEW invoices AS
SELECT id, number, status,
    CASE WHEN status <> 'posted' THEN NULL
         WHEN applied >= total THEN 'paid'
         WHEN applied = 0 THEN 'open'
         ELSE 'part_paid' END AS settlement,
    legal_entity, account_id, site_id, work_order_id, currency, net, tax, total, applied,
    total - applied AS "open", supplied_on, issued_on, due_on, created_at, posted_at, version
FROM (
    SELECT d.id, d.number, d.status, d.legal_entity, d.account_id, d.site_id, d.work_order_id,
        d.currency, d.net_minor AS net, d.tax_minor AS tax, d.total_minor AS total,
        COALESCE((SELECT CAST(SUM(a.amount_minor) AS BIGINT) FROM applications a
                  WHERE a.invoice_id = d.id), 0) AS applied,
        d.supplied_on, d.issued_on, d.due_on, d.created_at, d.posted_at, d.version
    FROM invoice_documents d
) documents;

CREATE VIEW receipts AS
SELECT id, status, account_id, currency, amount, applied, amount - applied AS on_account,
    reference, method, received_on, recorded_at, matching, version
FROM (
    SELECT d.id, d.status, d.account_id, d.currency, d.amount_minor AS amount,
        COALESCE((SELECT CAST(SUM(a.amount_minor) AS BIGINT) FROM applications a
                  WHERE a.receipt_id = d.id), 0) AS applied,
        d.reference, d.method, d.received_on, d.recorded_at, d.matching, d.version
    FROM receipt_documents d
) documents;

CREATE VIEW journal_lines AS
SELECT p.id, e.id AS entry_id, e.seq, p.position, e.rule, e.source_id, e.dated, p.ledger_account,
    p.currency, p.amount_minor AS amount, p.account_id, p.tax_code, e.text, e.posted_at
FROM postings p JOIN journal_entries e ON e.seq = p.entry_seq;
