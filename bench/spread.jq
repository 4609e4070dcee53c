# Many rounds in few numbers. In front of what uses it.

def median:
	sort | length as $n |
	if $n == 0 then null
	elif $n % 2 == 1 then .[($n - 1) / 2]
	else (.[$n / 2 - 1] + .[$n / 2]) / 2
	end;

def spread: {median: median, min: min, max: max, rounds: length};

# Two targets of one round were measured seconds apart: the ratio is taken there, before the median,
# so that a machine that slowly changes its pace does not show in it.
def ratios($to):
	[.[] | . as $mine | $to[] | select(.round == $mine.round and .value != 0) | $mine.value / .value] |
	if length > 0 then spread else null end;
