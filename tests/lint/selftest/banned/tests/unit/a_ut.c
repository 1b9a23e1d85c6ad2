sleep(1);
usleep (1);
nanosleep(&t, 0);
exit(1);
