# Samples (one object a measurement) into results: medians, spreads, ratios, goals. Behind spread.jq.
# Input: an array of samples. Arguments: $table (rows.json), $facts, $targets, $skipped.

def values($samples; $setting; $row; $target; $metric):
	[$samples[] |
	 select(.setting == $setting and .row == $row and .target == $target) |
	 select(.result[$metric] != null) |
	 {round, value: .result[$metric]}];

def cell($samples; $setting; $row; $target; $metric):
	values($samples; $setting; $row; $target; $metric) |
	if length == 0 then null
	else ([.[].value] | spread) + {
		versus_direct: ratios(values($samples; $setting; $row; "direct"; $metric)),
		versus_haproxy: ratios(values($samples; $setting; $row; "haproxy"; $metric))
	}
	end;

def row_results($samples; $setting; $row):
	{
		name: $row.name, title: $row.title, metrics: $row.metrics, ratios: $row.ratios,
		targets: [
			$targets[] as $target |
			{key: $target, value: [
				$row.metrics[] as $metric |
				{key: $metric, value: cell($samples; $setting; $row.name; $target; $metric)}
			] | from_entries}
		] | from_entries
	};

def verdict:
	if .failures > 0 then "MISSED"
	elif .measured == null then "not measured"
	elif (.at_most != null and .measured > .at_most) or
	     (.at_least != null and .measured < .at_least) then "MISSED"
	else "met"
	end;

# Goals are stated for one core.
def goals($samples):
	[$table.rows[] as $row | $row.goals[] |
	 cell($samples; "pinned"; $row.name; .target; .metric) as $cell |
	 (if .versus then $cell["versus_" + .versus] else $cell end) as $value |
	 {row: $row.name} + . + {measured: $value.median, min: $value.min, max: $value.max} |
	 .failures = (. as $goal | [$samples[] | select(.error and .setting == "pinned" and
		      .row == $goal.row and .target == $goal.target)] | length) |
	 .verdict = verdict |
	 .narrow = ((.at_most // .at_least) as $goal |
		    .measured != null and .min <= $goal and $goal <= .max)];

# Time of cores that neither the measured processes nor kernel threads account for: somebody else's.
# A kernel thread that ended meanwhile takes its past with it, hence the guard.
def disturbance:
	[.[].result.cpu_s | values |
	 ([0, .busy - .proxy - .client - .server - ([0, .kthreads] | max)] | max) / .busy * 100] |
	if length > 0 then spread else null end;

. as $samples |
([$samples[].row] | unique) as $measured |
{
	facts: $facts,
	skipped: $skipped,
	failures: [$samples[] | select(.error)],
	disturbance_percent: ([$samples[] | select(.result)] | disturbance),
	goals: [goals($samples)[] | select(.row as $row | $measured | index($row))],
	settings: [
		("pinned", "unpinned") as $setting |
		select(any($samples[]; .setting == $setting)) |
		{key: $setting, value: [
			$table.rows[] | select(.name as $row | $measured | index($row)) |
			row_results($samples; $setting; .)
		]}
	] | from_entries,
	samples: $samples
}
