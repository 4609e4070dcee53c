#!/bin/bash
# Programs whose connections proxyd exec intercepts: each sees the server that it asked for, and what
# it sends and gets arrives to the byte.
#
#   programs.sh kernel|relay|auto
if [[ -z ${NAMESPACE-} ]] && ((EUID == 0)); then
	NAMESPACE=ours exec unshare --net "$0" "$@"
fi
. "$(dirname "$0")/../lib.sh"
. "$(dirname "$0")/../sshd.sh"
. "$(dirname "$0")/../nginx.sh"
need_root
ip link set lo up
take_lane "$@"
need_sshd
need curl git ip jq nginx node redis-cli redis-server
BIN=$(find /usr/lib/postgresql/*/bin -name initdb -printf '%h\n' 2>/dev/null | sort -V | tail -n 1)
[[ -n $BIN ]] || skip "PostgreSQL is not installed (tests/install)"
for name in FRONT WEB REDIS POSTGRES SSH_PORT; do
	free_port "$name"
done
SIZE=5000000
((QUICK == 0)) || SIZE=1000000
# What "$@" is with the servers: on loopback, but not by the address that curl would take by itself.
HOST=127.77.0.9
export TMP HOST WEB REDIS POSTGRES BIN PROXYD CONTROL
export HOME=$TMP GIT_CONFIG_NOSYSTEM=1
mkdir "$TMP/www" "$TMP/nginx"
head -c "$SIZE" /dev/urandom >"$TMP/www/file"

start_web() {
	git init -q --bare "$TMP/www/repository.git"
	git init -q "$TMP/work"
	cp "$TMP/www/file" "$TMP/work/file"
	git -C "$TMP/work" add file
	git -C "$TMP/work" -c user.name=test -c user.email=test@example.org commit -qm file
	git -C "$TMP/work" push -q "$TMP/www/repository.git" HEAD:refs/heads/main
	git -C "$TMP/www/repository.git" symbolic-ref HEAD refs/heads/main
	git -C "$TMP/www/repository.git" update-server-info
	write_nginx_config <<-END
		server {
		    listen $HOST:$WEB;
		    listen [::1]:$WEB;
		    root $TMP/www;
		    location /upload { dav_methods PUT; create_full_put_path on; }
		}
	END
	spawn nginx nginx -e stderr -c "$TMP/nginx.conf" -g 'daemon off;'
	wait_listening "$WEB" nginx
}

start_postgres() {
	install -d -o nobody -g nogroup -m 700 "$TMP/postgresql"
	(cd "$TMP/postgresql" && as_nobody "$BIN/initdb" -D "$TMP/postgresql/db" -U postgres --auth=trust \
		--no-sync --locale=C >"$TMP/initdb.log" 2>&1)
	# shellcheck disable=SC2016 # for the inner shell
	spawn postgres setpriv --reuid=nobody --regid=nogroup --clear-groups sh -c 'cd "$1" && exec "$2/postgres" \
		-D "$1/db" -p "$3" -c listen_addresses=127.77.0.9 -c unix_socket_directories= -c fsync=off -c ssl=off' \
		postgres "$TMP/postgresql" "$BIN" "$POSTGRES"
	wait_listening "$POSTGRES" postgres
	wait_until 60 "$BIN/pg_isready" -q -h "$HOST" -p "$POSTGRES" || fail "postgres accepts no connections"
}

start_web
start_postgres
spawn redis redis-server --bind "$HOST" --protected-mode no --port "$REDIS" --dir "$TMP" --save '' --appendonly no
wait_listening "$REDIS" redis-server
start_sshd "$SSH_PORT" "$SSH_PORT"

cat >"$TMP/config.yaml" <<END
lane: $LANE
listeners:
  - {name: out, address: "[::]:$FRONT", intercept: {cgroup: "\${PROXYD_CGROUP}"}}
routes: {original_destination: true}
END

# One after the other, with the flows that each took, so that none goes past the proxy unseen.
cat >"$TMP/clients" <<'END'
set -euo pipefail
total() { "$PROXYD" status --json --control "$CONTROL" | jq .flows.total; }
passes() { # AT-LEAST NAME COMMAND...
	local before least=$1 name=$2
	shift 2
	before=$(total)
	"$@" || { echo "$name: failed with $?" >&2; exit 1; }
	(($(total) - before >= least)) || { echo "$name: not by way of proxyd" >&2; exit 1; }
	echo "$name: $(($(total) - before)) flows"
}
same() { cmp "$TMP/www/file" "$1"; }

curl_down() {
	[[ $(curl -sS --max-time 60 -o "$TMP/down" -w '%{remote_ip}:%{remote_port}' "http://$HOST:$WEB/file") == "$HOST:$WEB" ]]
	same "$TMP/down"
}
curl_ipv6() {
	[[ $(curl -sS --max-time 60 -o "$TMP/down6" -w '%{remote_ip}' "http://[::1]:$WEB/file") == ::1 ]]
	same "$TMP/down6"
}
curl_up() {
	curl -sS --max-time 60 -f -o "$TMP/reply" -T "$TMP/www/file" "http://$HOST:$WEB/upload/file"
	same "$TMP/www/upload/file"
}
git_http() {
	git clone -q "http://$HOST:$WEB/repository.git" "$TMP/clone"
	git -C "$TMP/clone" fsck --full
	same "$TMP/clone/file"
}
node_fetch() {
	node -e '
		const { createWriteStream } = require("fs"), net = require("net");
		const [host, web, out] = process.argv.slice(1);
		(async () => {
			const response = await fetch(`http://${host}:${web}/file`);
			require("fs").writeFileSync(out, Buffer.from(await response.arrayBuffer()));
			const socket = net.connect(web, host, () => {
				if (socket.remoteAddress !== host || socket.remotePort !== Number(web)) {
					console.error(`the peer is ${socket.remoteAddress}:${socket.remotePort}`);
					process.exit(1);
				}
				socket.destroy();
			});
		})().catch((error) => { console.error(error); process.exit(1); });
	' "$HOST" "$WEB" "$TMP/node"
	same "$TMP/node"
}
redis() {
	redis-cli -h "$HOST" -p "$REDIS" -x set key <"$TMP/www/file" >"$TMP/redis.set"
	redis-cli -h "$HOST" -p "$REDIS" get key >"$TMP/redis.raw"
	head -c -1 "$TMP/redis.raw" >"$TMP/redis.got"
	same "$TMP/redis.got"
}
psql() {
	base64 -w 200 "$TMP/www/file" >"$TMP/rows"
	"$BIN/psql" -X -q -h "$HOST" -p "$POSTGRES" -U postgres -v ON_ERROR_STOP=1 \
		-c 'CREATE TABLE rows (id serial, text text)' -c '\copy rows (text) from pstdin' <"$TMP/rows"
	"$BIN/psql" -X -q -A -t -h "$HOST" -p "$POSTGRES" -U postgres -c 'SELECT text FROM rows ORDER BY id' >"$TMP/rows.back"
	cmp "$TMP/rows" "$TMP/rows.back"
}
ssh_cat() {
	timeout 60 ssh -F "$TMP/ssh.conf" proxyd cat <"$TMP/www/file" >"$TMP/ssh.back"
	same "$TMP/ssh.back"
}

passes 1 curl curl_down
passes 1 "curl over IPv6" curl_ipv6
passes 1 "curl, upload" curl_up
passes 1 "git over http" git_http
passes 2 node node_fetch
passes 2 redis-cli redis
passes 2 psql psql
passes 1 ssh ssh_cat
"$PROXYD" status --json --control "$CONTROL" | jq -c .bytes
END
"$PROXYD" exec -c "$TMP/config.yaml" --control "$CONTROL" -- bash "$TMP/clients" || fail "a program failed"
