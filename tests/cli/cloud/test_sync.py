"""Object storage at the command line; storage in memory stands for buckets."""

import json

from typed import refused, settings


def test_sync_there_and_back(run, bucket, tmp_path, photos):
    code, text = run("sync", photos, "memory://bucket/photos")
    assert (code, "7 files" in text) == (0, True), text
    assert run("sync", "memory://bucket/photos", tmp_path / "back")[0] == 0
    assert (tmp_path / "back/tags.csv").read_text() == (photos / "tags.csv").read_text()
    (photos / "0.png").unlink()
    assert "1 removed" in run("sync", photos, tmp_path / "back", "--delete")[1]
    refused(*run("sync", tmp_path / "none", "memory://bucket"), "there are no files below")


def test_links_that_are_passed_over_are_named(run, bucket, tmp_path, photos):
    (photos / "more").symlink_to(tmp_path)
    assert "1 links and the like were passed over: more." in run("sync", photos, "memory://bucket/photos")[1]


def test_data_by_their_url(run, bucket, tmp_path, photos):
    run("sync", photos, "memory://bucket/photos")
    out = tmp_path / "x"
    code, text = run("begin", "folder-cpu-cam", "--data", "memory://bucket/photos", "--out", out, *settings())
    assert code == 0, text
    assert "memory://bucket/photos: 7 files" in text
    assert json.loads((out / "recipe.json").read_text())["data"].startswith(str(tmp_path / "cache"))
    code, text = run("doctor", "memory://bucket/photos")
    assert (code, "0 files (0.0 MiB) copied, 7 were there" in text) == (0, True), text


def test_runs_are_worked_in_on_this_machine(run):
    refused(*run("run", "toy", "--out", "s3://bucket/run"), "s3:/bucket/run is a place in storage", "tagmask sync")
    refused(*run("resume", "s3://bucket/run"), "s3:/bucket/run is a place in storage", "tagmask sync")


def test_photographs_network_and_masks_by_their_urls(run, bucket, tmp_path, photos, run_copy):
    run("sync", photos, "memory://bucket/photos")
    run("sync", run_copy.folder.path, "memory://bucket/run")
    call = "predict", "memory://bucket/photos", "--model", "memory://bucket/run", "--no-overlays", "--tiles", "none"
    code, text = run(*call, "--out", "memory://bucket/masks")
    assert code == 0, text
    assert run("predict", photos, "--model", run_copy.folder.path, *call[4:], "--out", tmp_path / "here")[0] == 0
    here = {path.name: path.read_bytes() for path in (tmp_path / "here").iterdir()}
    there = {name.removeprefix("/bucket/masks/"): bucket.cat_file(name) for name in bucket.find("/bucket/masks")}
    assert there == here
    assert len(here) == 8


def test_shards_of_masks_meet_at_their_url(run, bucket, tmp_path, photos, tiny_run):
    call = "predict", photos, "--model", tiny_run.folder.path, "--no-overlays", "--tiles", "none", "--out"
    assert run(*call, tmp_path / "here")[0] == 0
    for name in ("2/2", "1/2"):
        code, text = run(*call, "memory://bucket/masks", "--shard", name)
        assert code == 0, text
    here = {path.name: path.read_bytes() for path in (tmp_path / "here").iterdir()}
    there = {name.removeprefix("/bucket/masks/"): bucket.cat_file(name) for name in bucket.find("/bucket/masks")}
    assert {name: content for name, content in there.items() if not name.startswith("shards/")} == here
    assert sum(name.startswith("shards/") for name in there) == 2
