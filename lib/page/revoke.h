/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Taking the keys of a keyring away while other threads seal and unseal, bringing them back, and
 * exchanging them for those of other epochs (envol_keyring_adopt).
 *
 * Who uses keys holds them: a word of the caller's own says that it is inside, then it looks at the
 * count of revocations.  Who takes them away raises the count, then looks at the words, and wipes
 * when nobody is inside.  All four are sequentially consistent, so one of the two sees the other;
 * no lock, and no system call, is on the way of a page.
 *
 * An exchange puts a mark in the place of the count that is valid here; callers that find it wait.
 * Nothing of it reaches forked children: their copies are theirs.
 *
 * The count lies in memory that forked children share (ENVOL_OPEN_INHERIT).  Their own copies of
 * the keys they wipe themselves, at the next call.  Keys that come back come to one process.
 */
#ifndef ENVOL_PAGE_REVOKE_H
#define ENVOL_PAGE_REVOKE_H

#include "page/keyring.h"

/* False: out of memory.  Called once for a new keyring. */
bool envol_revocation_init(struct envol_keyring *keyring);
void envol_revocation_end(struct envol_keyring *keyring);

/*
 * Holds the keyring's keys for a call: none of them is wiped before the release.  tenant is the
 * caller's lane's, NULL without one.  ENVOL_E_KEY_REVOKED, and what envol_keyring_usable says;
 * nothing is held then.  Holds by one thread do not nest: an exchange of keys would wait for the
 * outer one, and the inner one for the exchange.
 */
enum envol_status envol_keyring_hold(const struct envol_keyring *keyring,
                                     struct envol_tenant *tenant);
void envol_keyring_release(const struct envol_keyring *keyring, struct envol_tenant *tenant);
/* What hold would say, for those who can stop early. */
enum envol_status envol_keyring_check(const struct envol_keyring *keyring);

/* Arena memory of a lane, object or run, to be wiped with the keyring's keys.  Takes a lock. */
void envol_tenant_add(const struct envol_keyring *keyring, struct envol_tenant *tenant);
void envol_tenant_remove(struct envol_tenant *tenant);

/* Takes the keys away: calls end with ENVOL_E_KEY_REVOKED from here on.  Returns when those that
 * were inside have left and everything is wiped.  Not in a forked child. */
void envol_keyring_revoke(struct envol_keyring *keyring);
/*
 * Brings them back from another keyring of the same volume, which keeps its own.  Does nothing
 * where they were not taken away.  ENVOL_E_STALE: from lacks an epoch; ENVOL_E_NO_MEMORY: the
 * kernel failed; they stay away then.
 */
enum envol_status envol_keyring_restore(struct envol_keyring *keyring,
                                        const struct envol_keyring *from);

#endif
