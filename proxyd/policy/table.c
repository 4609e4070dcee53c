// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "policy/table.h"

#include <stdlib.h>

bool table_draft(struct table *table, const struct roster *roster, struct table_draft *out)
{
	const struct tier *tier = &roster->serving;
	struct maglev_member *members;

	if (table->building || table->now.generation == roster->generation)
		return false;
	members = calloc(tier->count + 1, sizeof(*members));
	if (!members)
		return false;
	for (unsigned int i = 0; i < tier->count; i++)
		members[i] = (struct maglev_member){
			.name = tier->endpoints[i]->name,
			.weight = tier->endpoints[i]->share,
			.user = endpoint_hold(tier->endpoints[i]),
		};
	*out = (struct table_draft){
		.members = members,
		.count = tier->count,
		.generation = roster->generation,
	};
	table->building = true;
	return true;
}

void table_build(struct table_draft *draft)
{
	if (maglev_new(draft->members, draft->count, MAGLEV_SIZE, &draft->maglev))
		draft->maglev = NULL;
}

void table_take(struct table *table, struct table_draft *draft)
{
	struct table_draft before = table->now;

	table->now = *draft;
	table->building = false;
	*draft = before;
}

void table_draft_free(struct table_draft *draft)
{
	maglev_free(draft->maglev);
	for (unsigned int i = 0; i < draft->count; i++)
		endpoint_drop(draft->members[i].user);
	free(draft->members);
	*draft = (struct table_draft){0};
}
