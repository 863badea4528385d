"""The names of keys. All of a backend share one hash tag: one slot of a Cluster, so that every verb is one script."""

from __future__ import annotations

from urllib.parse import quote

__all__ = ["tag_of"]


def tag_of(prefix: str, alias: str) -> str:
    """What all keys of a backend begin with, such as ``{dlq:default}``.

    An alias may be any text, and a brace in it would end the tag: it is quoted as in a URL.
    """
    return f"{{{prefix}:{quote(alias, safe='')}}}"
