"""What a finished run is for."""

from typed import refused


def test_predict_without_a_model_or_images(run, tmp_path, photos):
    refused(*run("predict", photos, "--model", tmp_path / "no", "--out", tmp_path / "out"), "no trained segmenter")
    refused(*run("predict", tmp_path / "no", "--model", tmp_path, "--out", tmp_path / "out"), "no such image or folder")


def test_predict_with_tiles_that_cannot_be(run, tmp_path, photos, tiny_run):
    call = ("predict", photos, "--model", tiny_run.folder.path, "--out", tmp_path / "out", "--tiles", "500")
    refused(*run(*call), "tiles must be auto, none, or a side", "got 500; take 512")
