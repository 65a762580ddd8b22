"""The reference engines that come with ionloop, one file or two each."""
