# Samples of bench/programs (one object a measurement) into its tables. Behind spread.jq and text.jq.

def column_name:
	{tcp: "plain TCP", accelerated: "accelerated", through: "proxyd, direct lane", unix: "unix socket",
	 haproxy: "HAProxy"}[.];

def values($column): [.[] | select(.column == $column and .value != null)];

def cell($column):
	values("tcp") as $tcp | values("haproxy") as $haproxy | values($column) |
	if length == 0 then ""
	else
		([.[].value] | median | figure) +
		" (\(ratios($tcp).median | ratio), \(ratios($haproxy).median | ratio))"
	end;

# What is asked of each kind of traffic on one core.
def goals:
	[
		{kind: "dialogue", column: ("accelerated", "through"), versus: "tcp", at_least: 1.3},
		{kind: ("bulk", "alone"), column: "accelerated", versus: "tcp", at_least: 0.95},
		{kind: ("bulk", "alone"), column: "through", versus: "haproxy", at_least: 1}
	];

def goal_line($goal):
	values($goal.versus) as $versus | (values($goal.column) | ratios($versus)) as $measured |
	[
		.[0].row, ($goal.column | column_name), "/ " + ($goal.versus | column_name),
		">= \($goal.at_least)", ($measured.median | ratio) + ($measured | bounds),
		if $measured == null then "not measured"
		elif $measured.median >= $goal.at_least then "met"
		else "MISSED"
		end
	];

(reduce .[] as $sample ([]; if index($sample.row) then . else . + [$sample.row] end)) as $names |
[$names[] as $name | [.[] | select(.row == $name)]] as $rows |
["tcp", "accelerated", "through", "unix", "haproxy"] as $columns |
"In brackets the ratio to plain TCP and to HAProxy; more is better everywhere.\n\n" +
([["", ($columns[] | column_name)], ($rows[] | [.[0].row, (cell($columns[]))])] | aligned) + "\n\n" +
([["", "column", "of", "goal", "measured", "verdict"],
  ($rows[] | . as $row | goals[] | select(.kind == $row[0].kind) | . as $goal | $row | goal_line($goal))] |
 aligned)
