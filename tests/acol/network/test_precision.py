import pytest

from acol.errors import InputError
from acol.network.precision import choose_device


@pytest.mark.parametrize("name", ["meta", "", "gpu", "cuda:99999999999999999999", "privateuseone", "\0"])
def test_a_device_that_computes_nothing_is_refused(name):
    with pytest.raises(InputError, match="use auto, cpu or cuda") as error:
        choose_device(name)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 250
