"""Takes passwords out of texts that people or logs get to see; it knows URLs and nothing else."""

from __future__ import annotations

import re

#: `//user:password@`. The last "@" of the word ends it, and where a password holds blanks, the next.
_ACCOUNT = re.compile(r"://[^\s/@:]*:(?:\S*|[^@]*)@")
_PARAMETER = re.compile(r"([?&][^=&\s]*(?:password|passwd|secret|token)[^=&\s]*=)[^&\s'\"]*", re.I)


def without_password(text: str) -> str:
    """The text with `://***@` for every account in a URL; rather too much goes than too little."""
    return _PARAMETER.sub(r"\1***", _ACCOUNT.sub("://***@", text))
