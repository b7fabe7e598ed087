-- The figures of the overview: counters by mini program, name and hour. `hour` is epoch seconds // 3600; what is counted by
-- the day stands at the day's first hour, what has no time at 0.

-- add_figure: so many more
-- on sqlite
INSERT INTO figure (appid, name, hour, n) VALUES (:appid, :name, :hour, :n)
ON CONFLICT (appid, name, hour) DO UPDATE SET n = figure.n + excluded.n;
-- on mysql
INSERT INTO figure (appid, name, hour, n) VALUES (:appid, :name, :hour, :n)
ON DUPLICATE KEY UPDATE n = n + VALUES(n);

-- take_figure: so many fewer; what was forgotten by age stays forgotten
UPDATE figure SET n = n - :n WHERE appid = :appid AND name = :name AND hour = :hour;

-- figures_named: these counters from this hour on
SELECT appid, name, hour, n FROM figure WHERE appid IN (:appids) AND name IN (:names) AND hour >= :hour;

-- figures_since: every counter from this hour on, by the index of hours: old counters cost nothing
-- on sqlite
SELECT appid, name, hour, n FROM figure INDEXED BY figure_by_hour WHERE hour >= :hour AND appid IN (:appids);
-- on mysql
SELECT appid, name, hour, n FROM figure FORCE INDEX (figure_by_hour) WHERE hour >= :hour AND appid IN (:appids);

-- figures_at: every counter of these very hours
-- on sqlite
SELECT appid, name, hour, n FROM figure INDEXED BY figure_by_hour WHERE hour IN (:hours) AND appid IN (:appids);
-- on mysql
SELECT appid, name, hour, n FROM figure FORCE INDEX (figure_by_hour) WHERE hour IN (:hours) AND appid IN (:appids);

-- people_not_seen: who of these was not yet seen on this day, held fast so that nobody counts them twice
-- on sqlite
SELECT id, appid, seen_day FROM user WHERE id IN (:user_ids) AND seen_day < :day;
-- on mysql
SELECT id, appid, seen_day FROM user WHERE id IN (:user_ids) AND seen_day < :day ORDER BY id FOR UPDATE;

-- note_seen_day: they were seen on this day
UPDATE user SET seen_day = :day WHERE id IN (:user_ids);

-- seen_day_of: the day on which this person was last seen, 0 for never
SELECT seen_day FROM user WHERE id = :user_id;
