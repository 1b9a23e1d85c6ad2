/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The progress rule: dsm/core_revoke.c (slot_keeps) and the part of dsm/core_home.c that tells
 * holders how old the oldest waiting request is (oldest, nudge: NUDGE). V vCPUs, each on a slice
 * of its own, each with an instruction that writes two of P pages, in an order it chooses; a
 * page is at one slice at a time and its home serves requests in the order they come. A vCPU
 * keeps its pages while its instruction waits for the next one, unless whoever waits is older.
 * Age is the number of the vCPU, which any order of arrival may contradict.
 *
 * Verified: whatever happens, all instructions retire.
 *
 *   spin -a hold.pml && gcc -O2 -DSAFETY -o pan pan.c && ./pan
 *     BUG8  hold-cycle: pages are kept whatever the age
 *     BUG9  no NUDGE: only the request in service counts, not those who wait behind it
 *
 * Cost: seconds.
 */
#define V 3
#define P 3
#define NOBODY 255

byte at[P] = NOBODY;	/* who has the page */
byte serving[P] = NOBODY;
chan fifo[P] = [V] of { byte };
bool waits[V], holds[V * P];
byte retired;

#define HOLDS(v, p) holds[(v) * P + (p)]

/* Is one of those who wait for page p, the one in service included, older than its holder? */
#ifdef BUG9
#define OLDER(p) (serving[p] < at[p])
#else
#define OLDER(p) (serving[p] < at[p] || (at[p] > 0 && fifo[p]??[0]) || (at[p] > 1 && fifo[p]??[1]))
#endif

proctype home(byte p)
{
end:	do
	:: atomic { serving[p] == NOBODY && nempty(fifo[p]) -> fifo[p]?serving[p] }
	/* nobody keeps it */
	:: atomic { serving[p] != NOBODY && (at[p] == NOBODY || !HOLDS(at[p], p)) ->
		at[p] = serving[p];
		serving[p] = NOBODY;
		HOLDS(at[p], p) = true;
		waits[at[p]] = false }
#ifndef BUG8
	/* it is kept by one who waits himself: the older wins */
	:: atomic { serving[p] != NOBODY && at[p] != NOBODY && HOLDS(at[p], p) && waits[at[p]] &&
		OLDER(p) -> HOLDS(at[p], p) = false }
#endif
	od
}

proctype vcpu(byte v)
{
	byte a, b;

	atomic {
		if :: a = 0 :: a = 1 :: a = 2 fi;
		if :: b = 0 :: b = 1 :: b = 2 fi
	}
	do
	:: atomic { !waits[v] && !HOLDS(v, a) -> waits[v] = true; fifo[a]!v }
	:: atomic { !waits[v] && HOLDS(v, a) && !HOLDS(v, b) -> waits[v] = true; fifo[b]!v }
	:: atomic { !waits[v] && HOLDS(v, a) && HOLDS(v, b) -> /* retires */
		HOLDS(v, a) = false;
		HOLDS(v, b) = false;
		retired++;
		break }
	od
}

active proctype watch()
{
	atomic { run home(0); run home(1); run home(2); run vcpu(0); run vcpu(1); run vcpu(2) }
	timeout;
	assert(retired == V)
}
