-- A promoted limit may be taken back; the proposal remembers when and by whom.
ALTER TABLE limit_proposals ADD COLUMN taken_back_at BIGINT;
ALTER TABLE limit_proposals ADD COLUMN taken_back_by TEXT;
