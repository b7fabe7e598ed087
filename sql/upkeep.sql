-- The database about itself.

-- schema_version: the newest version that was applied whole
SELECT COALESCE(MAX(version), 0) FROM schema_version;

-- note_version: a version was applied whole
-- on sqlite
INSERT INTO schema_version (version, applied_at) VALUES (:version, :now)
ON CONFLICT (version) DO NOTHING;
-- on mysql
INSERT INTO schema_version (version, applied_at) VALUES (:version, :now)
ON DUPLICATE KEY UPDATE version = :version;
