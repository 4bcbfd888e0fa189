// Package holdfast is what a Go backend adds to believe only the gateway (docs/assertion.md): Kit.Guard is net/http middleware.
package holdfast

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
)

const skew = 5 // seconds that the gateway's clock and ours may differ

// Kit is explained in kits/README.md; what is left out demands nothing, or is as there.
type Kit struct {
	Issuer, Audience, JWKSURL, Header string
	Tiers, Bindings                   []string
	BodyDigest, SingleUse             bool
	MaxBody                           int64
	Now                               func() time.Time
	keys                              keys
	seen                              sync.Map // `jti`s and when they are over
	swept                             atomic.Int64
}
type Claims map[string]any // what the gateway says of a request
type claimsKey struct{}

// ClaimsOf are those of a request that Guard let through.
func ClaimsOf(r *http.Request) Claims { return r.Context().Value(claimsKey{}).(Claims) }

// Meets tells whether an assertion has what a route demands; `both` is bound by DPoP and by a certificate; nil: any.
func (c Claims) Meets(tiers, bindings []string) bool {
	tier, _ := c["tier"].(string)
	binding, _ := c["binding"].(map[string]any)
	isIt := func(one string) bool { return one == binding["method"] || binding["method"] == "both" }
	return (tiers == nil || slices.Contains(tiers, tier)) && (bindings == nil || slices.ContainsFunc(bindings, isIt))
}

// Guard refuses a request unless its one assertion was signed for it, and for nothing else; nobody is told what was wrong.
func (k *Kit) Guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if claims, ok := k.check(r); ok && k.holds(claims, r) {
			next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), claimsKey{}, claims)))
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		io.WriteString(w, `{"error":"Unauthorized"}`)
	})
}

func (k *Kit) check(r *http.Request) (claims Claims, ok bool) {
	lines := r.Header.Values(cmp.Or(k.Header, "Holdfast-Assertion"))
	isLoose := func(part string) bool { _, err := base64.RawURLEncoding.Strict().DecodeString(part); return err != nil }
	if len(lines) != 1 || slices.ContainsFunc(strings.Split(lines[0], "."), isLoose) {
		return nil, false
	}
	signed, err := jose.ParseSignedCompact(lines[0], []jose.SignatureAlgorithm{jose.ES256})
	if err != nil || signed.Signatures[0].Protected.ExtraHeaders["typ"] != "holdfast+jwt" {
		return nil, false
	}
	payload, err := signed.Verify(k.keys.find(signed.Signatures[0].Protected.KeyID, k.JWKSURL, k.now())) // refuses `crit`
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		return nil, false
	}
	now := k.now().Unix()
	iat, exp := whole(claims["iat"]), whole(claims["exp"])
	_, query, asked := strings.Cut(r.RequestURI, "?")
	qsh, hashed := claims["qsh"]
	return claims, iat > 0 && iat <= now+skew && now < exp+skew && claims["iss"] == k.Issuer && claims["aud"] == k.Audience &&
		claims["htm"] == r.Method && claims["target"] == r.RequestURI && hashed == asked && (!asked || qsh == hash(query)) &&
		claims.Meets(k.Tiers, k.Bindings) && (!k.SingleUse || k.isFirst(claims["jti"], exp+skew, now))
}

// holds reads the body where the assertion covers it, or must, and gives it back.
func (k *Kit) holds(claims Claims, r *http.Request) bool {
	bdh, covered := claims["bdh"]
	if !covered && !k.BodyDigest {
		return true
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, cmp.Or(k.MaxBody, 1<<20)))
	r.Body = io.NopCloser(bytes.NewReader(body))
	return err == nil && covered == (len(body) > 0) && (!covered || bdh == hash(string(body)))
}
