-- The access_token of each mini program, sealed; one for all processes. Column order is that of KeptToken.

-- access_token: what is kept, and who is getting a new one until when
SELECT appid, sealed, fetched_at, expires_at, refresher, refreshing_until FROM access_token WHERE appid = :appid;

-- make_access_token: a row to be claimed, once for each mini program
-- on sqlite
INSERT INTO access_token (appid) VALUES (:appid) ON CONFLICT (appid) DO NOTHING;
-- on mysql
INSERT INTO access_token (appid) VALUES (:appid) ON DUPLICATE KEY UPDATE appid = VALUES(appid);

-- claim_access_token: one process gets the new one, if nobody else is at it and nobody has got it since it looked
UPDATE access_token SET refresher = :refresher, refreshing_until = :until
WHERE appid = :appid AND refreshing_until <= :now AND COALESCE(sealed, X'') = :seen;

-- keep_access_token: the new one, by the process that still holds the claim
UPDATE access_token SET sealed = :sealed, fetched_at = :now, expires_at = :expires_at, refresher = NULL,
       refreshing_until = 0
WHERE appid = :appid AND refresher = :refresher;

-- give_access_token_up: there is no new one; nobody tries again before a moment has passed
UPDATE access_token SET refresher = NULL, refreshing_until = :until WHERE appid = :appid AND refresher = :refresher;
