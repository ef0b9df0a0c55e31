package store_test

import (
	"bytes"
	"testing"

	"countersign/internal/keyring"
	"countersign/internal/mfa"
	"countersign/internal/secret"
	"countersign/internal/store"
	"countersign/internal/store/storetest"
)

// The texts that a thief of the database must not find.
var clearTexts = []string{"alice", "Liddell", "wonder@land.example", "+4915112345678", "12345678901234567890", "$argon2id$", "radius-secret", "bind-password",
	"gateway-password", "header-token", "ca-private-key", "lost her phone", "blue phone"}

// writeSecrets puts all of them into the database.
func writeSecrets(t testing.TB, s *store.Store) mfa.UserID {
	t.Helper()
	u, err := s.CreateUser(t.Context(), mfa.User{Login: "alice", Aliases: []string{"alice@corp.example"}, Name: "Alice Liddell", Email: "wonder@land.example",
		Phone: "+4915112345678", Block: &mfa.Block{Reason: "lost her phone"}}, []mfa.Credential{
		{Method: mfa.MethodTOTP, Secret: secret.FromString("12345678901234567890"), Label: "blue phone"},
		{Method: mfa.MethodPassword, Secret: secret.FromString("$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA")}})
	if err == nil {
		_, err = s.CreateApplication(t.Context(), mfa.Application{Name: "vpn", Secret: secret.FromString("radius-secret")})
	}
	if err == nil {
		_, err = s.CreateDirectory(t.Context(), mfa.Directory{Name: "corp", BindPassword: secret.FromString("bind-password")})
	}
	if err == nil {
		_, err = s.CreateGateway(t.Context(), mfa.Gateway{Name: "sms", Password: secret.FromString("gateway-password"), HTTP: mfa.HTTPTemplate{Headers: map[string]string{"X-Key": "header-token"}}})
	}
	if err == nil {
		_, err = s.PutSealed(t.Context(), "ca", 0, []byte("ca-private-key"))
	}
	if err == nil {
		_, err = s.UpdateUser(t.Context(), u.ID, func(u *mfa.User) error { u.Name = "Alice P. Liddell"; return nil })
	}
	if err == nil {
		err = s.AddCredential(t.Context(), mfa.Credential{ID: "aaaaaaaaaaaaaaaa", User: u.ID, Method: mfa.MethodTOTP, Secret: secret.FromString("12345678901234567890")})
	}
	if err == nil {
		err = s.RotateKeys(t.Context())
	}
	if err == nil {
		err = s.Reseal(t.Context(), nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return u.ID
}

func TestAStolenDatabaseShowsNothing(t *testing.T) {
	kv := &storetest.Memory{}
	s, _ := withIdentity(t, kv)
	id := writeSecrets(t, s)
	stolen := kv.Bytes()
	for _, text := range clearTexts {
		if bytes.Contains(stolen, []byte(text)) {
			t.Errorf("the database shows %q", text)
		}
	}
	if !bytes.Contains(stolen, []byte(id)) {
		t.Error("the database does not show what it must: this test looks at the wrong thing")
	}
}

// withIdentity opens a store that can rotate its keys.
func withIdentity(t testing.TB, kv store.KV) (*store.Store, keyring.Keyset) {
	t.Helper()
	id, err := keyring.NewIdentity()
	if err != nil {
		t.Fatal(err)
	}
	ring := newRing(t)
	if err := store.PutKeyset(t.Context(), kv, "test", id.Recipient(), ring.Keyset()); err != nil {
		t.Fatal(err)
	}
	return openAs(t, kv, ring, id), ring.Keyset()
}
