-- Keys of your other back ends. Column order is the field order of stores.service_keys.ServiceKey.

-- keys_by_hash: the keys of these SHA-256s, which stand before all else, so that each finds its own
SELECT hash, id, start, name, note, scopes, appids, paths, created_at, expires_at, used_at, revoked_at
FROM service_key WHERE hash IN (:hashes);

-- key_by_id: one key
SELECT id, start, name, note, scopes, appids, paths, created_at, expires_at, used_at, revoked_at
FROM service_key WHERE id = :key_id;

-- service_keys: all of them, the newest first
SELECT id, start, name, note, scopes, appids, paths, created_at, expires_at, used_at, revoked_at
FROM service_key ORDER BY id DESC;

-- keys_called: a row when a key that was not revoked has this name; nobody else takes it before this transaction ends
-- on sqlite
SELECT id FROM service_key WHERE name = :name AND revoked_at IS NULL;
-- on mysql
SELECT id FROM service_key WHERE name = :name AND revoked_at IS NULL FOR UPDATE;

-- add_key: a new key
INSERT INTO service_key (hash, start, name, note, scopes, appids, paths, created_at, expires_at)
VALUES (:hash, :start, :name, :note, :scopes, :scope, :paths, :now, :expires_at);

-- revoke_key: it opens nothing from now on; nothing changes when it was revoked before
UPDATE service_key SET revoked_at = :now WHERE id = :key_id AND revoked_at IS NULL;

-- note_key_used: written behind, never backwards
UPDATE service_key SET used_at = :at WHERE id = :key_id AND (used_at IS NULL OR used_at < :at);
