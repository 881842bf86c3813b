"""A bundle put on the Hugging Face Hub."""

import tempfile
from pathlib import Path

from tagmask.errors import TagmaskError, first_line
from tagmask.export.product import export_run
from tagmask.inference.exported import settings_file
from tagmask.inference.hub import FETCHED, SCHEME, failures, parts_of


def push(model: Path, name: str, private: bool = False, data: Path | None = None) -> str:
    """Put the bundle of a run, or one that was exported before, into a repository of the Hub.

    Who may write there is settled by `hf auth login` or the variable ``HF_TOKEN``.

    Args:
        model: a run folder, of which a bundle is made and checked, or the folder of one.
        name: of the repository, ``USER/NAME``; it is made if it is not there.
        private: whether a new repository can be seen by its owner alone.
        data: where the run's data lie now; None: where they lay.

    Returns:
        The address with the commit, under which ``tagmask.load`` finds exactly this.

    Raises:
        TagmaskError: the name is none, the run cannot be exported, or the Hub refuses.
    """
    name, revision = parts_of(f"{SCHEME}{name}")
    if revision is not None:
        raise TagmaskError(f"{name}@{revision}: a push makes a revision and takes none; leave out @{revision}")
    if settings_file(model) is not None:
        return _uploaded(model, name, private)
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(folder) / "bundle"
        export_run(model, bundle, "bundle", data=data)
        return _uploaded(bundle, name, private)


def _uploaded(bundle: Path, name: str, private: bool) -> str:
    from huggingface_hub import HfApi  # noqa: PLC0415 (slow to import, and rarely needed)
    from huggingface_hub.errors import HfHubHTTPError  # noqa: PLC0415

    missing = [each for each in FETCHED if not (bundle / each).is_file()]
    if missing:
        raise TagmaskError(f"{bundle} has no {', '.join(missing)}; the Hub takes bundles: tagmask export --to bundle")
    try:
        hub = HfApi()
        hub.create_repo(name, private=private, exist_ok=True)
        done = hub.upload_folder(
            repo_id=name, folder_path=bundle, allow_patterns=list(FETCHED), commit_message="A bundle of tagmask"
        )
    except HfHubHTTPError as error:
        told = f"{name}: the Hub refuses: {first_line(error)}; `hf auth login` tells it who you are"
        raise TagmaskError(told) from error
    except failures() as error:
        raise TagmaskError(f"{name}: the Hub cannot be reached: {first_line(error)}; nothing was pushed") from error
    return f"{SCHEME}{name}@{done.oid}"
