"""What a finished run is for."""

from typed import refused


def test_predict_without_a_model_or_images(run, tmp_path, photos):
    refused(*run("predict", photos, "--model", tmp_path / "no", "--out", tmp_path / "out"), "no trained segmenter")
    refused(*run("predict", tmp_path / "no", "--model", tmp_path, "--out", tmp_path / "out"), "no such image or folder")


def test_predict_with_tiles_that_cannot_be(run, tmp_path, photos, tiny_run):
    call = ("predict", photos, "--model", tiny_run.folder.path, "--out", tmp_path / "out", "--tiles", "500")
    refused(*run(*call), "tiles must be auto, none, or a side", "got 500; take 512")


def test_shards_that_cannot_be(run, tmp_path, photos):
    call = "predict", photos, "--model", tmp_path, "--shard"
    refused(*run(*call, "0/2", "--out", tmp_path / "out"), "shards are counted from 1")
    refused(*run(*call, "auto", "--out", "s3://bucket/masks"), "in a folder that all calls see", "take I/N")
    refused(*run(*call, "1/2", "--out", tmp_path / "out", "--format", "voc-submission"), "--shard makes masks")


def test_shards_of_a_real_network_make_what_one_call_makes(run, tmp_path, photos, tiny_run):
    call = "predict", photos, "--model", tiny_run.folder.path, "--tiles", "none", "--out"
    assert run(*call, tmp_path / "one")[0] == 0
    code, text = run(*call, tmp_path / "out", "--shard", "2/2")
    assert (code, "3 of 6 photographs have no mask yet" in text) == (0, True), text
    assert run(*call, tmp_path / "out", "--shard", "1/2")[0] == 0
    made = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir() if path.is_file()}
    assert {name: made[name] for name in made if name != "lock"} == {
        path.name: path.read_bytes() for path in (tmp_path / "one").iterdir()
    }
