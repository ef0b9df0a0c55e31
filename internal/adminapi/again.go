package adminapi

import (
	"context"
	"time"

	"countersign/internal/admin"
	"countersign/internal/mfa"
)

// askEvery is how often a request that lasts asks again whether who made it still may.
const askEvery = 3 * time.Second

// againKey is where a request's context holds how to identify who made it once more, a
// func() (admin.Caller, error).
type againKey struct{}

// asking is the context of a request by who, whom again identifies once more.
func asking(ctx context.Context, who admin.Caller, again func() (admin.Caller, error)) context.Context {
	return context.WithValue(context.WithValue(ctx, againKey{}, again), callerKey{}, who)
}

// gone says why a request that lasts came to its end: who made it may not go on.
type gone struct {
	why string
	is  error
}

func (g gone) Error() string { return g.why }
func (g gone) Unwrap() error { return g.is }

// still tells why whoever made a request may not go on with what needs one of these
// permissions; nil: they may. Tokens are revoked and expire, and whom they belong to changes.
func still(ctx context.Context, need rule) error {
	again, ok := ctx.Value(againKey{}).(func() (admin.Caller, error))
	if !ok {
		return gone{"it is not known who asks", mfa.ErrForbidden}
	}
	who, err := again()
	if err != nil {
		return gone{err.Error(), err}
	}
	if refusal := need.refuses(who); refusal != "" {
		return gone{refusal, mfa.ErrForbidden}
	}
	return nil
}

// while returns a context that ends when whoever made the request may not go on, with the cause
// that still told. The caller ends it, and with it the asking.
func while(ctx context.Context, need rule) (context.Context, context.CancelCauseFunc) {
	ctx, end := context.WithCancelCause(ctx)
	go func() {
		tick := time.NewTicker(askEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if err := still(ctx, need); err != nil {
					end(err)
				}
			}
		}
	}()
	return ctx, end
}
