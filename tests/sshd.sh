# shellcheck shell=bash
# A real sshd for shell tests, which source this behind lib.sh. It wants to be root, as it logs in as
# the user that it runs as.

# Sets SSHD, or skips the test.
need_sshd() {
	need_root
	need ssh ssh-keygen
	SSHD=$(PATH=$PATH:/usr/sbin command -v sshd) || skip "sshd is not installed (tests/install)"
}

# Also writes $TMP/ssh.conf: the host `proxyd` is root at FRONT.
start_sshd() { # PORT FRONT [ADDRESS, of both]
	ssh-keygen -q -t ed25519 -N '' -f "$TMP/host-key"
	ssh-keygen -q -t ed25519 -N '' -f "$TMP/key"
	cat >"$TMP/sshd.conf" <<-END
		ListenAddress ${3:-127.0.0.1}:$1
		HostKey $TMP/host-key
		AuthorizedKeysFile $TMP/key.pub
		PermitRootLogin prohibit-password
		PasswordAuthentication no
		KbdInteractiveAuthentication no
		UsePAM no
		StrictModes no
		PidFile none
		Subsystem sftp internal-sftp
	END
	cat >"$TMP/ssh.conf" <<-END
		Host proxyd
		    HostName ${3:-127.0.0.1}
		    Port $2
		    User root
		    IdentityFile $TMP/key
		    IdentitiesOnly yes
		    BatchMode yes
		    StrictHostKeyChecking no
		    UserKnownHostsFile $TMP/known-hosts
		    LogLevel ERROR
		    ConnectTimeout 10
	END
	echo 'root:*:19000:0:99999:7:::' >"$TMP/shadow"
	# In a mount namespace of its own: sshd wants /run/sshd, and without PAM it takes an account
	# without a password (root, on many machines) for a locked one.
	# shellcheck disable=SC2016 # expanded by the inner shell
	spawn sshd unshare --mount bash -euc 'mount -t tmpfs tmpfs /run; mkdir -m 755 /run/sshd
		mount --bind "$2/shadow" /etc/shadow
		exec "$1" -D -e -f "$2/sshd.conf"' sshd "$SSHD" "$TMP"
	wait_listening "$1" sshd
}

remote() { timeout 60 ssh -F "$TMP/ssh.conf" proxyd "$@"; }
