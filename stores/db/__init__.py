"""The SQL database behind one small promise; this folder is the only room that knows the SQL drivers."""

from settings import MysqlUrl, SqliteUrl
from stores.db.promise import Database, Script, all_of
from stores.db.sqlite import Sqlite
from stores.db.statements import Query, Result, Row, Statement, load

__all__ = ["Database", "Query", "Result", "Row", "Script", "Statement", "all_of", "load", "open_database"]


def open_database(where: SqliteUrl | MysqlUrl) -> Database:
    """The engine that the DATABASE setting names; not started yet."""
    if isinstance(where, SqliteUrl):
        return Sqlite(where.path)
    from stores.db.mysql import Mysql  # loads the driver, which the embedded store does without

    return Mysql(where)
