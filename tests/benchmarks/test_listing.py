import pytest


@pytest.mark.parametrize("number", [7, 2_001])
def test_photographs_are_laid_out_and_listed(script, tmp_path, number):
    listing = script("listing")
    listing.lay_out(tmp_path, number)
    took, before, peak = listing.listed(tmp_path, number)
    assert took > 0
    assert 0 < before <= peak
