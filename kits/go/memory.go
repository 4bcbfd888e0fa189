// What a kit remembers: the gateway's keys, and each `jti` that was used; and what holdfast.go is written with.

package holdfast

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"math"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// keys are those that the gateway publishes: fetched after 10 minutes, or at an unknown `kid`, then at most every 30 s, by one for all.
type keys struct {
	known    atomic.Pointer[keySet]
	fetching sync.Mutex
	due      time.Time
}
type keySet struct {
	jose.JSONWebKeySet
	until time.Time
}

func (k *keys) cached(kid string, now time.Time) (none jose.JSONWebKey, ok bool) {
	set := k.known.Load()
	if set == nil || now.After(set.until) || len(set.Key(kid)) != 1 {
		return none, false
	}
	return set.Key(kid)[0], true
}

// find returns a key that verifies nothing when there is none.
func (k *keys) find(kid, url string, now time.Time) jose.JSONWebKey {
	if key, ok := k.cached(kid, now); ok {
		return key
	}
	k.fetching.Lock()
	defer k.fetching.Unlock()
	if _, ok := k.cached(kid, now); !ok && !now.Before(k.due) {
		k.due = now.Add(time.Second) // should this one fail
		if set := fetch(url); set != nil {
			k.due = now.Add(30 * time.Second)
			k.known.Store(&keySet{*set, now.Add(10 * time.Minute)})
		}
	}
	key, _ := k.cached(kid, now)
	return key
}

func fetch(url string) *jose.JSONWebKeySet {
	answer, err := (&http.Client{Timeout: 5 * time.Second}).Get(url)
	if err != nil {
		return nil
	}
	defer answer.Body.Close()
	set := new(jose.JSONWebKeySet)
	if answer.StatusCode != http.StatusOK || json.NewDecoder(io.LimitReader(answer.Body, 1<<16)).Decode(set) != nil {
		return nil
	}
	return set
}

// isFirst remembers a `jti` until its end.
func (k *Kit) isFirst(jti any, end, now int64) bool {
	if k.swept.Swap(now) < now {
		k.seen.Range(func(id, end any) bool {
			if end.(int64) < now {
				k.seen.Delete(id)
			}
			return true
		})
	}
	id, isText := jti.(string)
	if !isText {
		return false
	}
	_, used := k.seen.LoadOrStore(id, end)
	return !used
}

func (k *Kit) now() time.Time {
	if k.Now != nil {
		return k.Now()
	}
	return time.Now()
}

// whole is 0 for what is no whole number.
func whole(value any) int64 {
	if number, ok := value.(float64); ok && number == math.Trunc(number) && math.Abs(number) < 1<<53 {
		return int64(number)
	}
	return 0
}

func hash(data string) string {
	sum := sha256.Sum256([]byte(data))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
