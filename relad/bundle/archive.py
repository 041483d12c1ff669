"""The container: a zip in one plain form, which leaves nothing to interpret.

Members are stored, not compressed, so that none is larger than it says; they lie one behind the
other from the first byte on, with no extra fields, comments, folders, links or encryption, and
their names are those of :data:`relad.bundle.form.PARTS`. Whatever differs is refused before a
member is read.
"""

from __future__ import annotations

import hashlib
import re
import stat
import struct
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from relad.bundle.form import FORMAT, LARGEST, MANIFEST, PARTS, VERSION
from relad.bundle.text import parsed, shown
from relad.errors import ReladError

_CHUNK = 2**20
_LOCAL_BYTES, _CENTRAL_BYTES = 30, 46
#: End of central directory: signature, disks, members here and in all, size and offset of the
#: directory, length of the comment.
_END = struct.Struct("<4s4H2LH")
_END64 = b"PK\x06\x07"
_DRIVE = re.compile(r"[A-Za-z]:")


def write(path: Path, members: Mapping[str, Path | bytes]) -> None:
    """Write a bundle; the same members give the same bytes."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED, allowZip64=False) as archive:
        for name, content in members.items():
            member = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            member.create_system = 3  # Unix, wherever this runs
            member.external_attr = (stat.S_IFREG | 0o644) << 16
            with archive.open(member, "w") as into:
                if isinstance(content, bytes):
                    into.write(content)
                    continue
                with content.open("rb") as file:
                    while chunk := file.read(_CHUNK):
                        into.write(chunk)


class Bundle:
    """An open bundle of good form: its manifest, and its members, each checked as it is read.

    Attributes
    ----------
    path
        Of the file.
    manifest
        ``manifest.json``, checked against the members.
    identity
        SHA-256 of ``manifest.json``, which names all others': the bundle's own.
    """

    def __init__(self, path: Path, archive: zipfile.ZipFile):
        self.path, self._archive = path, archive
        members = {member.filename: member for member in archive.infolist()}
        content = self._whole(members[MANIFEST])
        self.manifest = _manifest(content, path)
        self.identity = hashlib.sha256(content).hexdigest()
        files = self.manifest["files"]
        if odd := sorted(files.keys() ^ (members.keys() - {MANIFEST})):
            raise ReladError(
                f"manifest and content differ: {', '.join(odd)} stands in one of them only",
                file=path,
            )
        for name, said in files.items():
            if said["bytes"] != members[name].file_size:
                raise ReladError(
                    f"{name} has {members[name].file_size} bytes, its manifest says "
                    f"{said['bytes']}",
                    file=path,
                )
        self._members = members

    def unpack(self, folder: Path) -> None:
        """Write all members into a folder, checking their checksums.

        Raises
        ------
        ReladError
            Where one differs: the folder is then of no use.
        """
        for name, member in self._members.items():
            sha = hashlib.sha256()
            with (folder / name).open("xb") as file:
                for chunk in self._chunks(member):
                    sha.update(chunk)
                    file.write(chunk)
            said = self.manifest["files"].get(name, {"sha256": self.identity})["sha256"]
            if sha.hexdigest() != said:
                raise ReladError(
                    f"is damaged: {name} has another checksum than its manifest says",
                    file=self.path,
                    hint="copy it again",
                )

    @property
    def size(self) -> int:
        """Bytes of all members."""
        return sum(member.file_size for member in self._members.values())

    def _chunks(self, member: zipfile.ZipInfo) -> Iterator[bytes]:
        try:
            with self._archive.open(member) as file:
                while chunk := file.read(_CHUNK):
                    yield chunk
        except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
            raise ReladError(
                f"is damaged: {member.filename} cannot be read ({shown(error)})",
                file=self.path,
                hint="copy it again",
            ) from None

    def _whole(self, member: zipfile.ZipInfo) -> bytes:
        return b"".join(self._chunks(member))


@contextmanager
def reading(path: Path) -> Iterator[Bundle]:
    """Open a bundle.

    Raises
    ------
    ReladError
        Where it is missing or not of the form above, or its manifest does not fit it.
    """
    if not path.exists():
        raise ReladError("no such bundle", file=path)
    if not path.is_file():
        raise ReladError("is no file, and so no bundle", file=path)
    with path.open("rb") as file:
        size = file.seek(0, 2)
        _check_end(file, size, path)
        try:
            archive = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
            raise ReladError(f"is damaged ({shown(error)})", file=path) from None
        with archive:
            _check_members(archive, size, path)
            yield Bundle(path, archive)


def _check_end(file: BinaryIO, size: int, path: Path) -> None:
    """Refuse what is no zip, or has more members or a larger directory than a bundle can have."""
    if size > LARGEST:
        raise ReladError(f"has {size} bytes, a bundle at most {LARGEST}", file=path)
    file.seek(max(0, size - _END.size - 20))
    tail = file.read()
    if len(tail) < _END.size or not tail[-_END.size :].startswith(b"PK\x05\x06"):
        raise ReladError(
            "is no bundle, or one that is cut short: it does not end as one",
            file=path,
            hint="`relad export` writes bundles",
        )
    _, disk, start, here, count, length, offset, comment = _END.unpack(tail[-_END.size :])
    if count > len(PARTS):
        raise ReladError(f"has {count} members, a bundle at most {len(PARTS)}", file=path)
    if disk or start or here != count or comment or offset + length + _END.size != size:
        raise ReladError("has bytes that belong to no member", file=path)
    if tail[: -_END.size].startswith(_END64):
        raise ReladError("is a zip of the extended form, a bundle is not", file=path)


def _check_members(archive: zipfile.ZipFile, size: int, path: Path) -> None:
    """Refuse every member that is not plain and in its place."""
    members, place, seen = archive.infolist(), 0, set()
    for member in members:
        name = member.orig_filename
        if trouble := _trouble_with(member, name):
            raise ReladError(f"member {shown(name)} {trouble}", file=path)
        if name in seen:
            raise ReladError(f"holds {name} twice", file=path)
        seen.add(name)
        if member.header_offset != place:
            raise ReladError(f"member {name} does not begin where the one before ends", file=path)
        place += _LOCAL_BYTES + len(name) + member.file_size
    directory = sum(_CENTRAL_BYTES + len(member.filename) for member in members)
    if archive.start_dir != place or place + directory + _END.size != size:
        raise ReladError("has bytes that belong to no member", file=path)
    if lacking := [name for name, part in PARTS.items() if part.needed and name not in seen]:
        raise ReladError(f"lacks {', '.join(lacking)}", file=path)


def _trouble_with(member: zipfile.ZipInfo, name: str) -> str | None:
    """What is wrong with a member, by the archive's directory alone."""
    kind = stat.S_IFMT(member.external_attr >> 16)
    if name.startswith(("/", "\\")) or _DRIVE.match(name):
        return "is an absolute path"
    if ".." in re.split(r"[/\\]", name):
        return "lies outside"
    if stat.S_ISLNK(kind):
        return "is a link"
    if "/" in name or "\\" in name or kind not in (0, stat.S_IFREG):
        return "is no plain file"
    if name not in PARTS:
        return f"is none that a bundle of format {VERSION} holds ({', '.join(PARTS)})"
    if member.flag_bits & 1:
        return "is encrypted"
    if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
        return "is compressed; a bundle's are not"
    if member.flag_bits or member.extra or member.comment:
        return "has flags or fields that a bundle's do not have"
    if member.file_size > PARTS[name].limit:
        return f"has {member.file_size} bytes, {PARTS[name].limit} at most are read"
    return None


def _manifest(content: bytes, path: Path) -> dict[str, Any]:
    """The manifest, its keys and types checked.

    Raises
    ------
    ReladError
        Where it is of another format, or damaged.
    """
    told = parsed(content, MANIFEST, path)
    if not isinstance(told, dict) or told.get("format") != FORMAT:
        raise ReladError("its manifest is none of a model bundle", file=path)
    version = told.get("version")
    if version != VERSION:
        raise ReladError(
            f"is of format {shown(version)}, written by relad {shown(told.get('relad'))}; this "
            f"relad reads format {VERSION}",
            file=path,
            hint="open it with the relad that wrote it, or a later one",
        )
    texts = all(isinstance(told.get(key), str) for key in ("relad", "kind", "license"))
    files = told.get("files")
    if not (texts and isinstance(files, dict) and all(map(_described, files.values()))):
        raise ReladError("its manifest lacks something, or holds something else", file=path)
    return told


def _described(said: Any) -> bool:
    """Whether the manifest tells a file's size and checksum."""
    return (
        isinstance(said, dict)
        and type(said.get("bytes")) is int
        and isinstance(said.get("sha256"), str)
        and re.fullmatch("[0-9a-f]{64}", said["sha256"]) is not None
    )
