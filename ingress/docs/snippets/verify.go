// Tells whether a callback is genuine. Standard library only.
package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
)

const toleranceSeconds = 300

// secret is "whsec_...", body the very bytes that came, the others are headers.
func isGenuine(secret, id, timestamp, signatures string, body []byte) bool {
	at, err := strconv.ParseInt(timestamp, 10, 64)
	if off := time.Now().Unix() - at; err != nil || off > toleranceSeconds || off < -toleranceSeconds {
		return false
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		return false
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	expected := []byte("v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	// Two while a secret is being rotated.
	for _, one := range strings.Fields(signatures) {
		if hmac.Equal([]byte(one), expected) {
			return true
		}
	}
	return false
}

func main() {
	body, _ := io.ReadAll(os.Stdin)
	env := os.Getenv
	if !isGenuine(env("WEBHOOK_SECRET"), env("WEBHOOK_ID"), env("WEBHOOK_TIMESTAMP"), env("WEBHOOK_SIGNATURE"), body) {
		os.Exit(1)
	}
}
