"""A trained network handed to others."""

from exports import written_run
from typed import refused


def test_export_and_predict(run, tmp_path, photos):
    trained = written_run(tmp_path / "run")
    code, text = run("export", trained, "--out", tmp_path / "out")
    assert code == 0, text
    assert "largest difference of a logit 0.0e+00, 100.000 % of pixels have the same class" in " ".join(text.split())
    code, text = run("predict", photos, "--model", tmp_path / "out", "--out", tmp_path / "masks")
    assert code == 0, text
    assert len(list((tmp_path / "masks").glob("*.png.png"))) == 6


def test_export_of_wrong_words(run, tmp_path):
    words = "export", tmp_path, "--out", tmp_path / "out"
    refused(*run(*words, "--to", "tflite"), "'tflite'", "'torch-export'")
    refused(*run(*words, "--int8", "yes"), "'yes'", "'static'")
    refused(*run(*words), "no trained segmenter")
