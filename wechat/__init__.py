"""Everything that speaks WeChat's own language: the client, its cryptography, and the simulator of WeChat."""
