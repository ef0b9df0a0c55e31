package radiusd

import (
	"runtime"
	"testing"

	"countersign/internal/radius"
)

func TestGoroutinesAreUsedAgain(t *testing.T) {
	r := newRig()
	r.engine.decide = accept
	r.start(t)
	p := dial(t, r.AuthAddrs()[0], "")
	const many = 40
	for i := range many {
		raw := build(radius.AccessRequest, byte(i), random(), true, attr{radius.UserName, "bob"}, attr{radius.UserPassword, "x"})
		p.send(raw)
		p.reply(raw)
		for len(r.resting) == 0 {
			runtime.Gosched()
		}
	}
	if n := len(r.resting); n > many/2 {
		t.Errorf("%d goroutines rest after %d requests, one at a time", n, many)
	}
}
