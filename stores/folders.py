"""What the file system owes us beside the bytes of a file."""

import os
from pathlib import Path


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder as durable as the bytes: what was sealed under a key must not outlive it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
