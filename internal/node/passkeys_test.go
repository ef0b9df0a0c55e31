package node

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"countersign/internal/mfa"
)

// A passkey whose counter went back is told in the log and counted; nothing else is.
func TestCopiedPasskeyIsAnAlarm(t *testing.T) {
	m := newMetrics()
	var said bytes.Buffer
	log := slog.New(slog.NewTextHandler(&said, nil))
	for _, why := range []mfa.Reason{mfa.OK, mfa.PasskeyAlone, mfa.PasskeyInvalid, mfa.PasskeyCounterBack} {
		m.copied(log, &mfa.Attempt{Reason: why, User: "aaaaaaaaaaaaaaaa", Credential: "bbbbbbbbbbbbbbbb"})
	}
	if n := strings.Count(said.String(), "level=WARN"); n != 1 || !strings.Contains(said.String(), "there may be a copy of it") || !strings.Contains(said.String(), "credential=bbbbbbbbbbbbbbbb") {
		t.Errorf("said %s", said.String())
	}
	families, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == "countersign_passkey_counter_back_total" {
			if n := f.GetMetric()[0].GetCounter().GetValue(); n != 1 {
				t.Errorf("counted %v", n)
			}
			return
		}
	}
	t.Error("the metric is not there")
}
