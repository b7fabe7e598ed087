"""Everything the server remembers: people, sessions, facts about logins, keys."""
