-- Operators of the dashboard, their sessions, and what stands between them and a guesser. Column order is the field
-- order of stores.operators.Operator and OperatorSession; a password or a TOTP secret is read only where it is checked.

-- operator_by_name: one operator
SELECT id, name, role, appids, state, password IS NOT NULL, totp IS NOT NULL, language, timezone, created_at, seen_at
FROM operator WHERE name = :name;

-- operator_by_id: one operator
SELECT id, name, role, appids, state, password IS NOT NULL, totp IS NOT NULL, language, timezone, created_at, seen_at
FROM operator WHERE id = :operator_id;

-- lock_operator: one operator by name, who does not change before this transaction ends
-- on sqlite
SELECT id, name, role, appids, state, password IS NOT NULL, totp IS NOT NULL, language, timezone, created_at, seen_at
FROM operator WHERE name = :name;
-- on mysql
SELECT id, name, role, appids, state, password IS NOT NULL, totp IS NOT NULL, language, timezone, created_at, seen_at
FROM operator WHERE name = :name FOR UPDATE;

-- operators: all of them by name
SELECT id, name, role, appids, state, password IS NOT NULL, totp IS NOT NULL, language, timezone, created_at, seen_at
FROM operator ORDER BY name;

-- any_operator: a row when there is an operator
SELECT 1 FROM operator LIMIT 1;

-- able_admins: active admins of everything who can sign in; nobody joins or leaves them before this transaction ends
-- on sqlite
SELECT id FROM operator WHERE role = 'admin' AND state = 'active' AND appids IS NULL AND password IS NOT NULL;
-- on mysql
SELECT id FROM operator WHERE role = 'admin' AND state = 'active' AND appids IS NULL AND password IS NOT NULL FOR UPDATE;

-- add_operator: a new operator; an empty result when the name is taken
-- on sqlite
INSERT INTO operator (name, role, appids, created_at) VALUES (:name, :role, :scope, :now) ON CONFLICT (name) DO NOTHING;
-- on mysql
INSERT INTO operator (name, role, appids, created_at) VALUES (:name, :role, :scope, :now)
ON DUPLICATE KEY UPDATE id = id;

-- set_role: what an operator may do, and to which mini programs
UPDATE operator SET role = :role, appids = :scope WHERE id = :operator_id;

-- set_state: active or disabled
UPDATE operator SET state = :state WHERE id = :operator_id;

-- set_tastes: the language and the time zone of an operator's pages
UPDATE operator SET language = :language, timezone = :timezone WHERE id = :operator_id;

-- secrets_of: what an operator proves to be himself with
SELECT password, totp FROM operator WHERE id = :operator_id;

-- set_password: the hash of a new password, or none
UPDATE operator SET password = :password, password_at = :now WHERE id = :operator_id;

-- rehash_password: the same password under stronger parameters, unless it was changed meanwhile
UPDATE operator SET password = :password WHERE id = :operator_id AND password = :before;

-- set_totp: a sealed TOTP secret, or none; the step is the last one used
UPDATE operator SET totp = :totp, totp_step = :step WHERE id = :operator_id;

-- use_totp_step: a code is good once; nothing changes when it, or a later one, was used
UPDATE operator SET totp_step = :step WHERE id = :operator_id AND totp_step < :step;

-- note_operator_seen: an operator used the dashboard
UPDATE operator SET seen_at = :now WHERE id = :operator_id;

-- add_recovery_code: the hash of one recovery code
INSERT INTO recovery_code (id, operator_id) VALUES (:id, :operator_id);

-- use_recovery_code: it is good once; nothing changes when it was used
DELETE FROM recovery_code WHERE id = :id AND operator_id = :operator_id;

-- drop_recovery_codes: an operator's codes hold no longer
DELETE FROM recovery_code WHERE operator_id = :operator_id;

-- count_recovery_codes: how many are left to an operator
SELECT COUNT(*) FROM recovery_code WHERE operator_id = :operator_id;

-- add_link: a link that sets a password once; operator_id is null for the first operator's
INSERT INTO operator_link (id, operator_id, expires_at) VALUES (:id, :operator_id, :expires_at);

-- find_link: whose link it is, while it holds
SELECT operator_id FROM operator_link WHERE id = :id AND expires_at > :now;

-- take_link: uses a link up; nothing changes when somebody was faster
DELETE FROM operator_link WHERE id = :id AND expires_at > :now;

-- drop_links: an operator's links hold no longer
DELETE FROM operator_link WHERE operator_id = :operator_id;

-- drop_first_links: links for the first operator hold no longer
DELETE FROM operator_link WHERE operator_id IS NULL;

-- open_operator_session: an operator signed in
INSERT INTO operator_session (id, operator_id, created_at, seen_at, confirmed_at, address, device)
VALUES (:id, :operator_id, :now, :now, :now, :address, :device);

-- operator_session: a session that holds, with its operator; disabled ones have none
SELECT s.id, s.operator_id, s.created_at, s.seen_at, s.confirmed_at, s.address, s.device, s.flash,
o.id, o.name, o.role, o.appids, o.state, o.password IS NOT NULL, o.totp IS NOT NULL, o.language, o.timezone,
o.created_at, o.seen_at
FROM operator_session s JOIN operator o ON o.id = s.operator_id
WHERE s.id = :id AND s.seen_at > :idle_since AND s.created_at > :born_since AND o.state = 'active';

-- operator_sessions: the sessions of an operator that hold, the one used last at the top
SELECT id, operator_id, created_at, seen_at, confirmed_at, address, device, flash
FROM operator_session
WHERE operator_id = :operator_id AND seen_at > :idle_since AND created_at > :born_since ORDER BY seen_at DESC;

-- touch_operator_session: it was used
UPDATE operator_session SET seen_at = :now WHERE id = :id AND seen_at < :now;

-- confirm_operator_session: the password was given again
UPDATE operator_session SET confirmed_at = :now WHERE id = :id;

-- set_flash: what the next page of a session is to say
UPDATE operator_session SET flash = :flash WHERE id = :id;

-- clear_flash: it was said
UPDATE operator_session SET flash = NULL WHERE id = :id AND flash = :flash;

-- end_operator_session: one session ends
DELETE FROM operator_session WHERE id = :id AND operator_id = :operator_id;

-- end_operator_sessions: all of an operator end, but for one
DELETE FROM operator_session WHERE operator_id = :operator_id AND id <> :id;

-- add_device: a browser that an operator signed in with
INSERT INTO operator_device (id, operator_id, created_at) VALUES (:id, :operator_id, :now);

-- find_device: a row when an operator is known to use this browser
SELECT 1 FROM operator_device WHERE id = :id AND operator_id = :operator_id AND created_at > :since;

-- drop_devices: no browser of an operator is known any more
DELETE FROM operator_device WHERE operator_id = :operator_id;

-- make_attempts: a counter of failed attempts exists from now on
-- on sqlite
INSERT INTO signin_attempt (id, failures, next_at, expires_at) VALUES (:id, 0, 0, :expires_at) ON CONFLICT (id) DO NOTHING;
-- on mysql
INSERT INTO signin_attempt (id, failures, next_at, expires_at) VALUES (:id, 0, 0, :expires_at)
ON DUPLICATE KEY UPDATE id = id;

-- attempts: a counter; whoever reads it to change it keeps others waiting
-- on sqlite
SELECT failures, next_at, expires_at FROM signin_attempt WHERE id = :id;
-- on mysql
SELECT failures, next_at, expires_at FROM signin_attempt WHERE id = :id FOR UPDATE;

-- longest_wait: until when nobody is judged by these counters
SELECT MAX(next_at) FROM signin_attempt WHERE id IN (:ids) AND expires_at > :now;

-- set_attempts: one more failure, until the opposite is proved
UPDATE signin_attempt SET failures = :failures, next_at = :next_at, expires_at = :expires_at WHERE id = :id;

-- give_attempt_back: it was no failure, and others who share the counter may go on
UPDATE signin_attempt SET failures = failures - 1, next_at = 0 WHERE id = :id AND failures > 0;

-- forget_attempts: the holder of the counter is in
DELETE FROM signin_attempt WHERE id = :id;

-- sweep_attempts: counters of which the time is over
DELETE FROM signin_attempt WHERE expires_at < :now;

-- sweep_operator_sessions: sessions that nobody used for too long
DELETE FROM operator_session WHERE seen_at < :idle_since;

-- sweep_links: links of which the time is over
DELETE FROM operator_link WHERE expires_at < :now;

-- sweep_devices: browsers that are not known any more
DELETE FROM operator_device WHERE created_at < :since;
