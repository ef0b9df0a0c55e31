package node

import (
	"log/slog"
	"time"

	"countersign/internal/challenge"
	"countersign/internal/enroll"
	"countersign/internal/keyring"
	"countersign/internal/method/passkey"
	"countersign/internal/mfa"
	"countersign/internal/policy"
)

// passkeys is package method/passkey as package enroll wants it. name is shown by browsers.
func passkeys(name string, settings func() policy.Settings, ring *keyring.Ring, epoch func() uint64, now func() time.Time) passkey.Ceremonies {
	return passkey.Ceremonies{Method: passkey.Method{Name: name, Settings: settings, Digest: ring.DigestOf},
		Sealer: challenge.Sealer{Keys: ring}, Epoch: epoch, Now: now, Life: enroll.ProofLife}
}

// copied raises the alarm about a passkey of which there may be two.
func (m *metrics) copied(log *slog.Logger, a *mfa.Attempt) {
	if a.Reason == mfa.PasskeyCounterBack {
		m.copies.Inc()
	}
	warnCopied(log, a)
}

func warnCopied(log *slog.Logger, a *mfa.Attempt) {
	if a.Reason != mfa.PasskeyCounterBack {
		return
	}
	log.Warn("a passkey's counter went back or stood still: there may be a copy of it", "user", a.User, "credential", a.Credential, "attempt", a.ID,
		"application", a.Application, "source", a.Source,
		"next", "ask the user whether it was them; if not, or if nobody knows: countersign credential remove, and have another one enrolled")
}
