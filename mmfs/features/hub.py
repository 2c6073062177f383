"""Model files of the Hugging Face hub: from the cache where they are, else downloaded, and never for minutes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mmfs.errors import MissingExtraError, ModelError

_TIMEOUT_S = 5.0


def cached_file(repo: str, name: str) -> Path | None:
    """A file of a repository in the local cache, or None. Reaches no network, imports no torch."""
    try:
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError
    except ImportError:
        return None
    try:
        found = try_to_load_from_cache(repo, name)
    except HFValidationError:
        return None
    return Path(found) if isinstance(found, str) else None


def fetch_snapshot(
    repo: str, patterns: Sequence[str], *, one_of: Sequence[str] = (), where: str, offline_mend: str
) -> Path:
    """Download files of a repository into the cache; the directory that holds them.

    Args:
        repo: ``organisation/name``.
        patterns: Glob patterns of the files wanted.
        one_of: Names of which the first that the repository has is wanted too.
        where: The setting that named the model, for the error.
        offline_mend: What to do where there is no network, for the error.

    Raises:
        ModelError: The repository does not exist or cannot be reached within seconds.
    """
    try:
        from huggingface_hub import HfApi, snapshot_download
        from huggingface_hub.errors import HFValidationError, RepositoryNotFoundError
    except ImportError as error:
        raise MissingExtraError(
            "huggingface_hub is not installed", where=where, mend="pip install 'mmfs[compute]'"
        ) from error
    try:
        # This one question has a time limit; without it, a network that swallows packets would hold us for ever.
        offered = {file.rfilename for file in HfApi().model_info(repo, timeout=_TIMEOUT_S).siblings or ()}
        chosen = [name for name in one_of if name in offered][:1]
        return Path(snapshot_download(repo, allow_patterns=[*patterns, *chosen]))
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise ModelError(
            f"the hub has no public model {repo!r}", where=where, mend=f"check the name; {offline_mend}"
        ) from error
    except Exception as error:
        cause = error.__cause__ or error
        reason = (str(cause).strip().splitlines() or [type(cause).__name__])[0]
        raise ModelError(
            f"the weights of {repo} are not on this machine and cannot be downloaded ({reason})",
            where=where,
            mend=offline_mend,
        ) from error
