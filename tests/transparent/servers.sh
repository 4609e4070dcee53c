# shellcheck shell=bash
# Real servers on the backend, at the ports that everybody knows, and what clients do with them. For
# tests that source net.sh.
. "$(dirname "${BASH_SOURCE[0]}")/../sshd.sh"
. "$(dirname "${BASH_SOURCE[0]}")/../nginx.sh"
SIZE=10M
((QUICK == 0)) || SIZE=2M

# Whoever asks for / is told which address it reached, and for /client from which it came.
start_nginx() {
	write_nginx_config <<-END
		server {
		    listen 80;
		    listen [::]:80;
		    root $TMP/www;
		    location = / { return 200 "\$server_addr"; }
		    location = /client { return 200 "\$remote_addr"; }
		    location /upload { dav_methods PUT; }
		    location = /slow { access_log $TMP/nginx/slow.log; }
		}
	END
	spawn nginx nginx -e stderr -c "$TMP/nginx.conf" -g 'daemon off;'
	wait_listening 80 nginx
}

start_servers() {
	need git nginx redis-server redis-cli
	need_sshd
	head -c "$SIZE" /dev/urandom >"$TMP/original"
	start_nginx
	cp "$TMP/original" "$TMP/www/original"
	spawn redis redis-server --bind 0.0.0.0 --protected-mode no --port 6379 --dir "$TMP" --save '' \
		--appendonly no
	wait_listening 6379 redis-server
	start_sshd 22 22 10.9.2.2
	start_postgres
}

# ---- what clients do; PREFIX is where ----

# curl takes its peer's address from getpeername(2).
test_nginx() { # URL-HOST ADDRESS
	local peer
	peer=$("${PREFIX[@]}" curl -fsS --max-time 60 -o "$TMP/download" -w '%{remote_ip}' "http://$1/original")
	assert_equal "$2" "$peer" "what curl takes for its peer"
	assert_same_file "$TMP/original" "$TMP/download" "download from $1"
	rm -f "$TMP/www/upload/file"
	"${PREFIX[@]}" curl -fsS --max-time 60 -T "$TMP/original" "http://$1/upload/file"
	assert_same_file "$TMP/original" "$TMP/www/upload/file" "upload to $1"
	assert_equal "$2" "$("${PREFIX[@]}" curl -fsS --max-time 60 "http://$1/")" "who answers for $1"
}

test_redis() {
	"${PREFIX[@]}" redis-cli -h 10.9.2.2 -x set original <"$TMP/original" >"$TMP/redis-set.log"
	"${PREFIX[@]}" redis-cli -h 10.9.2.2 get original >"$TMP/redis-got"
	# redis-cli ends what it prints with a newline.
	head -c -1 "$TMP/redis-got" >"$TMP/redis-value"
	assert_same_file "$TMP/original" "$TMP/redis-value" "value in redis"
}

test_ssh() {
	"${PREFIX[@]}" timeout 60 ssh -F "$TMP/ssh.conf" proxyd cat <"$TMP/original" >"$TMP/echoed"
	assert_same_file "$TMP/original" "$TMP/echoed" "there and back by ssh"
}

# Without a server of its own: the repository is files.
test_git() {
	local repository=$TMP/www/repository
	git init -q "$repository"
	cp "$TMP/original" "$repository"
	git -C "$repository" add original
	git -C "$repository" -c user.name=t -c user.email=t@example.org commit -q -m original
	git -C "$repository" update-server-info
	"${PREFIX[@]}" timeout 60 git clone -q http://10.9.2.2/repository/.git "$TMP/clone"
	assert_same_file "$TMP/original" "$TMP/clone/original" "what git has cloned"
}

test_node() {
	command -v node >/dev/null || return 0
	# shellcheck disable=SC2016 # of JavaScript
	"${PREFIX[@]}" timeout 60 node -e '
		fetch("http://10.9.2.2/original").then(async (answer) => {
			require("fs").writeFileSync(process.argv[1], Buffer.from(await answer.arrayBuffer()));
		});' "$TMP/fetched"
	assert_same_file "$TMP/original" "$TMP/fetched" "what node has fetched"
}

accepts_connections() { "$PG/pg_isready" -q -h 10.9.2.2; }

start_postgres() {
	PG=$(find /usr/lib/postgresql/*/bin -name initdb -printf '%h\n' 2>/dev/null | sort -V | tail -n 1)
	[[ -n $PG ]] || skip "PostgreSQL is not installed (tests/install)"
	install -d -o nobody -g nogroup -m 700 "$TMP/postgresql"
	(cd "$TMP/postgresql" && as_nobody "$PG/initdb" -D "$TMP/postgresql/db" -U postgres --auth=trust --no-sync \
		--locale=C >"$TMP/initdb.log" 2>&1)
	echo 'host all all all trust' >>"$TMP/postgresql/db/pg_hba.conf"
	spawn postgres setpriv --reuid=nobody --regid=nogroup --clear-groups "$PG/postgres" \
		-D "$TMP/postgresql/db" -c listen_addresses=10.9.2.2 -c unix_socket_directories= -c fsync=off -c ssl=off
	wait_listening 5432 postgres
	wait_until 60 accepts_connections || fail "postgres accepts no connections"
}

test_psql() {
	local sum
	sum=$("${PREFIX[@]}" timeout 60 "$PG/psql" -X -q -A -t -h 10.9.2.2 -U postgres -d postgres \
		-c "SELECT md5(string_agg(i::text, '')) FROM generate_series(1, 100000) i")
	assert_equal "$(seq 100000 | tr -d '\n' | md5sum | cut -d ' ' -f 1)" "$sum" "sum of what PostgreSQL counts"
	"${PREFIX[@]}" timeout 60 "$PG/psql" -X -q -A -t -h 10.9.2.2 -U postgres -d postgres \
		-c 'SELECT * FROM generate_series(1, 300000)' >"$TMP/rows"
	assert_same_file <(seq 300000) "$TMP/rows" "rows from PostgreSQL"
}

test_programs() {
	test_git
	test_node
	test_psql
	test_nginx 10.9.2.2 10.9.2.2
	test_nginx 10.9.2.3 10.9.2.3
	test_nginx '[fd09:2::2]' fd09:2::2
	test_redis
	test_ssh
}
