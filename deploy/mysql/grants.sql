-- What the user that serves may do in MySQL or MariaDB: rows of its own tables, never a table itself, and never a
-- change to what the audit holds. Run `upgrade` as the owner of the database, and the server as this user. Put your own
-- names for `menshen` and for the user; run it again after an upgrade that brought a new table.
CREATE USER IF NOT EXISTS 'menshen_server'@'127.0.0.1' IDENTIFIED BY 'password';

GRANT SELECT, INSERT, UPDATE, DELETE ON menshen.access_token TO 'menshen_server'@'127.0.0.1';
GRANT SELECT, INSERT ON menshen.audit TO 'menshen_server'@'127.0.0.1';
GRANT SELECT, UPDATE ON menshen.audit_head TO 'menshen_server'@'127.0.0.1';
GRANT SELECT, INSERT, UPDATE, DELETE ON menshen.avatar TO 'menshen_server'@'127.0.0.1';
GRANT SELECT, INSERT, UPDATE, DELETE ON menshen.blocked_person TO 'menshen_server'@'127.0.0.1';
GRANT SELECT, INSERT, UPDATE, DELETE ON menshen.code_claim TO 'menshen_server'@'127.0.0.1';
GRANT SELECT, INSERT, UPDATE, DELETE ON menshen.delivery TO 'menshen_server'@'127.0.0.1';
GRANT SELECT, INSERT, UPDATE, DELETE ON menshen.epoch TO 'menshen_server'@'127.0.0.1';
GRANT SELECT, INSERT, UPDATE, DELETE ON menshen.figure TO 'menshen_server'@'127.0.0.1';
GRANT SELECT, INSERT, UPDATE, DELETE ON menshen.held_avatar TO 'menshen_server'@'127.0.0.1';
GRANT SELECT, INSERT, UPDATE, DELETE ON menshen.login TO 'menshen_server'@'127.0.0.1';
GRANT SELECT, INSERT, UPDATE, DELETE ON menshen.operator TO 'menshen_server'@'127.0.0.1';
GRANT SELECT, INSERT, UPDATE, DELETE ON menshen.operator_device TO 'menshen_server'@'127.0.0.1';
GRANT SELECT, INSERT, UPDATE, DELETE ON menshen.operator_link TO 'menshen_server'@'127.0.0.1';
GRANT SELECT, INSERT, UPDATE, DELETE ON menshen.operator_session TO 'menshen_server'@'127.0.0.1';
GRANT SELECT, INSERT, UPDATE, DELETE ON menshen.push_event TO 'menshen_server'@'127.0.0.1';
GRANT SELECT, INSERT, UPDATE, DELETE ON menshen.recovery_code TO 'menshen_server'@'127.0.0.1';
GRANT SELECT, INSERT, UPDATE, DELETE ON menshen.refused_login TO 'menshen_server'@'127.0.0.1';
GRANT SELECT ON menshen.schema_version TO 'menshen_server'@'127.0.0.1';
GRANT SELECT, INSERT, UPDATE, DELETE ON menshen.service_key TO 'menshen_server'@'127.0.0.1';
GRANT SELECT, INSERT, UPDATE, DELETE ON menshen.session TO 'menshen_server'@'127.0.0.1';
GRANT SELECT, INSERT, UPDATE, DELETE ON menshen.signin_attempt TO 'menshen_server'@'127.0.0.1';
GRANT SELECT, INSERT, UPDATE, DELETE ON menshen.tally TO 'menshen_server'@'127.0.0.1';
GRANT SELECT, INSERT, UPDATE, DELETE ON menshen.user TO 'menshen_server'@'127.0.0.1';
