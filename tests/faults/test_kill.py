from tests.faults.kill import run


def test_a_training_killed_anywhere_ends_in_the_same_bits():
    tally = run(rounds=25, seed=1)
    assert tally.lost == []
    assert tally.kills.total() == 25
    assert min(tally.kills["inside saving"], tally.kills["elsewhere"]) >= 5
    assert tally.finished >= 5
