"""The share of a backend that has come back."""

from rtspdsr.core.slowstart import SHARES, SlowStart


def test_a_share_grows_in_few_steps_to_the_whole() -> None:
    slow = SlowStart()
    slow.begin(1, 40.0, 100.0)
    shares = [slow.share(1, 100.0 + second) for second in range(50)]
    assert shares == sorted(shares)
    assert list(dict.fromkeys(shares)) == [*SHARES, 1.0]
    assert shares[0] == 0.1
    assert shares[39] < 1.0
    assert shares[40] == 1.0


def test_others_and_those_that_need_no_slow_start_have_their_whole_share() -> None:
    slow = SlowStart()
    slow.begin(1, 0.0, 100.0)
    assert slow.share(1, 100.0) == slow.share(2, 100.0) == 1.0


def test_one_that_goes_again_begins_anew_when_it_returns() -> None:
    slow = SlowStart()
    slow.begin(1, 40.0, 100.0)
    slow.forget(1)
    slow.begin(1, 40.0, 130.0)
    assert slow.share(1, 131.0) == SHARES[0]
