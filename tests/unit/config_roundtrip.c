// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What is loaded, printed and loaded again is the same: for configs made at random from the table.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "config/load.h"
#include "config/print.h"
#include "config/value.h"
#include "unit/seed.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ROUNDS       300
#define UPSTREAMS    4

/* ---- Values of each type, as people write them -------------------------------------------- */

struct maker {
	struct rng rng;
	unsigned int number; /* of things that must differ */
};

static uint32_t below(struct maker *maker, uint32_t bound)
{
	return rng_range(&maker->rng, 0, bound - 1);
}

static bool chance(struct maker *maker, unsigned int percent)
{
	return rng_percent(&maker->rng, percent);
}

static const char *one_of(struct maker *maker, const char *const *texts, size_t count)
{
	return texts[below(maker, (uint32_t)count)];
}

static json_t *number_value(struct maker *maker, const struct schema_key *key)
{
	uint64_t step = key->step ? key->step : 1;
	uint64_t span = (key->max - key->min) / step, number;
	char text[UNITS_TEXT];

	/* Ends and small numbers more often than their share. */
	number = chance(maker, 10)   ? key->max
		 : chance(maker, 10) ? key->min
		 : chance(maker, 50) ? key->min + step * (rng_next(&maker->rng) % (span + 1))
				     : key->min + step * below(maker, span < 100 ? span + 1 : 100);
	if (key->type->format)
		return json_string(key->type->format(number, text));
	return json_integer((json_int_t)number);
}

static json_t *text_value(struct maker *maker, const struct value_type *type)
{
	static const char *const texts[] = {"PING\r\n",
					    "+PONG",
					    "true",
					    "~",
					    "1e5",
					    "a: b",
					    "- x",
					    "${HOME}",
					    "$${x",
					    " a ",
					    "\"",
					    "'",
					    "\xc3\xa9\xe2\x82\xac",
					    "#",
					    "null",
					    "0x1f",
					    "2026-11-24",
					    "\\n",
					    "{a}",
					    "*"};
	static const char *const names[] = {"a.example.org", "*.example.org", "X.Example.ORG",
					    "_x"};
	static const char *const hosts[] = {"a.example.org", "*.b.org", "10.0.0.1",
					    "[2001:db8::1]"};
	static const char *const servers[] = {"192.0.2.53", "[2001:db8::53]:5353", "::1"};
	static const char *const paths[] = {"/", "/a/b", "/run/x y", "/\xc3\xa9", "/$${x", "/a: b"};
	static const char *const authorities[] = {"x", "x:80", "[::1]", "!"};
	static const char *const targets[] = {"stderr", "stdout", "/var/log/x y"};
	static const char *const interfaces[] = {"eth0", "lo", "null", "1e3", "br-1.2"};

	if (type == &value_text || type == &value_alpns)
		return json_string(one_of(maker, texts, COUNT(texts)));
	if (type == &value_server_names)
		return json_string(one_of(maker, names, COUNT(names)));
	if (type == &value_hosts)
		return json_string(one_of(maker, hosts, COUNT(hosts)));
	if (type == &value_nameservers)
		return json_string(one_of(maker, servers, COUNT(servers)));
	if (type == &value_path || type == &value_paths)
		return json_string(one_of(maker, paths, COUNT(paths)));
	if (type == &value_url_path)
		return json_string(chance(maker, 50) ? "/" : "/healthz?a=b&c={d}");
	if (type == &value_authority)
		return json_string(one_of(maker, authorities, COUNT(authorities)));
	if (type == &value_interface)
		return json_string(one_of(maker, interfaces, COUNT(interfaces)));
	if (type == &value_log_target)
		return json_string(one_of(maker, targets, COUNT(targets)));
	cr_assert(type == &value_name, "the test knows nothing of the type '%s'", type->name);
	return json_sprintf("%s%u", chance(maker, 50) ? "n-" : "1e", maker->number++);
}

static json_t *address_value(struct maker *maker, const struct value_type *type)
{
	static const char *const ranges[] = {"10.0.0.0/8", "0.0.0.0/0",     "::/0",
					     "192.0.2.1",  "2001:db8::/33", "::ffff:10.0.0.0/104"};

	if (type == &value_cidrs)
		return json_string(one_of(maker, ranges, COUNT(ranges)));
	if (type == &value_source)
		return json_string(chance(maker, 50) ? "127.0.0.1" : "clientip");
	maker->number++;
	if (type == &value_address)
		return json_sprintf(chance(maker, 50) ? "10.%u.%u.1:80" : "[2001:db8::%u:%u]:443",
				    maker->number / 250, maker->number % 250);
	if (type == &value_service)
		return json_sprintf("_http._tcp.x%u.org%s", maker->number,
				    chance(maker, 20) ? "." : "");
	cr_assert(type == &value_endpoint, "the test knows nothing of the type '%s'", type->name);
	return json_sprintf(chance(maker, 50) ? "10.%u.%u.1:80" : "name-%u-%u:443",
			    maker->number / 250, maker->number % 250);
}

static json_t *range_value(struct maker *maker, const struct schema_key *key)
{
	unsigned int first = (unsigned int)key->min + below(maker, (uint32_t)(key->max - key->min));

	if (chance(maker, 50))
		return json_integer(first);
	return json_sprintf("%u-%u", first, first + below(maker, (uint32_t)key->max + 1 - first));
}

static json_t *single_value(struct maker *maker, const struct schema_key *key)
{
	const struct value_type *type = key->type;
	size_t choices = 0;

	if (type->parse)
		return number_value(maker, key);
	if (type == &value_bool)
		return json_boolean(chance(maker, 50));
	if (type == &value_true)
		return json_true();
	if (type == &value_ranges)
		return range_value(maker, key);
	/* "listener-1" is there, for one has no name. */
	if (type == &value_names)
		return json_string("listener-1");
	if (type == &value_upstream)
		return json_sprintf("upstream-%u", below(maker, UPSTREAMS));
	while (key->choices && key->choices[choices].name)
		choices++;
	if (choices)
		return json_string(key->choices[below(maker, (uint32_t)choices)].name);
	if (type->check || type == &value_text || type == &value_path || type == &value_paths)
		return text_value(maker, type);
	return address_value(maker, type);
}

/* ---- Files -------------------------------------------------------------------------------- */

static json_t *make_object(struct maker *maker, const struct schema_object *object);

static json_t *make_key(struct maker *maker, const struct schema_key *key)
{
	json_t *list;

	if (!key->many && !(key->type && key->type->list))
		return key->object ? make_object(maker, key->object) : single_value(maker, key);
	list = json_array();
	for (unsigned int count = 1 + below(maker, 3); count; count--)
		json_array_append_new(list, key->many ? make_object(maker, key->object)
						      : single_value(maker, key));
	return list;
}

static bool is_chosen(const struct schema_object *object, const char *name, const char *chosen)
{
	for (size_t i = 0; object->one_of && object->one_of[i]; i++)
		if (!strcmp(object->one_of[i], name))
			return !strcmp(name, chosen);
	return true;
}

static json_t *make_object(struct maker *maker, const struct schema_object *object)
{
	json_t *mapping = json_object();
	const char *chosen = "", *selected = "";
	size_t choices = 0;

	while (object->one_of && object->one_of[choices])
		choices++;
	if (choices)
		chosen = object->one_of[below(maker, (uint32_t)choices)];
	for (size_t i = 0; i < object->key_count; i++) {
		const struct schema_key *key = &object->keys[i];
		bool must = key->required || !strcmp(key->name, chosen);

		if (!is_chosen(object, key->name, chosen) ||
		    (key->only_for && strcmp(key->only_for, selected) != 0) ||
		    (!must && chance(maker, 50)))
			continue;
		json_object_set_new(mapping, key->name, make_key(maker, key));
		if (object->selector && !strcmp(key->name, object->selector))
			selected = json_string_value(json_object_get(mapping, key->name));
	}
	return mapping;
}

/* What one mode needs, another does not have. */
static void mend_intercept(json_t *intercept)
{
	if (!json_object_size(intercept))
		return;
	json_object_set_new(intercept, "mode", json_string("redirect"));
	json_object_set_new(intercept, "traffic", json_string("local"));
}

/* What the table alone does not say. */
static void mend(json_t *tree)
{
	json_t *item, *listeners = json_object_get(tree, "listeners");
	json_t *upstreams = json_object_get(tree, "upstreams");
	size_t index;

	json_object_del(json_array_get(listeners, 0), "name");
	json_array_foreach(listeners, index, item)
	{
		mend_intercept(json_object_get(item, "intercept"));
		/* Where what is redirected goes. */
		if (json_object_size(json_object_get(item, "intercept")))
			json_object_set_new(item, "address",
					    json_sprintf("127.0.0.1:%zu", 20000 + index));
	}
	json_array_foreach(upstreams, index, item)
	{
		json_object_set_new(item, "name", json_sprintf("upstream-%zu", index));
		/* Longer at first than at most; IPv4 to names and IPv6. */
		json_object_del(json_object_get(item, "ejection"), "time");
		json_object_del(json_object_get(item, "ejection"), "time_max");
		json_object_del(json_object_get(item, "tcp"), "source");
	}
	json_array_foreach(json_object_get(tree, "routes"), index,
			   item) if (json_object_get(item, "reject"))
		json_object_del(item, "mirror");
}

static json_t *make_file(struct maker *maker)
{
	json_t *tree = make_object(maker, &schema_config);
	json_t *upstreams = json_array();

	for (int i = 0; i < UPSTREAMS; i++)
		json_array_append_new(
			upstreams,
			make_object(maker, schema_find(&schema_config, "upstreams")->object));
	json_object_set_new(tree, "upstreams", upstreams);
	mend(tree);
	return tree;
}

/* ---- Whether they are the same ------------------------------------------------------------ */

static char *as_yaml(const json_t *tree)
{
	char *text = NULL;
	size_t size;
	FILE *stream = open_memstream(&text, &size);

	cr_assert_not_null(stream);
	cr_assert_eq(yaml_write(tree, stream), 0);
	fclose(stream);
	return text;
}

static struct config *loaded(const char *text)
{
	struct config_report report = {0};
	struct config *config = NULL;
	int err = config_load_text("f", text, strlen(text), &config, &report);

	cr_assert_eq(err, 0, "%s of\n%s", report.count ? report.messages[0].text : "", text);
	report_clear(&report);
	return config;
}

static void same_fields(const struct schema_object *object, const char *one, const char *other);

static void same_many(const struct schema_key *key, const char *one, const char *other)
{
	unsigned int count = *(const unsigned int *)(one + key->count_offset);
	const char *items = *(char *const *)(one + key->offset);
	const char *others = *(char *const *)(other + key->offset);

	cr_assert_eq(count, *(const unsigned int *)(other + key->count_offset));
	for (unsigned int i = 0; i < count; i++)
		same_fields(key->object, items + i * key->object->size,
			    others + i * key->object->size);
}

/* Bytes where a field is all there is, so that one which is not printed shows. */
static void same_fields(const struct schema_object *object, const char *one, const char *other)
{
	for (size_t i = 0; i < object->key_count; i++) {
		const struct schema_key *key = &object->keys[i];

		if (key->many)
			same_many(key, one, other);
		else if (key->object)
			same_fields(key->object, one + key->offset, other + key->offset);
		else if (!key->type->clear)
			cr_assert_eq(memcmp(one + key->offset, other + key->offset, key->width), 0,
				     "%s.%s", object->title, key->name);
		else if (key->type == &value_ranges || key->type == &value_cidrs ||
			 key->type->write == value_names.write)
			cr_assert_eq(*(const unsigned int *)(one + key->offset + sizeof(void *)),
				     *(const unsigned int *)(other + key->offset + sizeof(void *)),
				     "%s.%s", object->title, key->name);
	}
}

/* Every key that was written is printed. */
static void has_keys(const json_t *written, const json_t *printed, const char *path)
{
	const char *key;
	json_t *value;
	size_t index;

	if (json_is_array(written)) {
		json_array_foreach(written, index, value)
			has_keys(value, json_array_get(printed, index), path);
		return;
	}
	json_object_foreach((json_t *)written, key, value)
	{
		/* What has no value is left out. */
		if (!json_object_get(printed, key))
			cr_expect(json_is_integer(value) || json_is_string(value) ||
					  (json_is_object(value) && !json_object_size(value)),
				  "%s.%s", path, key);
		else
			has_keys(value, json_object_get(printed, key), key);
	}
}

Test(config_roundtrip, configs_at_random)
{
	struct maker maker = {.rng = seeded("config_roundtrip")};

	for (int round = 0; round < ROUNDS; round++) {
		json_t *written = make_file(&maker);
		char *text = as_yaml(written);
		struct config *config = loaded(text), *again;
		json_t *printed = config_to_json(config), *reprinted;
		char *first = as_yaml(printed), *second;

		again = loaded(first);
		reprinted = config_to_json(again);
		second = as_yaml(reprinted);
		cr_assert(json_equal(printed, reprinted), "%s", text);
		cr_assert_str_eq(first, second);
		same_fields(&schema_config, (const char *)config, (const char *)again);
		has_keys(written, printed, "");
		config_free(config);
		config_free(again);
		json_decref(written);
		json_decref(printed);
		json_decref(reprinted);
		free(text);
		free(first);
		free(second);
	}
}
