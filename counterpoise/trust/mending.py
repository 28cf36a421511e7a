"""What `counterpoise verify --mend` does: damaged bytes go, and what is whole elsewhere here takes their place.

Only files whose content is not what their name or dvc.lock says are deleted. What is whole nowhere on this machine is
left to `dvc pull` or `dvc repro`.
"""

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from counterpoise.trust.contents import CACHE, REMOTE, WORKSPACE, Report, contents

if TYPE_CHECKING:
    from dvc.repo import Repo
    from dvc_data.hashfile.db import HashFileDB


def mend(repo: "Repo", report: Report, remote: str | None = None) -> list[str]:
    """Delete what is damaged, and fill gaps from what is whole here.

    Args:
        report: of this moment.
        remote: as for the report.

    Returns:
        What was done, a line each.
    """
    done = []

    # Objects that are not what their name says
    stores: dict[str, HashFileDB] = {CACHE: repo.cache.local}
    if remote:
        stores[REMOTE] = repo.cloud.get_remote_odb(remote, "verify")
    for where, odb in stores.items():
        damaged = [one for one in report.of(where) if one.what == "damaged"]
        for one in damaged:
            odb.fs.remove(one.file)
        if damaged:
            _forget(odb)
            done.append(f"{len(damaged)} damaged object(s) deleted from the {where}")

    # The cache's gaps, from the workspace
    lacking = report.fills_cache()
    for one in lacking:
        _put(repo, report.whole_in_workspace(one.kept.oid) or "", one.kept.oid)
    if lacking:
        done.append(f"{len(lacking)} object(s) put into the cache again, from the workspace")

    # The workspace's damage
    wrong = report.of(WORKSPACE)
    for one in wrong:
        path = Path(one.file)
        if path.is_dir() and not path.is_symlink():  # nobody knows which of its files are whole
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    if wrong:
        done.append(f"{len(wrong)} file(s) deleted from the workspace that are not what dvc.lock says")
    back = report.fills_workspace()
    for one in back:
        Path(one.kept.path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(repo.cache.local.oid_to_path(one.kept.oid), one.kept.path)
    if back:
        done.append(f"{len(back)} file(s) taken from the cache")

    # Inputs that DVC takes as they were: it looks again at a file with another time
    for file in report.unseen:
        os.utime(file)
    if report.unseen:
        done.append(f"{len(report.unseen)} input file(s) touched, so that DVC looks at them again")
    return done


def _put(repo: "Repo", path: str, oid: str) -> None:
    """Put a file of the workspace into the cache, or the list of a folder's files."""
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.tree import Tree

    if not Path(path).is_dir():
        repo.cache.local.add(str(Path(path).absolute()), repo.fs, oid)
        return
    tree = Tree()
    for key, digest in contents(repo, str(Path(path).absolute())).items():
        tree.add(key, None, HashInfo("md5", digest))
    tree.digest()
    repo.cache.local.add(tree.path, tree.fs, oid)


def _forget(odb: "HashFileDB") -> None:
    """Have DVC ask a remote again what it holds: it remembers what was there, and a push would pass over the gap."""
    from dvc_data.hashfile.db import get_index

    index = get_index(odb)
    index.clear()
    index.close()
