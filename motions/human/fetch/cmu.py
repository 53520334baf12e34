"""The CMU Graphics Lab Motion Capture Database, in its own format: a skeleton and a clip."""

from __future__ import annotations

from pathlib import Path

from motions.human.fetch.download import fetch_file

BASE_URL = "https://mocap.cs.cmu.edu"
"""The database itself; it asks not to be crawled: a clip is two small files. An address without
TLS has to be asked for, with ``--base-url http://...``: on its way anybody may change the files."""
BASE_VARIABLE = "MIMIC_CMU_URL"
"""Environment variable with another address."""
ACKNOWLEDGEMENT = (
    "CMU asks you to say where you publish: The data used in this project was obtained from "
    "mocap.cs.cmu.edu. The database was created with funding from NSF EIA-0196217. "
    "(The data is free to use, also in products; it may not be resold itself, even converted.)"
)


def fetch_cmu(
    subject: str,
    trial: str,
    folder: Path,
    base_url: str = BASE_URL,
    *,
    again: bool = False,
    timeout: float = 120.0,
) -> tuple[Path, list[str]]:
    """Fetch a clip ("02", "01") with its skeleton into `folder`/02.

    Returns the path of the .amc, its .asf beside it, and a line per file of what was done. CMU
    publishes no checksums: that of the first download is kept in `folder` and checked from then on.

    Raises `InputError` when a file cannot be had, is not what it should be, or has changed.
    """
    base = base_url.rstrip("/")
    notes = []
    for name, mark in ((f"{subject}.asf", ":bonedata"), (f"{subject}_{trial}.amc", ":degrees")):
        url = f"{base}/subjects/{subject}/{name}"
        notes.append(fetch_file(url, folder, f"{subject}/{name}", mark, again, timeout))
    return folder / subject / f"{subject}_{trial}.amc", notes
