"""What files and folders of a stranger's archive may be called, how many there may be, and how they may not meet."""

import unicodedata
from dataclasses import dataclass, field

from shared.errors import ArchiveRefused

_MAX_PART_BYTES = 255
_MAX_NAME_BYTES = 1_000


@dataclass(frozen=True, slots=True)
class Caps:
    """What an archive may hold at most.

    Attributes:
        members: files and folders, also those that are only named as part of a path.
        depth: parts of a path. ratio: expanded bytes for each compressed one, beyond the first mebibyte.
    """

    members: int = 10_000
    depth: int = 20
    file_bytes: int = 250_000_000
    expanded_bytes: int = 1_073_741_824
    ratio: int = 100


def path_of(name: bytes) -> str | None:
    """The path that a name stands for, its parts separated by `/`; None for the archive's own folder.

    Raises:
        ArchiveRefused: it cannot be a path of ours, or should not.
    """
    shown = shown_name(name)
    if b"\0" in name:
        raise ArchiveRefused("nul_in_name", f"{shown} holds a NUL.")
    if len(name) > _MAX_NAME_BYTES:
        raise ArchiveRefused("name_too_long", f"{shown} has more than {_MAX_NAME_BYTES} bytes.")
    try:
        text = name.decode()
    except UnicodeDecodeError:
        raise ArchiveRefused("not_utf8", f"{shown} is not in UTF-8.") from None
    if not text.isprintable():
        raise ArchiveRefused("unprintable", f"{shown} holds a character that cannot be seen.")
    if text.startswith("/"):
        raise ArchiveRefused("absolute", f"{shown} is absolute.")
    if "\\" in text:
        raise ArchiveRefused("backslash", f"{shown} holds a backslash.")
    parts = text.removesuffix("/").split("/")
    while len(parts) > 1 and parts[0] == ".":
        del parts[0]
    if parts == ["."]:
        return None
    if ".." in parts:
        raise ArchiveRefused("traversal", f"{shown} leads out of the archive.")
    if "" in parts or "." in parts:
        raise ArchiveRefused("malformed", f"{shown} has a part without a name.")
    if any(len(part.encode()) > _MAX_PART_BYTES for part in parts):
        raise ArchiveRefused("name_too_long", f"A part of {shown} has more than {_MAX_PART_BYTES} bytes.")
    return "/".join(parts)


@dataclass(slots=True)
class Names:
    """What was named so far, by what it would be on a disk that sees no difference of case or of accents' encoding."""

    caps: Caps
    files: int = 0
    _known: dict[str, tuple[str, str]] = field(default_factory=dict)

    def add(self, path: str, is_folder: bool) -> None:
        """Take a name in.

        Raises:
            ArchiveRefused: it meets another one, or there are too many.
        """
        parts = path.split("/")
        if len(parts) > self.caps.depth:
            raise ArchiveRefused("too_deep", f"{shown_name(path.encode())} lies more than {self.caps.depth} deep.")
        self._enter(path, "folder" if is_folder else "file")
        for count in range(len(parts) - 1, 0, -1):
            if not self._enter("/".join(parts[:count]), "implied"):
                # Those above it were looked at when it came in.
                break
        self.files += not is_folder

    def _enter(self, path: str, what: str) -> bool:
        """Whether the name is a new one."""
        key = unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())
        other, was = self._known.get(key, (path, ""))
        shown = shown_name(path.encode())
        if other != path:
            raise ArchiveRefused("case_clash", f"{shown} and {shown_name(other.encode())} differ in case only.")
        if was and "file" in {what, was} and what != was:
            raise ArchiveRefused("clash", f"{shown} is a file and a folder.")
        if was == what != "implied":
            raise ArchiveRefused("duplicate", f"{shown} stands twice.")
        if not was and len(self._known) == self.caps.members:
            raise ArchiveRefused("too_many_members", f"It has more than {self.caps.members} files and folders.")
        if was != "folder":
            self._known[key] = (path, what)
        return not was


def shown_name(name: bytes) -> str:
    """A stranger's name as a log line may show it."""
    return ascii(name[:80].decode("utf-8", "replace"))
