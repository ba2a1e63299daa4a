-- What was expected of the asset when its case was decided, and what that stands on.
ALTER TABLE cases ADD COLUMN forecast_ppm BIGINT;
ALTER TABLE cases ADD COLUMN forecast_basis TEXT;

-- When an asset was installed, where somebody says: its age counts from then.
ALTER TABLE assets ADD COLUMN installed_at BIGINT;
