import published_trees as published
from typed import refused


def test_voc_from_the_command_line(run, tmp_path):
    voc, sbd = published.voc(tmp_path / "in"), published.sbd(tmp_path / "in")
    call = ("prepare-voc", voc, "--sbd", sbd, "--out", tmp_path / "out")
    refused(*run(*call), "published 1464")
    code, text = run(*call, "--counts", "any")
    assert code == 0, text
    assert f"written: {tmp_path / 'out'} can be given as --data (12 train, 12 val, 48 train_aug, 60 masks)" in text
    assert "nothing to do" in run(*call, "--counts", "any")[1]


def test_coco_from_the_command_line(run, tmp_path):
    published.coco(tmp_path, 2017)
    refused(*run("prepare-coco", tmp_path), "no train2014/ or train2014.zip")
    refused(*run("prepare-coco", tmp_path, "--year", "2017"), "published 118287")
    code, text = run("prepare-coco", tmp_path, "--year", "2017", "--counts", "any")
    assert code == 0, text
    assert "No class masks are written" in text
    assert f"nothing to do: {tmp_path} can be given as --data" in text
