-- What your other back ends are told. Column order is the field order of stores.deliveries.Delivery.

-- add_delivery: something to tell
INSERT INTO delivery (target, event, body, created_at, next_at) VALUES (:target, :event, :body, :now, :now);

-- due_deliveries: what is to be sent now, the one that waited longest first
SELECT id FROM delivery WHERE state = 'waiting' AND next_at <= :now ORDER BY next_at, id LIMIT :most;

-- still_due: those of these that are still to be sent; nobody else takes them before this transaction ends
-- on sqlite
SELECT id, target, event, body, state, created_at, next_at, attempts, status, done_at
FROM delivery WHERE id IN (:delivery_ids) AND state = 'waiting' AND next_at <= :now ORDER BY id;
-- on mysql
-- Along the numbers, because along the turns the gaps would be locked too, and logins wait that have something to tell.
SELECT id, target, event, body, state, created_at, next_at, attempts, status, done_at
FROM delivery FORCE INDEX (PRIMARY)
WHERE id IN (:delivery_ids) AND state = 'waiting' AND next_at <= :now ORDER BY id FOR UPDATE;

-- lease_deliveries: nobody else sends them until the lease is over
UPDATE delivery SET next_at = :until, attempts = attempts + 1 WHERE id IN (:delivery_ids);

-- settle_delivery: how an attempt went; nothing changes when the lease was over and somebody else took it
UPDATE delivery SET state = :state, status = :status, next_at = :next_at, done_at = :done_at
WHERE id = :delivery_id AND state = 'waiting' AND attempts = :attempts;

-- delivery_by_id: one of them
SELECT id, target, event, body, state, created_at, next_at, attempts, status, done_at
FROM delivery WHERE id = :delivery_id;

-- deliveries_before: the newest before one
SELECT id, target, event, body, state, created_at, next_at, attempts, status, done_at
FROM delivery WHERE id < :delivery_id ORDER BY id DESC LIMIT :most;

-- send_again: it waits once more, from the beginning; nothing changes for one that waits already
UPDATE delivery SET state = 'waiting', attempts = 0, next_at = :now, status = NULL, done_at = NULL
WHERE id = :delivery_id AND state <> 'waiting';

-- old_deliveries: some from before a moment, the oldest first
SELECT id FROM delivery WHERE created_at < :before ORDER BY created_at, id LIMIT :most;

-- forget_deliveries: they go
DELETE FROM delivery WHERE id IN (:delivery_ids);
