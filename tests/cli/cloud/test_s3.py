"""The whole way with a server that speaks S3: photographs in a bucket, a run, its copy there and back, masks."""

from urllib.request import Request, urlopen

import pytest

from shared_runs import TINY
from typed import settings

RUN = [part for setting in TINY if not setting.startswith("data.") for part in ("--set", setting)]


@pytest.fixture
def s3(monkeypatch):
    """A server on this machine with an empty bucket, and storage that speaks to it."""
    from moto.server import ThreadedMotoServer  # noqa: PLC0415 (other tests of the folder do without it)
    from s3fs import S3FileSystem  # noqa: PLC0415

    server = ThreadedMotoServer(port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    urlopen(Request(f"http://{host}:{port}/moto-api/reset", method="POST")).close()
    S3FileSystem.clear_instance_cache()
    system = S3FileSystem()
    system.mkdir("s3://bucket")
    yield system
    S3FileSystem.clear_instance_cache()
    server.stop()


def files_of(folder, without=()):
    found = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in found.items() if name not in without}


@pytest.mark.slow
def test_from_a_bucket_to_a_run_and_masks_in_the_bucket(run, s3, tmp_path, photos):
    assert "7 files" in run("sync", photos, "s3://bucket/photos")[1]
    assert run("sync", photos, "s3://bucket/photos")[1].startswith("0 files")  # their digests are known
    out = tmp_path / "run"
    call = "run", "folder-cpu-cam", "--data", "s3://bucket/photos", "--out", out
    code, text = run(*call, *settings(), *RUN)
    assert code == 0, text

    assert run("sync", out, "s3://bucket/runs/x")[0] == 0
    assert not s3.exists("s3://bucket/runs/x/lock.json")
    assert run("sync", "s3://bucket/runs/x", tmp_path / "back")[0] == 0
    locks = ("lock", "lock.json")
    assert files_of(tmp_path / "back", locks) == files_of(out, locks)
    assert run("sync", out, "s3://bucket/runs/x")[1].startswith("0 files")

    options = "--no-overlays", "--tiles", "none"
    code, text = run(
        "predict", "s3://bucket/photos", "--model", "s3://bucket/runs/x", "--out", "s3://bucket/masks", *options
    )
    assert code == 0, text
    assert run("predict", photos, "--model", out, "--out", tmp_path / "here", *options)[0] == 0
    assert run("sync", "s3://bucket/masks", tmp_path / "there")[0] == 0
    assert files_of(tmp_path / "there") == files_of(tmp_path / "here")
    assert len(files_of(tmp_path / "here")) == 8


@pytest.mark.slow
def test_a_bucket_that_is_not_there(run, s3, tmp_path, photos):
    code, text = run("sync", photos, "s3://none/photos")
    assert (code, "bucket" in text, "Traceback" in text) == (2, True, False), text
