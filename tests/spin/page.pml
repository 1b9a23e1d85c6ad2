/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The coherence protocol of one page among N slices, home at slice 0. It models dsm/core_cache.c
 * (cache.def), dsm/core_home.c (home.def) and the revocation of dsm/core_revoke.c: an UNMAP that
 * takes time, during which the page is still read. Data are the number of the last write.
 *
 * Order is kept per pair of slices and class; messages from home to the home's own cache are
 * handled at once, as core.c drains its ring. Messages that are not here:
 * NOT-MODELLED HURRY NUDGE (ages: hold.pml) DROP_ACK (flow control) REDIRECT (no home moves).
 *
 * Everything a slice may do is bounded by OPS operations each (read, write, give back), chosen
 * freely. Verified: what is read is what was written last; one writer or many readers; the owner
 * has the page; no message comes in a state that has no row for it; nothing is left waiting.
 *
 *   spin -a page.pml && gcc -O2 -DSAFETY -DCOLLAPSE -o pan pan.c && ./pan -m100000
 *   with a planted bug: spin -DBUG1 -a page.pml ...; numbers as below; each must fail
 *     1 skipped-invalidation  2 early-grant       3 lost-ack    4 stale-data
 *     5 upgrade-dropped       6 forward-evicted   7 early-ack   10 migrate-as-read
 *
 * Slices ask for the page freely, so requests that nobody waits for (policy.ahead) are among them.
 * -DNO_MIGRATE: reads only get copies (option policy.migrate=off), which are fewer states.
 *
 * Cost: see tests/spin/README.md.
 */
#ifndef N
#define N 3
#endif
#ifndef OPS
#define OPS 2
#endif
#define CAP 4

mtype = {
	/* cache.def */
	I, S, O, E, M, IS_D, IM_AD, SM_AD, OM_AD, MI_A, OI_A, II_A,
	/* home.def */
	IDLE, BUSY_S, BUSY_M, BUSY_O, BUSY_P,
	/* wire_page.def */
	GETS, GETM, PUT, DROP, FWD_GETS, FWD_GETM, INV, OWN, DATA, INV_ACK, DONE, PUT_ACK, OWN_ACK,
	/* neither */
	NONE, EVICT
};

/* {type, who, version, data, acks, flag}: flag: GETM upgrade, DATA unchanged, OWN_ACK yes */
/* slice -> home */
chan req[N] = [CAP] of { mtype, byte, bit };
/* home -> slice: requester, version, acks */
chan fwd[N] = [CAP] of { mtype, byte, byte, byte };
/* to * N + from: version, data, acks, unchanged, exclusive */
chan rsp[N * N] = [CAP] of { mtype, byte, byte, byte, bit, bit };
/* slice -> home: DONE, OWN_ACK */
chan hrs[N] = [CAP] of { mtype, bit };

/* caches */
mtype st[N] = I;
byte data[N], ver[N], acks_got[N], acks_need[N], new_ver[N], ops[N];
bool got[N], was_copy[N];
mtype rev[N] = NONE; /* revocation begun: what for */
byte rev_to[N], rev_acks[N];

/* home */
mtype hs = IDLE;
byte owner, hver, cand;
bool copy[N];
chan fifo = [8] of { mtype, byte, bit, byte };
mtype sv_kind = NONE; /* in service */
byte sv_from, sv_ver;
bit sv_up;
bool pull, put_behind;
byte put_from;

byte latest; /* the last write */

#define RSP(to, from) rsp[(to) * N + (from)]
#define READS(i) \
	(st[i] == S || st[i] == O || st[i] == E || st[i] == M || st[i] == SM_AD || st[i] == OM_AD)
#define OWNS(i) \
	(st[i] == O || st[i] == E || st[i] == M || st[i] == OM_AD || st[i] == MI_A || st[i] == OI_A)
#define ALONE_IN(i) (st[i] == E || st[i] == M)
#define LOOP (len(req[0]) + len(fwd[0]) + len(RSP(0, 0)) + len(hrs[0]) + pull > 0)
/* Does the owner have the only copy? */
#if N > 2
#define ALONE (copy[0] + copy[1] + copy[2] == 1)
#else
#define ALONE (copy[0] + copy[1] == 1)
#endif
/* May slice i take in something from outside? */
#define FREE(i) (i != 0 || !LOOP)

hidden byte chk_a, chk_b, inv_j;
hidden byte inv_left;

inline check()
{
	chk_a = 0;
	do
	:: chk_a < N ->
		assert(!READS(chk_a) || data[chk_a] == latest);
		chk_b = 0;
		do
		:: chk_b < N ->
			assert(chk_a == chk_b || !(ALONE_IN(chk_a) && READS(chk_b)));
			chk_b++
		:: else -> break
		od;
		chk_a++
	:: else -> break
	od;
	assert(hs != IDLE || OWNS(owner))
}

/* ---- cache ---- */

inline finish_write(i)
{
	if
	:: got[i] && (acks_got[i] == acks_need[i]
#ifdef BUG2
		|| true
#endif
		) ->
		st[i] = M;
		ver[i] = new_ver[i];
		got[i] = false;
		latest++;
		data[i] = latest;
		hrs[i]!DONE, 0
	:: else
	fi
}

inline lose(i)
{
	was_copy[i] = (st[i] == SM_AD || st[i] == OM_AD);
	if
	:: st[i] == SM_AD || st[i] == OM_AD -> st[i] = IM_AD
	:: st[i] == MI_A || st[i] == OI_A -> st[i] = II_A
	:: else -> st[i] = I
	fi
}

/* The revocation is over: GAVE_S, GAVE_M, GAVE_INV, GAVE_EVICT. */
inline gave(i)
{
	if
	:: rev[i] == FWD_GETS ->
		RSP(rev_to[i], i)!DATA, ver[i], data[i], 0, 0, 0;
		if
		:: ALONE_IN(i) -> st[i] = O
		:: st[i] == MI_A -> st[i] = OI_A
		:: else
		fi
	:: rev[i] == FWD_GETM ->
		RSP(rev_to[i], i)!DATA, ver[i] + 1, data[i], rev_acks[i], 0, 1;
		lose(i)
	:: rev[i] == INV ->
#ifndef BUG7
		RSP(rev_to[i], i)!INV_ACK, 0, 0, 0, 0, 0;
#endif
		lose(i)
	:: rev[i] == EVICT && st[i] == S -> st[i] = I; req[i]!DROP, ver[i], 0
	:: rev[i] == EVICT && st[i] == O -> st[i] = OI_A; req[i]!PUT, ver[i], 0
	:: rev[i] == EVICT && ALONE_IN(i) -> st[i] = MI_A; req[i]!PUT, ver[i], 0
	fi;
	rev[i] = NONE
}

inline begin_revoke(i, kind, to, acks)
{
	assert(rev[i] == NONE || rev[i] == EVICT);
	rev[i] = kind;
	rev_to[i] = to;
	rev_acks[i] = acks
}

inline on_forward(i, type, who, v, acks)
{
	if
	:: type == FWD_GETS ->
		assert(OWNS(i) && v == ver[i]);
		begin_revoke(i, FWD_GETS, who, 0)
	:: type == FWD_GETM ->
		assert(OWNS(i) && v == ver[i]);
		begin_revoke(i, FWD_GETM, who, acks)
	:: type == INV && (st[i] == I || st[i] == IS_D || st[i] == IM_AD) ->
		RSP(who, i)!INV_ACK, 0, 0, 0, 0, 0
	:: type == INV && (st[i] == S || st[i] == O || st[i] == SM_AD || st[i] == OM_AD ||
		st[i] == OI_A) ->
		assert(v == ver[i]);
#ifdef BUG3
		if
		:: st[i] == S -> lose(i) /* and no INV_ACK */
		:: else -> begin_revoke(i, INV, who, 0)
		fi
#else
#ifdef BUG7
		RSP(who, i)!INV_ACK, 0, 0, 0, 0, 0;
#endif
		begin_revoke(i, INV, who, 0)
#endif
	:: type == OWN && (st[i] == S || st[i] == SM_AD) ->
		assert(v == ver[i]);
		st[i] = (st[i] == S -> O : OM_AD);
		hrs[i]!OWN_ACK, 1
	:: type == OWN && (st[i] == I || st[i] == IS_D || st[i] == IM_AD) ->
		hrs[i]!OWN_ACK, 0
	:: else -> assert(false)
	fi
}

inline on_response(i, type, v, d, acks, unchanged, excl)
{
	if
	:: type == DATA && st[i] == IS_D ->
		assert(!unchanged && acks == 0 && rev[i] == NONE);
		st[i] = (excl -> E : S);
		ver[i] = v;
		data[i] = d;
		hrs[i]!DONE, 0
	:: type == DATA && (st[i] == IM_AD || st[i] == SM_AD || st[i] == OM_AD) ->
#ifndef BUG5
		assert(unchanged == (st[i] != IM_AD));
#endif
		assert(excl && !got[i] && rev[i] == NONE);
		got[i] = true;
		new_ver[i] = v;
		acks_need[i] = acks;
		if
		:: unchanged
#ifdef BUG4
		:: !unchanged && was_copy[i]
#endif
		:: !unchanged -> data[i] = d
		fi;
#if defined(BUG4) || defined(BUG5)
		assert(data[i] == latest);
#endif
		finish_write(i)
	:: type == INV_ACK && (st[i] == IM_AD || st[i] == SM_AD || st[i] == OM_AD) ->
		acks_got[i]++;
		finish_write(i)
	:: type == PUT_ACK && (st[i] == OI_A || st[i] == II_A) ->
		assert(rev[i] == NONE);
		st[i] = I
	:: else -> assert(false)
	fi
}

inline ask_write(i, upgrade)
{
	acks_got[i] = 0;
	acks_need[i] = 0;
	was_copy[i] = false;
	req[i]!GETM, ver[i], upgrade
}

#define GOT_FROM(j) RSP(i, j)?t, v, d, a, f, x; on_response(i, t, v, d, a, f, x)

/* Locals do not outlive a step: they would only multiply the states. */
inline forget()
{
	t = NONE;
	who = 0;
	v = 0;
	d = 0;
	a = 0;
	f = 0;
	x = 0;
	check()
}

proctype cache(byte i)
{
	mtype t;
	byte who, v, d, a;
	bit f, x;

end:	do
	/* what this slice wants */
	:: atomic { ops[i] < OPS && FREE(i) && st[i] == I ->
		ops[i]++; st[i] = IS_D; req[i]!GETS, 0, 0; check() }
	:: atomic { ops[i] < OPS && FREE(i) && rev[i] == NONE &&
		(st[i] == I || st[i] == S || st[i] == O) ->
		ops[i]++;
		if
		:: st[i] == I -> st[i] = IM_AD; ask_write(i, 0)
		:: st[i] == S -> st[i] = SM_AD; ask_write(i, 1)
		:: st[i] == O -> st[i] = OM_AD; ask_write(i, 1)
		fi; check() }
	:: atomic { ops[i] < OPS && FREE(i) && rev[i] == NONE && st[i] == E ->
		ops[i]++; st[i] = M; latest++; data[i] = latest; check() }
	:: atomic { ops[i] < OPS && i != 0 && rev[i] == NONE &&
		(st[i] == S || st[i] == O || st[i] == E || st[i] == M) ->
		ops[i]++; rev[i] = EVICT }
	/* the run-time has unmapped */
	:: atomic { rev[i] != NONE && FREE(i) -> gave(i); check() }
	/* messages */
	:: atomic { i == 0 && pull ->
		pull = false; assert(st[0] == I); st[0] = IM_AD; ask_write(0, 0) }
	:: atomic { (i == 0 || FREE(i)) && len(fwd[i]) > 0 ->
		fwd[i]?t, who, v, a; on_forward(i, t, who, v, a); forget() }
	:: atomic { i == 0 && len(RSP(0, 0)) > 0 -> GOT_FROM(0); forget() }
	:: atomic { FREE(i) && i != 0 && len(RSP(i, 0)) > 0 -> GOT_FROM(0); forget() }
	:: atomic { FREE(i) && len(RSP(i, 1)) > 0 -> GOT_FROM(1); forget() }
#if N > 2
	:: atomic { FREE(i) && len(RSP(i, 2)) > 0 -> GOT_FROM(2); forget() }
#endif
	od
}

/* ---- home ---- */

/* INV to all holders but the requester and `but`; their number in n. */
inline invalidate(but, n)
{
#ifdef BUG1
	inv_left = 0;
#endif
	n = 0;
	inv_j = 0;
	do
	:: inv_j < N ->
		if
		:: copy[inv_j] && inv_j != sv_from && inv_j != but ->
#ifdef BUG1
			if
			:: inv_left == 0 -> inv_left = 1
			:: else -> fwd[inv_j]!INV, sv_from, hver, 0; n++
			fi
#else
			fwd[inv_j]!INV, sv_from, hver, 0;
			n++
#endif
		:: else
		fi;
		inv_j++
	:: else -> break
	od;
	inv_j = 0
}

/* The put in service: ask another holder, or fetch. */
inline pass_on(k)
{
	k = N;
	if
	:: copy[0] && sv_from != 0 -> k = 0
	:: else ->
		k = 1;
		do
		:: k < N && (!copy[k] || k == sv_from) -> k++
		:: else -> break
		od
	fi;
	if
	:: k < N -> cand = k; hs = BUSY_O; fwd[k]!OWN, 0, hver, 0
	:: else ->
		put_behind = true;
		put_from = sv_from;
		if
		:: fifo??[GETM, 0, _, _] ->
			fifo??GETM, 0, sv_up, sv_ver; sv_kind = GETM; sv_from = 0; hs = IDLE
		:: fifo??[GETS, 0, _, _] ->
			fifo??GETS, 0, sv_up, sv_ver; sv_kind = GETS; sv_from = 0; hs = IDLE
		:: else -> hs = BUSY_P; pull = true
		fi
	fi;
	k = 0
}

inline next()
{
	hs = IDLE;
	sv_kind = NONE;
	if
	:: put_behind -> put_behind = false; sv_kind = PUT; sv_from = put_from
	:: !put_behind && len(fifo) > 0 -> fifo?sv_kind, sv_from, sv_up, sv_ver
	:: else
	fi
}

/* Serve what is in service until something has to be awaited. */
inline serve(n)
{
	do
	:: hs != IDLE || sv_kind == NONE -> break
	:: hs == IDLE && sv_kind == GETS ->
		assert(!copy[sv_from]);
		if
		:: hs = BUSY_S; fwd[owner]!FWD_GETS, sv_from, hver, 0
		/* Which are migratory is policy: any may be that nobody else has a copy of. */
#ifndef NO_MIGRATE
		:: ALONE ->
#ifdef BUG10
			hs = BUSY_S;
#else
			hs = BUSY_M;
#endif
			fwd[owner]!FWD_GETM, sv_from, hver, 0
#endif
		fi
	:: hs == IDLE && sv_kind == GETM ->
		assert(!copy[sv_from] || (sv_up && sv_ver == hver));
		hs = BUSY_M;
		if
		:: (copy[sv_from]
#ifdef BUG5
			|| sv_up
#endif
			) ->
			invalidate(N, n);
			RSP(sv_from, 0)!DATA, hver + 1, 0, n, 1, 1
		:: else ->
			invalidate(owner, n);
			fwd[owner]!FWD_GETM, sv_from, hver, n
		fi
	:: hs == IDLE && sv_kind == PUT ->
		if
		:: owner == sv_from -> pass_on(n)
		:: else -> assert(!copy[sv_from]); RSP(sv_from, 0)!PUT_ACK, 0, 0, 0, 0, 0; next()
		fi
	:: hs == IDLE && sv_kind == DROP ->
		assert(owner != sv_from);
		copy[sv_from] = false;
		next()
	od;
	n = 0
}

inline on_request(i, t, v, up, n)
{
	if
	:: hs == BUSY_P ->
		assert(i == 0 && t == GETM);
		sv_kind = GETM; sv_from = 0; sv_up = up; sv_ver = v; hs = IDLE
	:: hs == IDLE -> sv_kind = t; sv_from = i; sv_up = up; sv_ver = v
	:: else -> fifo!t, i, up, v
	fi;
	serve(n)
}

inline on_answer(i, t, yes, n)
{
	if
	:: t == DONE && hs == BUSY_S ->
		assert(i == sv_from);
		copy[i] = true
	:: t == DONE && hs == BUSY_M ->
		assert(i == sv_from);
		owner = i;
		hver++;
		inv_j = 0;
		do
		:: inv_j < N -> copy[inv_j] = (inv_j == i); inv_j++
		:: else -> break
		od;
		inv_j = 0
	:: t == OWN_ACK && hs == BUSY_O && yes ->
		assert(i == cand);
#ifndef BUG6
		owner = i;
		copy[sv_from] = false;
#endif
		RSP(sv_from, 0)!PUT_ACK, 0, 0, 0, 0, 0
	:: t == OWN_ACK && hs == BUSY_O && !yes ->
		assert(i == cand);
		copy[i] = false
	:: else -> assert(false)
	fi;
	if
	:: t == OWN_ACK && !yes -> hs = IDLE /* the put is still in service */
	:: else -> next()
	fi;
	serve(n)
}

#define REQ_FROM(j) req[j]?t, v, f; on_request(j, t, v, f, n); t = NONE; v = 0; f = 0; check()
#define HRS_FROM(j) hrs[j]?t, f; on_answer(j, t, f, n); t = NONE; f = 0; check()

proctype home()
{
	mtype t;
	byte v, n;
	bit f;

end:	do
	:: atomic { len(req[0]) > 0 -> REQ_FROM(0) }
	:: atomic { len(hrs[0]) > 0 -> HRS_FROM(0) }
	:: atomic { !LOOP && len(req[1]) > 0 -> REQ_FROM(1) }
	:: atomic { !LOOP && len(hrs[1]) > 0 -> HRS_FROM(1) }
#if N > 2
	:: atomic { !LOOP && len(req[2]) > 0 -> REQ_FROM(2) }
	:: atomic { !LOOP && len(hrs[2]) > 0 -> HRS_FROM(2) }
#endif
	od
}

/* Nothing can happen any more: nothing may be waiting. */
active proctype watch()
{
	byte i;

	atomic { copy[0] = true; st[0] = M; run home(); run cache(0); run cache(1)
#if N > 2
	; run cache(2)
#endif
	}
	atomic {
		timeout ->
		assert(hs == IDLE && sv_kind == NONE && empty(fifo));
		do
		:: i < N ->
			assert(st[i] == I || st[i] == S || st[i] == O || st[i] == E || st[i] == M);
			i++
		:: else -> break
		od
	}
}
