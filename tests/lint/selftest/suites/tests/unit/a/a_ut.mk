a_SOURCES = \
	tests/unit/a/good_ut.c
