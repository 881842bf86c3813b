from tagmask.config.choice import Choice


def test_a_choice_is_a_line_with_its_reason_and_a_setting():
    choice = Choice("data.tags", None, "there is no table.")
    assert str(choice) == "data.tags = null: there is no table."
    assert choice.change == "data.tags=null"
