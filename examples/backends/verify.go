// Package menshen tells who sent a request: Menshen knows at once when a token was taken back.
package menshen

import (
	"encoding/json"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// Menshen is where the server is.
var Menshen = os.Getenv("MENSHEN") // http://127.0.0.1:8000

var client = http.Client{Timeout: 5 * time.Second}

// Verify takes the phone's own header and gives 200 and user_id, appid; or what to answer the phone, status and body.
func Verify(authorization string) (int, map[string]any) {
	return ask("GET", "/api/verify", authorization, "")
}

// Introspect does the same with a service key, and gives the openid too: 200 and active, sub, openid.
func Introspect(token, serviceKey string) (int, map[string]any) {
	return ask("POST", "/partner/introspect", "Bearer "+serviceKey, url.Values{"token": {token}}.Encode())
}

func ask(method, path, authorization, form string) (int, map[string]any) {
	away := map[string]any{"retry": "backoff"} // with 503, never 401: then every phone would log in again at once
	request, err := http.NewRequest(method, Menshen+path, strings.NewReader(form))
	if err != nil {
		return 503, away
	}
	request.Header.Set("Authorization", authorization)
	if form != "" {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	answer, err := client.Do(request)
	if err != nil {
		return 503, away
	}
	defer answer.Body.Close()
	var body map[string]any
	if json.NewDecoder(answer.Body).Decode(&body) != nil {
		return 503, away
	}
	// With the setting API_STATUS=wechat a refusal comes as 200: its errcode begins with the real status.
	if errcode, _ := body["errcode"].(float64); errcode != 0 {
		return int(errcode) / 1000, body
	}
	return answer.StatusCode, body
}
