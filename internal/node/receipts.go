package node

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"countersign/internal/gateway"
	"countersign/internal/mfa"
	"countersign/internal/receipt"
)

// receiptLate is how long after a message is of no use what its provider says is still counted.
const receiptLate = 5 * time.Minute

// receiptOf is what an address stands for, sealed. Nothing of it is in the database: any server of the
// group opens it.
type receiptOf struct {
	Gateway string `json:"g"`
	ID      string `json:"m"`
	Until   int64  `json:"u"` // seconds since 1970
}

const receiptKind = "receipt address"

// callback implements gateway.Options.Callback.
func (p sending) callback(g mfa.Gateway, m gateway.Message) (string, error) {
	b, err := json.Marshal(receiptOf{g.Name, m.ID, m.Until.Add(receiptLate).Unix()})
	if err != nil {
		return "", err
	}
	sealed, err := p.s.ring.Seal(receiptKind, "", "", b)
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(g.Receipts, "/") + receipt.Prefix + base64.RawURLEncoding.EncodeToString(sealed), nil
}

// openReceipt implements receipt.API.Open.
func (p sending) openReceipt(token string) (receipt.Message, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil {
		return receipt.Message{}, fmt.Errorf("no address of a message: %w", mfa.ErrInvalid)
	}
	plain, err := p.s.ring.Open(receiptKind, "", "", b)
	if err != nil {
		return receipt.Message{}, err
	}
	var r receiptOf
	if err := json.Unmarshal(plain.Expose(), &r); err != nil {
		return receipt.Message{}, fmt.Errorf("no address of a message: %w", mfa.ErrInvalid)
	}
	return receipt.Message{Gateway: r.Gateway, ID: r.ID, Until: time.Unix(r.Until, 0)}, nil
}

// receipts is where providers tell what has become of messages.
func (s *server) receipts() http.Handler {
	return (&receipt.API{Open: sending{s}.openReceipt, Gateway: s.store.Gateway, Told: s.carrier.Told, Now: s.Now, Log: s.log.Logger("gateway")}).Handler()
}
