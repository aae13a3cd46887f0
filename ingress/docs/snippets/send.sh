#!/bin/sh
# Places a call: RINGPOST is the address, KEY is keyId:secret. --retry repeats the same body, which rings once.
set -eu

curl --silent --show-error --fail-with-body --max-time 10 --retry 3 --user "$KEY" "$RINGPOST/api/make-call" \
    --header 'Content-Type: application/json' \
    --data "{\"messageId\": \"login-$(date +%s)-$$\", \"customerPhone\": \"+6581234567\",
             \"message\": \"Your Acme code is {code}.\", \"code\": \"482915\"}"
