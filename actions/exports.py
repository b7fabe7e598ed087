"""Lists that leave the house as files: each is written down before its first line is given."""

from collections.abc import AsyncIterator
from datetime import UTC, tzinfo

from actions.backend import Backend
from actions.csv_export import audit_csv, sessions_csv, users_csv
from actions.deeds import Actor, written_down
from actions.questions import AuditQuestion, Question, UsersQuestion
from stores.scope import Scope


async def export_sessions(
    backend: Backend, by: Actor, scope: Scope, question: Question, zone: tzinfo = UTC
) -> AsyncIterator[bytes]:
    """The sessions that fit, as CSV. Raises AuditAway before anything is given, UsersAway, SessionsAway."""
    async with written_down(backend, by, "sessions.export", target=f"filter:{question}"):
        async for chunk in sessions_csv(backend, scope, question, zone):
            yield chunk


async def export_users(
    backend: Backend, by: Actor, scope: Scope, question: UsersQuestion, zone: tzinfo = UTC
) -> AsyncIterator[bytes]:
    """The people who fit, as CSV. Raises AuditAway before anything is given, UsersAway."""
    async with written_down(backend, by, "users.export", target=f"filter:{question}"):
        async for chunk in users_csv(backend, scope, question, zone):
            yield chunk


async def export_audit(
    backend: Backend, by: Actor, scope: Scope, question: AuditQuestion, reason: str, zone: tzinfo = UTC
) -> AsyncIterator[bytes]:
    """The rows of the audit, as CSV. Raises AuditAway before anything is given, UsersAway."""
    async with written_down(backend, by, "audit.export", reason=reason):
        async for chunk in audit_csv(backend, scope, question, zone):
            yield chunk
