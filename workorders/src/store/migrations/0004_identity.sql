-- To which data folder and clock this store belongs; written by the first service that claims it.

CREATE TABLE store_identity (
    one     BIGINT PRIMARY KEY CHECK (one = 1),
    folder  TEXT NOT NULL,
    clock   TEXT NOT NULL,
    made_at BIGINT NOT NULL
);
