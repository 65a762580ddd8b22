from ionloop.store.identifiers import derive_seed, identifier


def test_identifiers_and_seeds_depend_on_every_part():
    assert identifier("label", "a", "b") == identifier("label", "a", "b")
    assert len({identifier("label", "a", "b"), identifier("label", "ab"), identifier("label", "b", "a")}) == 3
    assert len({derive_seed(1, "sample", g, r) for g in range(10) for r in range(10)}) == 100
    assert all(0 <= derive_seed(seed, "x") < 2**32 for seed in range(100))
