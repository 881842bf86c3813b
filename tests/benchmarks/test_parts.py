from typed import contents

WEIGHTS = ("method.safetensors", "affinity.safetensors", "segmenter.safetensors")


def test_every_part_of_a_run_can_be_done_again_and_leaves_what_was_there(script, run_copy):
    before = contents(run_copy.folder.path)
    subject = script("parts").Subject(run_copy, run_copy.recipe, images=100, validation=10, turns=2, steps=1)
    stages, bare = {}, set()
    for part in script("run_parts").parts(subject):
        stages.setdefault(part.stage, []).append(part.name)
        assert len(part.work(0)) == 2
        if part.bare is not None:
            part.bare(0)
            bare.add((part.stage, part.name))
    assert [*stages] == [
        "begin",
        "train-method",
        "make-maps",
        "train-affinity",
        "make-masks",
        "train-segmenter",
        "predict",
    ]
    assert bare == {
        *((stage, "steps") for stage in ("train-method", "train-affinity", "train-segmenter")),
        *(("make-maps", name) for name in ("maps", "tags of validation images")),
        ("make-masks", "walks, masks, confidence"),
        ("predict", "masks"),
    }
    after = contents(run_copy.folder.path)
    assert before.keys() == after.keys()
    assert all(before[name] == after[name] for name in before if str(name).split("/")[-1] in WEIGHTS)


def test_a_part_counts_as_often_as_the_whole_run_has_it(script, run_copy):
    subject = script("parts").Subject(run_copy, run_copy.recipe, images=100, validation=10, turns=2, steps=1)
    found = {(part.stage, part.name): part.units for part in script("run_parts").parts(subject)}
    assert found["begin", "look at weights and networks"] == 1
    assert found["begin", "read and check images"] == 110
    assert found["train-method", "steps"] == 4
    assert found["make-maps", "maps"] == 110  # those of the validation images too
    assert found["make-maps", "tags of validation images"] == found["predict", "masks"] == 10
    assert found["make-masks", "walks, masks, confidence"] == 100


def test_images_take_turns(script, run_copy):
    subject = script("parts").Subject(run_copy, run_copy.recipe, images=1, validation=1, turns=3, steps=1)
    groups = [subject.group("abcdefgh", turn) for turn in range(4)]
    assert groups == ["adg", "beh", "cf", "adg"]


def test_the_time_of_a_step_is_that_from_losses_to_losses_without_the_first_two(script):
    parts = script("parts")
    times = parts.StepTimes(None)
    times.began = [0.0, 10.0, 11.0, 14.0]
    assert times.seconds_per_step() == 2.0
