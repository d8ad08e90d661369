"""Passwords: bcrypt, made fit for any length, and as slow for nobody as for somebody."""

import base64
import hashlib
import unicodedata

import bcrypt

ROUNDS = 12
"""bcrypt's cost: 2^12 rounds, about 0.3 s of a CPU (OWASP Password Storage Cheat Sheet asks for at least 10)."""


def hashed(password: str) -> str:
    return bcrypt.hashpw(_digest(password), bcrypt.gensalt(ROUNDS)).decode()


def matches(password: str, stored: str | None) -> bool:
    """Whether this is the password behind a hash. Without a hash it is not, and that takes the same time."""
    nobodys = f"$2b${ROUNDS:02d}${'.' * 53}"
    return bcrypt.checkpw(_digest(password), (stored or nobodys).encode()) and stored is not None


def _digest(password: str) -> bytes:
    """bcrypt reads 72 bytes and stops at a zero byte; this has 44, none of them zero. One spelling of each letter
    (NIST SP 800-63B, section 5.1.1.2)."""
    text = unicodedata.normalize("NFKC", password).encode()
    return base64.b64encode(hashlib.sha256(text).digest())
