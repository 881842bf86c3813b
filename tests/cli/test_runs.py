"""Whole runs: bad input ends in one message and exit code 2, before anything is written."""

from typed import refused


def test_unknown_recipe(run, tmp_path):
    refused(*run("run", "toi", "--out", tmp_path / "x"), "no recipe 'toi'", "Did you mean 'toy'")


def test_unknown_key_names_the_nearest(run, tmp_path):
    refused(
        *run("run", "toy", "--out", tmp_path / "x", "--set", "training.rat=1"), "training.rat", "did you mean 'rate'"
    )
    assert not (tmp_path / "x").exists()


def test_value_that_does_not_fit(run, tmp_path):
    refused(*run("run", "toy", "--out", tmp_path / "x", "--set", "training.rate=fast"), "training.rate", "'fast'")


def test_setting_without_value(run, tmp_path):
    refused(*run("run", "toy", "--out", tmp_path / "x", "--set", "training.rate"), "key=value")


def test_missing_data_folder(run, tmp_path):
    refused(*run("run", "folder-cpu", "--data", tmp_path / "nowhere", "--out", tmp_path / "x"), "nowhere", "--data")
    assert not (tmp_path / "x").exists()


def test_data_not_named(run, tmp_path):
    refused(*run("run", "folder-cpu", "--out", tmp_path / "x"), "--data")


def test_empty_folder(run, tmp_path):
    (tmp_path / "empty").mkdir()
    refused(*run("run", "folder-cpu", "--data", tmp_path / "empty", "--out", tmp_path / "x"), "empty", "no image files")


def test_column_that_is_not_there(run, tmp_path, photos):
    code, text = run("run", "folder-cpu", "--data", photos, "--out", tmp_path / "x", "--set", "data.image_column=file")
    refused(code, text, "'file'", "image")


def test_all_that_is_wrong_with_the_data_is_told_at_once(run, tmp_path, photos):
    (photos / "5.png").write_bytes(b"not an image")
    table = (photos / "tags.csv").read_text().replace("1.png,cat", "1.png,bird")
    (photos / "tags.csv").write_text(f"{table}\nmissing.png,cat,train\n0.png,dog,train")
    arguments = ("run", "folder-cpu", "--data", photos, "--out", tmp_path / "x")
    code, text = run(*arguments, "--set", "data.classes=[cat, dog, fish]")
    refused(code, text, "5", "missing.png", "0.png", "bird", "fish")
    assert not (tmp_path / "x").exists()


def test_split_that_does_not_exist(run, tmp_path, photos):
    arguments = ("run", "folder-cpu", "--data", photos, "--out", tmp_path / "x")
    refused(*run(*arguments, "--set", "data.train_split=training"), "training", "train")
