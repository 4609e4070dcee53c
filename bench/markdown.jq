# Results (report.jq) into Markdown that reads well as plain text too.
# Argument: $table (rows.json). Behind text.jq.

def target_name:
	{
		direct: "direct TCP",
		accelerate: "accelerated TCP",
		unix: "unix socket",
		haproxy: "HAProxy",
		"haproxy-splice": "HAProxy, splice forced",
		nginx: "nginx stream",
		relay: "proxyd relay",
		kernel: "proxyd kernel",
		auto: "proxyd auto",
		"direct-lane": "proxyd, direct lane"
	}[.];

def any_value: [.[] | values] | length > 0;

# A column nobody has a value for is left out.
def without_empty_columns:
	.targets as $targets |
	.metrics |= map(select([$targets[][.]] | any_value));

def header:
	. as $row | [""] + [
		.metrics[] as $metric | $table.metrics[$metric].label,
		(select($row.ratios | index($metric)) | "/ direct", "/ HAProxy")
	];

def line($target):
	. as $row | .targets[$target] as $cells | [$target | target_name] + [
		.metrics[] as $metric | $cells[$metric] |
		((.median | figure) + bounds),
		(select($row.ratios | index($metric)) |
		 (.versus_direct.median | ratio), (.versus_haproxy.median | ratio))
	];

def row_table:
	without_empty_columns | . as $row |
	[.targets | to_entries[] | select(.value | any_value) | .key] as $measured | "### \(.title)\n\n" +
	([header, ($measured[] as $target | $row | line($target))] | aligned);

def goal_line:
	[
		.row, (.target | target_name),
		$table.metrics[.metric].label + (if .versus then " / " + (.versus | target_name) else "" end),
		(if .at_most then "<= \(.at_most)" else ">= \(.at_least)" end),
		(if .measured == null then "-"
		 else (.measured | figure) + " (\(.min | figure)..\(.max | figure))" end),
		.verdict + (if .failures > 0 then " (\(.failures) measurements failed)"
			    elif .narrow then " (narrowly: inside the spread)" else "" end)
	];

def goal_table:
	if length == 0 then "None of the measured rows has one."
	else [["row", "target", "of", "goal", "measured", "verdict"], (.[] | goal_line)] | aligned
	end;

def setting_title:
	{pinned: "One core: proxy, client, server and kernel work share it",
	 unpinned: "Unpinned: the scheduler places everything"}[.];

def facts_list:
	"- \(.date), kernel \(.kernel)\(if .virtual then ", virtual machine" else "" end)\n" +
	"- \(.cpu), \(.cores) cores, \(.memory_gib) GiB; clock source \(.clocksource); " +
	"load before: \(.load)\n" +
	"- " + ([.versions | to_entries[] | "\(.key) \(.value)"] | join(", ")) + "\n" +
	"- \(.rounds) rounds, \(.seconds) s each after \(.warm_up) s of warm-up; " +
	"congestion control used: \(.congestion)\n" +
	([.sysctls | to_entries[] | "- `\(.key) = \(.value)`"] | join("\n"));

def notes:
	[
		"Medians over the rounds (least..greatest); a ratio is the median of the rounds' ratios.",
		"CPU is all there is: client, server, proxy, softirqs and kernel threads; GB = 10^9 bytes.",
		"On one core it is that core's busy time, unpinned the whole machine's.",
		"Each measurement has a fresh proxy; targets take turns within every round."
	] | join("\n");

def disturbance:
	if . == null then ""
	else "\nCPU time that nothing measured accounts for (other programs): median " +
	     "\(.median | figure) %, at worst \(.max | figure) %." +
	     (if .median > 3 then " **The machine was not quiet: distrust small differences.**"
	      else "" end) + "\n"
	end;

def problems:
	([.skipped[] | "- skipped: \(.)"] +
	 [.failures[] | "- **failed**: \(.target), \(.row), \(.setting), round \(.round): \(.error)"]) |
	if length > 0 then "\n" + join("\n") + "\n" else "" end;

"# Benchmark of proxyd\n\n" +
notes + "\n" + (.disturbance_percent | disturbance) + problems +
"\n## Goals (one core)\n\n" + (.goals | goal_table) + "\n" +
([.settings | to_entries[] |
  "\n## \(.key | setting_title)\n\n" + ([.value[] | row_table] | join("\n\n")) + "\n"] | join("")) +
"\n## The machine\n\n" + (.facts | facts_list)
