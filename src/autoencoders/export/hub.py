"""Exports on Hugging Face's hub. Needs the extra `hub`."""

from pathlib import Path
from typing import Any

from autoencoders.errors import InputError, how_to_install
from autoencoders.export.loading import load_export, read_config
from autoencoders.models import AutoEncoder


def from_pretrained(name: str | Path, **options: Any) -> AutoEncoder:
    """The model of an export in a folder, which is read offline, or on the hub.

    Args:
        name: the folder, or a repository such as user/model.
        options: of `huggingface_hub.snapshot_download`, such as revision, token, cache_dir or
            local_files_only.

    Raises:
        InputError: see `load_export`; or huggingface_hub is not installed.
    """
    if Path(name).is_dir():
        return load_export(Path(name))
    return load_export(Path(_hub().snapshot_download(str(name), **options)))


def push_to_hub(
    folder: str | Path, name: str, *, private: bool | None = None, token: str | None = None
) -> str:
    """Upload an export as it is, into a repository that is made if it is not there.

    Args:
        folder: the export's.
        name: the repository, such as user/model.
        private: whether others cannot see a new one.
        token: by default that of `hf auth login`.

    Returns:
        The address of the commit.

    Raises:
        InputError: no export there; or huggingface_hub is not installed.
    """
    config, api = read_config(Path(folder)), _hub().HfApi(token=token)
    repository = api.create_repo(name, private=private, exist_ok=True).repo_id
    message = f"Upload {config.target.rpartition('.')[2]}"
    return str(api.upload_folder(repo_id=repository, folder_path=folder, commit_message=message))


def _hub() -> Any:
    try:
        import huggingface_hub
    except ModuleNotFoundError as error:
        needs = how_to_install("hub")
        raise InputError(f"the hub needs the package huggingface_hub: {needs}") from error
    return huggingface_hub
