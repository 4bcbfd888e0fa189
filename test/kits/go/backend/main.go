// A backend that the Go kit guards, as test/kits/harness.ts describes.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"

	"holdfast"
)

func main() {
	var settings struct {
		Issuer  string
		JWKSURL string `json:"jwks_url"`
		Options struct {
			Audience   string
			Tiers      []string
			Bindings   []string
			BodyDigest bool `json:"body_digest"`
			SingleUse  bool `json:"single_use"`
		}
	}
	if err := json.Unmarshal([]byte(os.Args[len(os.Args)-1]), &settings); err != nil {
		panic(err)
	}
	demanded := settings.Options
	kit := &holdfast.Kit{Issuer: settings.Issuer, Audience: demanded.Audience, JWKSURL: settings.JWKSURL, Tiers: demanded.Tiers,
		Bindings: demanded.Bindings, BodyDigest: demanded.BodyDigest, SingleUse: demanded.SingleUse}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(err)
		}
		claims := holdfast.ClaimsOf(r)
		_ = json.NewEncoder(w).Encode(map[string]any{
			"sub": claims["sub"], "tier": claims["tier"], "bytes": len(body), "assertion": r.Header.Get("Holdfast-Assertion"),
		})
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Printf("listening %d\n", listener.Addr().(*net.TCPAddr).Port)
	panic(http.Serve(listener, kit.Guard(handler)))
}
