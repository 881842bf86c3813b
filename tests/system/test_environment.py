from tagmask.system.environment import environment, peak_memory


def test_environments_name_what_results_depend_on():
    facts = environment()
    for name in ("tagmask", "torch", "timm", "numpy"):
        assert f"{name} " in facts["versions"]
    assert facts["commit"]
    assert all(isinstance(value, str) for value in facts.values())


def test_memory_is_counted_in_mebibytes():
    before = peak_memory()
    held = bytearray(64 * 2**20)
    assert held[-1] == 0
    assert 10 < before <= peak_memory() < 10**6
