"""`sensedex clean`: removes what sensedex keeps on this machine, after showing it."""

from __future__ import annotations

import shutil
from pathlib import Path

import typer
from rich.console import Console

from pipeline.errors import LeaseHeld, SettingsError
from pipeline.state.lease import EVENTS_LEASE, LEASE, is_free, read_lease
from pipeline.state.store import FolderStore


def clean_folder(console: Console, folder: Path, *, yes: bool) -> None:
    """Raises LeaseHeld where a run is at work, SettingsError for a folder that is not ours."""
    if not folder.exists():
        console.print(f"There is no {folder}: nothing to remove.")
        return
    if ".sensedex" not in folder.resolve().parts:
        raise SettingsError(
            f"{folder} is not under a .sensedex folder.",
            remedy="Remove it yourself if you mean it.",
        )
    leases = [path for name in (LEASE, EVENTS_LEASE) for path in folder.rglob(name)]
    for path in leases:
        lease = read_lease(FolderStore(path.parent), path.name)
        if lease is not None and not is_free(lease):
            raise LeaseHeld(
                f"Run {lease.run_id} on {lease.holder} is writing in {path.parent}.",
                remedy="Wait for it, or stop it.",
            )
    files = [path for path in folder.rglob("*") if path.is_file()]
    size = sum(path.stat().st_size for path in files)
    for child in sorted(folder.iterdir()):
        console.print(f"  {child}", markup=False)
    console.print(f"{len(files)} files, {size / 1e6:.1f} MB.")
    if not yes:
        typer.confirm(f"Remove {folder}?", abort=True)
    shutil.rmtree(folder)
    console.print(f"Removed {folder}.")
