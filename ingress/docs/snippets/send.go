// Places a call: RINGPOST is the address, KEY is keyId:secret. Standard library only.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

func main() {
	call, _ := json.Marshal(map[string]any{
		"messageId":     fmt.Sprintf("login-%d", time.Now().UnixNano()),
		"customerPhone": "+6581234567",
		"message":       "Your Acme code is {code}.",
		"code":          "482915",
	})
	request, err := http.NewRequest("POST", os.Getenv("RINGPOST")+"/api/make-call", bytes.NewReader(call))
	if err != nil {
		panic(err)
	}
	keyID, secret, _ := strings.Cut(os.Getenv("KEY"), ":")
	request.SetBasicAuth(keyID, secret)
	request.Header.Set("Content-Type", "application/json")
	client := http.Client{Timeout: 10 * time.Second}
	reply, err := client.Do(request)
	if err != nil {
		panic(err) // no answer: send the same again, it rings once
	}
	defer reply.Body.Close()
	answer, _ := io.ReadAll(reply.Body)
	fmt.Println(string(answer))
	if reply.StatusCode != 200 {
		os.Exit(1)
	}
}
