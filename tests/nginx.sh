# shellcheck shell=bash
# nginx's configuration for shell tests, which source this behind lib.sh. Whatever it writes goes below
# $TMP; it serves from $TMP/www what the test puts there.

# Writes $TMP/nginx.conf. Standard input goes into `http`, behind what every test has.
write_nginx_config() {
	mkdir -p "$TMP/www/upload" "$TMP/nginx"
	{
		cat <<-END
			worker_processes 1;
			pid $TMP/nginx/pid;
			error_log stderr warn;
			user root;
			events { worker_connections 512; }
			http {
			    access_log off;
			    client_max_body_size 0;
			    client_body_temp_path $TMP/nginx/body;
			    proxy_temp_path $TMP/nginx/proxy;
			    fastcgi_temp_path $TMP/nginx/fastcgi;
			    uwsgi_temp_path $TMP/nginx/uwsgi;
			    scgi_temp_path $TMP/nginx/scgi;
		END
		cat
		echo "}"
	} >"$TMP/nginx.conf"
}
