// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "policy/limit.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/random.h>

/* By default uthash ends the process when there is no memory. */
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

#define SHARDS     64
#define SHARD_BITS 6

/* Sources without a flow that a shard remembers: those whose bucket is not full again yet. */
#define IDLE_MAX 1024

/* Of these, looked at with each admission, whether they can be forgotten. */
#define REAPED_MAX 2

#define VERDICTS   (LIMIT_SOURCE_RATE + 1)
#define NS_A_MS    1000000ULL
#define NS_A_S     1000000000ULL
#define BURST_MAX  1000000000ULL

/* One address, or one /64 of IPv6. */
struct source {
	UT_hash_handle hh;
	TAILQ_ENTRY(source) idle; /* on shard->idle while it has no flow */
	uint8_t key[16];
	uint64_t flows;
	uint64_t full_at; /* ns: when its bucket of connections is full again */
};

TAILQ_HEAD(source_list, source);

struct shard {
	pthread_mutex_t lock;
	struct source *sources;  /* uthash */
	struct source_list idle; /* the longest idle first */
	unsigned int idle_count;
	uint64_t now; /* ns: the latest time it was asked at */
};

/* What the config says, in the form that it is asked for. */
struct limit_rules {
	struct cidr_list allow;
	struct cidr_list deny;
	uint64_t max_flows;
	uint64_t max_flows_per_source;
	uint64_t cost;  /* ns that a connection takes its bucket to refill; 0: no rate */
	uint64_t depth; /* ns from full down to the last connection that is admitted */
};

struct limit {
	char *name;
	atomic_uint references;
	pthread_rwlock_t lock; /* of the rules */
	struct limit_rules *rules;
	_Atomic uint64_t flows;
	_Atomic uint64_t turned_away[VERDICTS];
	uint8_t secret[16];
	struct shard shards[SHARDS];
};

/* --- Rules ------------------------------------------------------------------------------- */

static int copy_list(const struct cidr_list *from, struct cidr_list *to)
{
	if (!from->count)
		return 0;
	to->items = malloc(from->count * sizeof(*to->items));
	if (!to->items)
		return -ENOMEM;
	memcpy(to->items, from->items, from->count * sizeof(*to->items));
	to->count = from->count;
	return 0;
}

void limit_rules_free(struct limit_rules *rules)
{
	if (!rules)
		return;
	free(rules->allow.items);
	free(rules->deny.items);
	free(rules);
}

int limit_rules_new(const struct config_listener *config, struct limit_rules **out)
{
	const struct config_limits *limits = &config->limits;
	uint64_t burst = limits->rate_burst < BURST_MAX ? limits->rate_burst : BURST_MAX;
	struct limit_rules *rules = calloc(1, sizeof(*rules));

	if (!rules)
		return -ENOMEM;
	rules->max_flows = limits->max_flows;
	rules->max_flows_per_source = limits->max_flows_per_source;
	rules->cost = limits->rate_per_source ? NS_A_S / limits->rate_per_source : 0;
	rules->depth = burst * rules->cost;
	if (copy_list(&config->allow, &rules->allow) || copy_list(&config->deny, &rules->deny)) {
		limit_rules_free(rules);
		return -ENOMEM;
	}
	*out = rules;
	return 0;
}

static bool denied(const struct limit_rules *rules, const struct address *source)
{
	if (!source->length)
		return rules->allow.count;
	return cidr_list_holds(&rules->deny, source) ||
	       (rules->allow.count && !cidr_list_holds(&rules->allow, source));
}

/* --- Sources ----------------------------------------------------------------------------- */

/*
 * A host may commonly use all of an IPv6 /64 (RFC 8273 gives each one of its own): counted by
 * address it would have no limit. The secret keeps a client from choosing addresses
 * that meet in one bucket of the table.
 */
static void source_key(const struct limit *limit, const struct address *source, uint8_t key[16])
{
	memset(key, 0, 16);
	if (source->length)
		cidr_address_bytes(source, key);
	if (source->any.sa_family == AF_INET6 && !IN6_IS_ADDR_V4MAPPED(&source->ipv6.sin6_addr))
		memset(key + 8, 0, 8);
	for (int i = 0; i < 16; i++)
		key[i] ^= limit->secret[i];
}

static void drop(struct shard *shard, struct source *source)
{
	HASH_DEL(shard->sources, source);
	free(source);
}

static void wake(struct shard *shard, struct source *source)
{
	TAILQ_REMOVE(&shard->idle, source, idle);
	shard->idle_count--;
}

/*
 * A source that has no flow any more is remembered for its bucket alone. A scan from millions of
 * addresses makes the shard forget those that were idle longest, which may then spend a full
 * bucket once more.
 */
static void settle(struct shard *shard, struct source *source, uint64_t now)
{
	struct source *oldest;

	if (source->flows)
		return;
	if (source->full_at <= now) {
		drop(shard, source);
		return;
	}
	TAILQ_INSERT_TAIL(&shard->idle, source, idle);
	if (++shard->idle_count <= IDLE_MAX)
		return;
	oldest = TAILQ_FIRST(&shard->idle);
	wake(shard, oldest);
	drop(shard, oldest);
}

static void reap(struct shard *shard, uint64_t now)
{
	for (int i = 0; i < REAPED_MAX; i++) {
		struct source *source = TAILQ_FIRST(&shard->idle);

		if (!source || source->full_at > now)
			return;
		wake(shard, source);
		drop(shard, source);
	}
}

static struct source *find(struct shard *shard, const uint8_t key[16], unsigned int hash)
{
	struct source *source;

	HASH_FIND_BYHASHVALUE(hh, shard->sources, key, sizeof(source->key), hash, source);
	return source;
}

/* The source, off the idle list; NULL when there is no memory for a new one. */
static struct source *obtain(struct shard *shard, const uint8_t key[16], unsigned int hash)
{
	struct source *source = find(shard, key, hash);

	if (source) {
		if (!source->flows)
			wake(shard, source);
		return source;
	}
	source = calloc(1, sizeof(*source));
	if (!source)
		return NULL;
	memcpy(source->key, key, sizeof(source->key));
	HASH_ADD_BYHASHVALUE(hh, shard->sources, key, sizeof(source->key), hash, source);
	if (source->hh.tbl)
		return source;
	free(source);
	return NULL;
}

/* The table's buckets go by the lowest bits. */
static struct shard *lock_shard(struct limit *limit, const uint8_t key[16], unsigned int *hash)
{
	struct shard *shard;

	HASH_VALUE(key, 16, *hash);
	shard = &limit->shards[*hash >> (32 - SHARD_BITS)];
	pthread_mutex_lock(&shard->lock);
	return shard;
}

/*
 * A worker reads its clock before it has the lock, and so perhaps an earlier time than the one
 * before it there: to go back would shorten what is owed, and let a client in once more for each.
 */
static uint64_t later(struct shard *shard, uint64_t now)
{
	if (shard->now < now)
		shard->now = now;
	return shard->now;
}

/* --- Admission --------------------------------------------------------------------------- */

static bool has_place(const struct limit *limit, uint64_t flows)
{
	return !limit->rules->max_flows || flows < limit->rules->max_flows;
}

static bool take_place(struct limit *limit)
{
	uint64_t flows = atomic_load(&limit->flows);

	do {
		if (!has_place(limit, flows))
			return false;
	} while (!atomic_compare_exchange_weak(&limit->flows, &flows, flows + 1));
	return true;
}

/*
 * The token bucket is kept as the time at which it will be full again (GCRA, ITU-T I.371). A
 * rate that was raised since shortens what is owed. Nothing is taken from a source that
 * is not admitted, so that one which waits for a place does not pay for each time it asks.
 */
static enum limit_verdict admit_source(struct limit *limit, struct source *source, uint64_t now)
{
	const struct limit_rules *rules = limit->rules;
	uint64_t emptied = now + rules->depth + rules->cost;
	uint64_t start;

	if (source->full_at > emptied)
		source->full_at = emptied;
	start = source->full_at > now ? source->full_at : now;
	if (rules->max_flows_per_source && source->flows >= rules->max_flows_per_source)
		return LIMIT_SOURCE_FLOWS;
	if (start - now > rules->depth)
		return LIMIT_SOURCE_RATE;
	if (!take_place(limit))
		return LIMIT_FLOWS;
	source->full_at = rules->cost ? start + rules->cost : 0;
	source->flows++;
	return LIMIT_ADMITTED;
}

static enum limit_verdict admit(struct limit *limit, const struct address *from, uint64_t now)
{
	enum limit_verdict verdict = LIMIT_ADMITTED;
	struct source *source;
	struct shard *shard;
	unsigned int hash;
	uint8_t key[16];

	if (denied(limit->rules, from))
		return LIMIT_DENIED;
	if (!has_place(limit, atomic_load(&limit->flows)))
		return LIMIT_FLOWS;
	source_key(limit, from, key);
	shard = lock_shard(limit, key, &hash);
	now = later(shard, now);
	reap(shard, now);
	source = obtain(shard, key, hash);
	if (source) {
		verdict = admit_source(limit, source, now);
		settle(shard, source, now);
	} else if (!take_place(limit)) {
		verdict = LIMIT_FLOWS;
	}
	pthread_mutex_unlock(&shard->lock);
	return verdict;
}

enum limit_verdict limit_admit(struct limit *limit, const struct address *source, uint64_t now_ms)
{
	enum limit_verdict verdict;

	pthread_rwlock_rdlock(&limit->lock);
	verdict = admit(limit, source, now_ms * NS_A_MS);
	pthread_rwlock_unlock(&limit->lock);
	return verdict;
}

void limit_turned_away(struct limit *limit, enum limit_verdict verdict)
{
	atomic_fetch_add_explicit(&limit->turned_away[verdict], 1, memory_order_relaxed);
}

/* Returns whether the source had max_flows_per_source, and has not any more. */
static bool release_source(struct limit *limit, const struct address *from)
{
	uint64_t max = limit->rules->max_flows_per_source;
	struct source *source;
	struct shard *shard;
	bool was_full = false;
	unsigned int hash;
	uint8_t key[16];

	source_key(limit, from, key);
	shard = lock_shard(limit, key, &hash);
	source = find(shard, key, hash);
	if (source && source->flows) {
		was_full = max && source->flows == max;
		source->flows--;
		/* The clock is not known here: only what never had a rate is forgotten at once. */
		settle(shard, source, 0);
	}
	pthread_mutex_unlock(&shard->lock);
	return was_full;
}

bool limit_release(struct limit *limit, const struct address *source)
{
	uint64_t flows;
	bool freed;

	pthread_rwlock_rdlock(&limit->lock);
	freed = release_source(limit, source);
	flows = atomic_fetch_sub(&limit->flows, 1) - 1;
	freed |= limit->rules->max_flows && flows + 1 == limit->rules->max_flows;
	freed &= has_place(limit, flows);
	pthread_rwlock_unlock(&limit->lock);
	return freed;
}

/* --- Life -------------------------------------------------------------------------------- */

static void init_shards(struct limit *limit)
{
	for (int i = 0; i < SHARDS; i++) {
		pthread_mutex_init(&limit->shards[i].lock, NULL);
		TAILQ_INIT(&limit->shards[i].idle);
	}
}

int limit_new(const struct config_listener *config, struct limit **out)
{
	struct limit *limit = calloc(1, sizeof(*limit));
	int err = -ENOMEM;

	if (limit)
		limit->name = strdup(config->name ? config->name : "");
	if (limit && limit->name)
		err = limit_rules_new(config, &limit->rules);
	if (!err && getrandom(limit->secret, sizeof(limit->secret), 0) < 0)
		err = -errno;
	if (err) {
		if (limit) {
			limit_rules_free(limit->rules);
			free(limit->name);
		}
		free(limit);
		return err;
	}
	atomic_init(&limit->references, 1);
	pthread_rwlock_init(&limit->lock, NULL);
	init_shards(limit);
	*out = limit;
	return 0;
}

void limit_follow(struct limit *limit, struct limit_rules *rules)
{
	struct limit_rules *before;

	pthread_rwlock_wrlock(&limit->lock);
	before = limit->rules;
	limit->rules = rules;
	pthread_rwlock_unlock(&limit->lock);
	limit_rules_free(before);
}

struct limit *limit_ref(struct limit *limit)
{
	atomic_fetch_add_explicit(&limit->references, 1, memory_order_relaxed);
	return limit;
}

static void destroy_shard(struct shard *shard)
{
	struct source *source = shard->sources, *next;

	/* Frees the table alone; its elements remain a list. */
	HASH_CLEAR(hh, shard->sources);
	for (; source; source = next) {
		next = source->hh.next;
		free(source);
	}
	pthread_mutex_destroy(&shard->lock);
}

void limit_unref(struct limit *limit)
{
	if (!limit || atomic_fetch_sub_explicit(&limit->references, 1, memory_order_acq_rel) != 1)
		return;
	for (int i = 0; i < SHARDS; i++)
		destroy_shard(&limit->shards[i]);
	pthread_rwlock_destroy(&limit->lock);
	limit_rules_free(limit->rules);
	free(limit->name);
	free(limit);
}

const char *limit_name(const struct limit *limit)
{
	return limit->name;
}

/* --- Status ------------------------------------------------------------------------------ */

static const char *const verdict_names[VERDICTS] = {
	[LIMIT_DENIED] = "denied",
	[LIMIT_FLOWS] = "flows",
	[LIMIT_SOURCE_FLOWS] = "source_flows",
	[LIMIT_SOURCE_RATE] = "source_rate",
};

static uint64_t count_sources(struct limit *limit)
{
	uint64_t count = 0;

	for (int i = 0; i < SHARDS; i++) {
		struct shard *shard = &limit->shards[i];

		pthread_mutex_lock(&shard->lock);
		count += HASH_COUNT(shard->sources);
		pthread_mutex_unlock(&shard->lock);
	}
	return count;
}

json_t *limit_json(struct limit *limit)
{
	json_t *away = json_object();

	for (int i = LIMIT_DENIED; i < VERDICTS; i++)
		json_object_set_new(away, verdict_names[i],
				    json_integer((json_int_t)atomic_load(&limit->turned_away[i])));
	return json_pack("{s:I, s:I, s:o}", "flows", (json_int_t)atomic_load(&limit->flows),
			 "sources", (json_int_t)count_sources(limit), "turned_away", away);
}
