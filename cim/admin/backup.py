"""`cim-admin backup` and `restore`: the data of a suite, copied while it runs, and put back (docs/backup.md)."""

from __future__ import annotations

import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from attrs import asdict

from cim.admin.check import things
from cim.admin.command import DataCommand, only
from cim.admin.printing import Printing
from cim.daemon.data_folder import DataFolder
from cim.errors import CIMError
from cim.private_files import BadFile, read_private, replace_private
from cim.store.counted import Counted
from cim.store.sqlite.backup import BESIDE, copy_database, held, prepare_restore, reading, sync
from cim.store.sqlite.checking import check, count, is_current


class Backup(DataCommand):
    """Copies the data of a suite into a new folder, as it is at one moment; the suite may go on meanwhile.

    The copy is checked before this ends. It has no secrets unless --secrets asks for them: whoever has those can read
    and write everything.
    """

    synopsis = "[options] DIR"
    optFlags = [["secrets", None, "Copy the secret, the API keys, the certificates and the key for push, too."]]

    def parseArgs(self, *given: str) -> None:
        """Take the folder's name."""
        self["target"] = only(given, "the name of a new folder for the backup")

    async def run(self, reactor: Any, printing: Printing) -> None:
        """See Command."""
        source, target = self.folder, DataFolder(Path(self["target"]))
        with reading(source.database) as connection:
            is_current(connection)  # or an earlier one: what is not for this release is refused
        try:
            target.path.mkdir(mode=0o700)
        except FileExistsError:
            raise CIMError(f"{target.path} exists: name a new folder, one for each backup") from None
        except OSError as error:
            raise CIMError(f"{target.path} cannot be made: {error.strerror}") from None
        copy_database(source.database, target.database)
        if self["secrets"]:
            _copy_secrets(source, target)
        counted = checked(target)
        printing.one(
            {"folder": str(target.path), **asdict(counted)}, f"{target.path} has {things(counted)}, and is well"
        )


class Restore(DataCommand):
    """Puts a backup in the place of what a suite has, which must not run. What was there goes aside.

    All that happened since the backup is undone: messages, accounts, groups, passwords, and what was revoked. With
    --revoke-tokens all users have to log in with their passwords again, so that no token that was revoked since the
    backup is good again.
    """

    synopsis = "[options] DIR"
    optFlags = [["revoke-tokens", None, "Have all users log in with their passwords again."]]

    def parseArgs(self, *given: str) -> None:
        """Take the folder's name."""
        self["source"] = only(given, "the name of the folder of a backup")

    async def run(self, reactor: Any, printing: Printing) -> None:
        """See Command."""
        source, target = DataFolder(Path(self["source"])), DataFolder(Path(self["data"]))
        if not source.database.is_file():
            raise CIMError(f"{source.path} is no backup: it has no {source.database.name}")
        checked(source)
        try:
            target.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise CIMError(f"--data {target.path}: {error.strerror}") from None
        _check_owner(target)
        now = datetime.now(UTC)
        with held(target.database):
            try:
                aside, counted = _put_back(source, target, now, revoke=bool(self["revoke-tokens"]))
            except OSError as error:
                raise CIMError(f"{target.path}: {error.strerror or error}") from None
        printing.one(
            {"folder": str(target.path), "aside": str(aside or ""), **asdict(counted)},
            f"{target.path} has {things(counted)}" + (f"; what was there before is in {aside}" if aside else ""),
        )


def checked(folder: DataFolder) -> Counted:
    """Return what there is in a backup.

    :raises CIMError: something in it does not fit, or it cannot be read
    """
    with reading(folder.database) as connection:
        wrong = next(check(connection), "")
        if wrong:
            raise CIMError(f"{folder.path} is not well: {wrong} (cim-admin check --data {folder.path} lists all)")
        return count(connection)


def _copy_secrets(source: DataFolder, target: DataFolder) -> None:
    try:
        for its, copy in (
            (source.secret, target.secret),
            (source.api_keys, target.api_keys),
            (source.vapid_key, target.vapid_key),
        ):
            if its.exists():
                replace_private(copy, read_private(its))
        if source.certificates.is_dir():
            shutil.copytree(source.certificates, target.certificates)
    except BadFile as error:
        raise CIMError(str(error)) from None
    except OSError as error:
        raise CIMError(f"{target.path}: {error.strerror or error}") from None


def _check_owner(folder: DataFolder) -> None:
    """Check that what is put into a folder will be that of whoever runs the suite.

    :raises CIMError: the folder, or the store in it, is another user's
    """
    path = folder.database if folder.database.exists() else folder.path
    owner = path.stat().st_uid
    if owner != os.geteuid():
        raise CIMError(f"{path} belongs to another user, who could not use what is put back: run this as user {owner}")


def _put_back(source: DataFolder, target: DataFolder, now: datetime, *, revoke: bool) -> tuple[Path | None, Counted]:
    """Put a backup in its place; return where what was there is now, if anything was, and what is there instead.

    :raises CIMError: the backup cannot be copied; what was there is there
    :raises OSError: it cannot be put in its place; what was there is there, or aside
    """
    coming = DataFolder(target.path / "restoring")
    shutil.rmtree(coming.path, ignore_errors=True)
    coming.path.mkdir(mode=0o700)
    copy_database(source.database, coming.database)
    _copy_secrets(source, coming)
    prepare_restore(coming.database, target.database, int(now.timestamp() * 1000) if revoke else 0)
    counted = checked(coming)
    names = {path.name for path in coming.path.iterdir()}
    replaced = [target.path / name for name in sorted(names | {target.database.name + end for end in BESIDE})]
    aside = target.path / f"before-restore-{now:%Y%m%d-%H%M%S}"
    replaced = [path for path in replaced if path.exists()]
    if replaced:
        aside.mkdir(mode=0o700)
    for path in replaced:
        path.rename(aside / path.name)
    for name in sorted(names):
        (coming.path / name).rename(target.path / name)
    coming.path.rmdir()
    sync(target.path)
    return aside if replaced else None, counted
