exit(1);
abort();
assert(1);
