from bench.peers.phones import Block, keep_quietest


def test_the_blocks_in_which_the_host_took_least_are_kept() -> None:
    quiet, loud, quietest = Block([0.1] * 40, 0.4), Block([0.9] * 40, 7.0), Block([0.2] * 40, 0.0)
    assert keep_quietest([quiet, loud, quietest], 80) == [quietest, quiet]
    # Fewer messages than wanted are better than none.
    assert keep_quietest([loud, quiet], 200) == [quiet, loud]
