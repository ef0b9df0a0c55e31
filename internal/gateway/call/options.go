package call

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/emiago/sipgo/sip"

	"countersign/internal/mfa"
)

// Alive asks a trunk whether it is there (OPTIONS, RFC 3261, section 11), without calling anybody.
// Any answer will do; it returns what the trunk says. A login is not tried by that.
func Alive(ctx context.Context, log *slog.Logger, t Trunk) (said string, err error) {
	l := &line{trunk: t, log: log, began: time.Now(), hungUp: make(chan struct{}), keys: make(chan byte, 1)}
	defer l.close()
	if err := l.open(ctx); err != nil {
		return "", reasoned(ctx, err)
	}
	req := sip.NewRequest(sip.OPTIONS, *l.request.Recipient.Clone())
	req.Recipient.User = ""
	req.AppendHeader(sip.HeaderClone(l.request.From()))
	req.AppendHeader(sip.NewHeader("User-Agent", program))
	l.address(req)
	ctx, cancel := context.WithTimeout(ctx, t.Answer)
	defer cancel()
	tx, err := l.client.TransactionRequest(ctx, req)
	if err != nil {
		return "", reasoned(ctx, fmt.Errorf("%s over %s: %w", t.Address, t.Transport, err))
	}
	defer tx.Terminate()
	for {
		select {
		case res := <-tx.Responses():
			if !res.IsProvisional() {
				return fmt.Sprintf("it answers %d %.60s", res.StatusCode, res.Reason), nil
			}
		case <-tx.Done():
			return "", fmt.Errorf("%w: %s: %w", mfa.GatewayDown, t.Address, tx.Err())
		case <-ctx.Done():
			return "", fmt.Errorf("%w: %s over %s says nothing", mfa.GatewaySlow, t.Address, t.Transport)
		}
	}
}
