// Puts requests to the Go kit, as test/kits/harness.ts describes.
package main

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"time"

	"holdfast"
)

type request struct {
	Method, Target, Body string
	Headers              [][2]string
}
type options struct {
	Audience   string
	Tiers      []string
	Bindings   []string
	BodyDigest bool `json:"body_digest"`
	SingleUse  bool `json:"single_use"`
}
type line struct {
	Issuer  string
	JWKSURL string `json:"jwks_url"`
	Now     int64
	Options json.RawMessage
	Request *request
	Repeat  bool
}

var clock int64

func send(guard http.Handler, asked *request) int {
	body, err := base64.StdEncoding.DecodeString(asked.Body)
	if err != nil {
		panic(err)
	}
	headers := http.Header{}
	for _, one := range asked.Headers {
		headers.Add(one[0], one[1])
	}
	// As net/http makes it of a request line: the target as it came, whatever the URL made of it.
	made := &http.Request{Method: asked.Method, RequestURI: asked.Target, URL: &url.URL{}, Header: headers, Body: io.NopCloser(bytes.NewReader(body))}
	answer := httptest.NewRecorder()
	guard.ServeHTTP(answer, made)
	return answer.Code
}

func main() {
	var settings line
	guards := map[string]http.Handler{}
	granted := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _ = holdfast.ClaimsOf(r) })
	lines := bufio.NewReader(os.Stdin)
	out := bufio.NewWriter(os.Stdout)
	defer out.Flush()
	for {
		text, err := lines.ReadBytes('\n')
		if err != nil {
			return
		}
		var said line
		if err := json.Unmarshal(text, &said); err != nil {
			panic(err)
		}
		switch {
		case said.JWKSURL != "":
			settings = said
		case said.Request == nil:
			clock = said.Now
		default:
			var demanded options
			if err := json.Unmarshal(said.Options, &demanded); err != nil {
				panic(err)
			}
			name := string(said.Options)
			guard, known := guards[name]
			if !known || demanded.SingleUse {
				kit := &holdfast.Kit{Issuer: settings.Issuer, Audience: demanded.Audience, JWKSURL: settings.JWKSURL, Tiers: demanded.Tiers,
					Bindings: demanded.Bindings, BodyDigest: demanded.BodyDigest, SingleUse: demanded.SingleUse,
					Now: func() time.Time { return time.Unix(clock, 0) }}
				guard = kit.Guard(granted)
				guards[name] = guard
			}
			answers := []int{send(guard, said.Request)}
			if said.Repeat {
				answers = append(answers, send(guard, said.Request))
			}
			printed, _ := json.Marshal(answers)
			fmt.Fprintf(out, "%s\n", printed)
			out.Flush()
		}
	}
}
