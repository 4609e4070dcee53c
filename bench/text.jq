# Figures and tables in Markdown. In front of what uses it.

def round_to($digits): pow(10; $digits) as $p | (. * $p | round) / $p;

# Three significant digits below 1000, whole numbers above, then millions; "-" for none.
def figure:
	if . == null then "-"
	elif . == 0 then "0"
	elif fabs >= 1e6 then (. / 1e6 | figure) + " M"
	else (fabs | log10 | floor) as $magnitude | round_to([0, 2 - $magnitude] | max) | tostring
	end;

def ratio: if . == null then "-" else (round_to(2) | tostring) end;
def bounds: if . == null or .rounds < 2 then "" else " (\(.min | figure)..\(.max | figure))" end;
def pad($width): . + " " * ($width - length);

def aligned:
	. as $lines |
	[range(0; .[0] | length) as $i | [$lines[][$i] | length] | max] as $widths |
	[.[] | [range(0; length) as $i | .[$i] | pad($widths[$i])] | "| " + join(" | ") + " |"] |
	[.[0], "|" + ([$widths[] | "-" * (. + 2)] | join("|")) + "|"] + .[1:] |
	join("\n");
