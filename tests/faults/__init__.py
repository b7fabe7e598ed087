"""What happens to people while WeChat, Redis, MariaDB or the disk misbehave, asked through the whole server."""
