from tagmask.stages.run_folder import RunFolder
from typed import refused


def test_masks_go_out_and_come_back(run, run_copy, tmp_path):
    folder = run_copy.folder.path
    del run_copy
    code, text = run("export-masks", folder, "--to", "coco", "--out", tmp_path / "out", "--segmentation", "polygons")
    assert code == 0, text
    assert f"4 pseudo masks written to {tmp_path / 'out'} for coco" in text
    code, text = run("import-masks", folder, tmp_path / "out", "--from", "coco")
    assert code == 0, text
    assert "4 masks accepted, 0 corrected" in text
    assert len(list(RunFolder(folder).reviews.rglob("*.json"))) == 4
    refused(*run("export-masks", folder, "--to", "voc", "--out", tmp_path / "out"), "is not empty")


def test_formats_and_runs_that_are_none(run, tmp_path):
    refused(*run("export-masks", tmp_path, "--to", "zip", "--out", tmp_path / "out"), "'coco', 'yolo'")
    refused(*run("import-masks", tmp_path, tmp_path, "--from", "voc"), "holds no run")
