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
INSERT INTO audit (n, at, actor, address, request_id, deed, result, target, appid, count, reason, concerns, role, link)
VALUES (:n, :at, :actor, :address, :request_id, :deed, :result, :target, :appid, :count, :reason, :concerns, :role,
        :link);

-- audit_after: the rows that follow one, in their order
SELECT n, at, actor, address, request_id, deed, result, target, appid, count, reason, concerns, role, link
FROM audit WHERE n > :n ORDER BY n LIMIT :most;

-- audit_newest: the newest rows before one
SELECT n, at, actor, address, request_id, deed, result, target, appid, count, reason, concerns, role, link
FROM audit WHERE n < :n ORDER BY n DESC LIMIT :most;

-- part fields: a row
a.n, a.at, a.actor, a.address, a.request_id, a.deed, a.result, a.target, a.appid, a.count, a.reason, a.concerns,
       a.role, a.link

-- part sought: what the operator asks for, within what the operator may see
(:anywhere = 1 OR a.appid IN (:appids))
  AND (:actor IS NULL OR a.actor = :actor)
  AND (:deed IS NULL OR a.deed = :deed)
  AND (:result IS NULL OR a.result = :result)
  AND (:target IS NULL OR a.target = :target)
  AND a.at >= :at_from AND a.at <= :at_to

-- part by_actor: the table along one index
-- on sqlite
audit a INDEXED BY audit_by_actor
-- on mysql
audit a FORCE INDEX (audit_by_actor)

-- part by_target: the table along one index
-- on sqlite
audit a INDEXED BY audit_by_target
-- on mysql
audit a FORCE INDEX (audit_by_target)

-- audit_up_to: the last row of a moment or before
SELECT n FROM audit WHERE at <= :at ORDER BY at DESC, n DESC LIMIT 1;

-- window_audit: how far some rows reach, the newest first
SELECT a.n, a.at FROM audit a WHERE a.n < :n AND a.n >= :stop ORDER BY a.n DESC LIMIT 1 OFFSET :window;

-- page_audit: some of them that fit
SELECT {{fields}}
FROM audit a WHERE a.n < :n AND a.n >= :stop AND {{sought}}
ORDER BY a.n DESC LIMIT :most;

-- window_audit_by: how far some rows of one actor reach, the newest first
SELECT a.n, a.at FROM {{by_actor}} WHERE a.actor = :actor AND a.n < :n AND a.n >= :stop
ORDER BY a.n DESC LIMIT 1 OFFSET :window;

-- page_audit_by: some of them that fit
SELECT {{fields}}
FROM {{by_actor}} WHERE a.actor = :actor AND a.n < :n AND a.n >= :stop AND {{sought}}
ORDER BY a.n DESC LIMIT :most;

-- window_audit_of: how far some rows about one target reach, the newest first
SELECT a.n, a.at FROM {{by_target}} WHERE a.target = :target AND a.n < :n AND a.n >= :stop
ORDER BY a.n DESC LIMIT 1 OFFSET :window;

-- page_audit_of: some of them that fit
SELECT {{fields}}
FROM {{by_target}} WHERE a.target = :target AND a.n < :n AND a.n >= :stop AND {{sought}}
ORDER BY a.n DESC LIMIT :most;
