#!/bin/sh
# Tells whether a callback is genuine: WEBHOOK_SECRET (whsec_...) and the three headers in the environment, the very
# bytes that came on standard input. Needs openssl, od and tr.
set -eu

case $WEBHOOK_TIMESTAMP in '' | *[!0-9]*) exit 1 ;; esac
off=$(($(date +%s) - WEBHOOK_TIMESTAMP))
[ "${off#-}" -le 300 ] || exit 1

hex() { od -An -v -tx1 | tr -d ' \n'; }
key=$(printf '%s' "${WEBHOOK_SECRET#whsec_}" | openssl base64 -d -A | hex)
digest=$({ printf '%s.%s.' "$WEBHOOK_ID" "$WEBHOOK_TIMESTAMP"; cat; } |
    openssl dgst -sha256 -mac HMAC -macopt "hexkey:$key" -binary | openssl base64 -A)

# Hashes are compared, under a key of this run's own: how long that takes tells nothing of the signature.
once=$(openssl rand -hex 32)
veiled() { printf '%s' "$1" | openssl dgst -sha256 -mac HMAC -macopt "hexkey:$once" -binary | hex; }
expected=$(veiled "v1,$digest")

# Two signatures while a secret is being rotated.
for one in $WEBHOOK_SIGNATURE; do
    if [ "$(veiled "$one")" = "$expected" ]; then exit 0; fi
done
exit 1
