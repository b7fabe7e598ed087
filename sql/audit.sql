-- What operators, partners and the shell did. Rows are added, never changed. Column order is the field order of
-- stores.audit.Entry, with the link of the chain at the end.

-- audit_head: the last row's number and link; whoever reads it to add a row keeps others waiting
-- on sqlite
SELECT n, link FROM audit_head WHERE id = 1;
-- on mysql
SELECT n, link FROM audit_head WHERE id = 1 FOR UPDATE;

-- move_audit_head: a row was added
UPDATE audit_head SET n = :n, link = :link WHERE id = 1;

-- add_audit: one deed, or what became of it
INSERT INTO audit (n, at, actor, address, request_id, deed, result, target, appid, count, reason, concerns, link)
VALUES (:n, :at, :actor, :address, :request_id, :deed, :result, :target, :appid, :count, :reason, :concerns, :link);

-- audit_after: the rows that follow one, in their order
SELECT n, at, actor, address, request_id, deed, result, target, appid, count, reason, concerns, link
FROM audit WHERE n > :n ORDER BY n LIMIT :most;

-- audit_newest: the newest rows before one
SELECT n, at, actor, address, request_id, deed, result, target, appid, count, reason, concerns, link
FROM audit WHERE n < :n ORDER BY n DESC LIMIT :most;
