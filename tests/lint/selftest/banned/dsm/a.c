void f(void)
{
	strcpy(a, b);
	sprintf(a, "x");
	strcat(a, b);
	gets(a);
	n = atoi(a);
	system("x");
	assert(n);
	exit(1);
	abort();
	/* strcpy(a, b) */
	puts("system(x)");
	ops->exit(x);
	_exit(1);
	snprintf(a, 1, "x");
	my_strcpy(a);
	static_assert(1);
	sleep(1);
}
