"""The verb about the key that seals session_keys and operators' secrets at rest."""

import asyncio

from actions.backend import Backend
from actions.deeds import Actor, written_down
from stores.keys import rotate_keys


async def rotate_sealing_key(backend: Backend, by: Actor) -> int:
    """Makes a new sealing key, writes it down, and gives its number.

    Running servers seal with it from their next SIGHUP on, and read the file anew when they meet what it sealed.
    What older keys sealed stays readable (OWASP ASVS 11.2.2). Raises AuditAway, KeysUnreadable.
    """
    async with written_down(backend, by, "key.rotate"):
        return (await asyncio.to_thread(rotate_keys, backend.settings.data_dir)).current
