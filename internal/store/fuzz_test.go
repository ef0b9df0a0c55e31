package store

import (
	"testing"

	"countersign/internal/mfa"
	"countersign/internal/parking"
	"countersign/internal/secret"
)

// The records of the group itself are read as they were written.
func FuzzGroupRecords(f *testing.F) {
	f.Add(format(epochRecord{schema, EpochRecord{Epoch: 3, ClusterID: "00000000deadbeef", Previous: PreviousEpoch{Epoch: 2, ForkRevision: 7},
		Members: []string{"n1"}, Since: noon, Hold: &EpochHold{Awaits: []string{"n2"}}}}))
	f.Add(format(swapRecord{schema, mfa.Swap{From: "n1", To: "n2", Since: noon}}))
	f.Add(format(schemaRecord{schema, GroupSchema{Schema: 2, Program: "v2", Since: noon}}))
	f.Add(format(memberRecord{schema, mfa.Member{Name: "n1", Peer: "n1:7443", Role: mfa.RoleServer}}))
	f.Add([]byte(`{"v":1,"schema":-1}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := parseEpoch(b); err == nil {
			out := format(epochRecord{schema, r})
			if again, err := parseEpoch(out); err != nil || string(format(epochRecord{schema, again})) != string(out) {
				t.Errorf("epoch %s came back as %+v, %v", out, again, err)
			}
			for _, a := range r.Ancestors() {
				if a.Epoch == 0 {
					t.Errorf("%s has an ancestor of no epoch", b)
				}
			}
			if r.Hold != nil {
				h := EpochHold{}
				h.Carry(r.Hold)
			}
		}
		var swap swapRecord
		if err := parse(keySwap, b, &swap, &swap.V); err == nil {
			var again swapRecord
			if err := parse(keySwap, format(swap), &again, &again.V); err != nil || string(format(again)) != string(format(swap)) {
				t.Errorf("swap %s came back as %+v, %v", format(swap), again, err)
			}
		}
		if g, err := parseGroupSchema(b); err == nil {
			if g.Schema < 1 {
				t.Errorf("%s: schema %d", b, g.Schema)
			}
			if again, err := parseGroupSchema(format(schemaRecord{schema, g})); err != nil || string(format(again)) != string(format(g)) {
				t.Errorf("schema %+v came back as %+v, %v", g, again, err)
			}
		}
		if m, err := parseMember("n1", b); err == nil {
			if m.Name != "n1" {
				t.Errorf("%s is taken for n1", b)
			}
			if again, err := parseMember("n1", format(memberRecord{schema, m})); err != nil || string(format(again)) != string(format(m)) {
				t.Errorf("member %+v came back as %+v, %v", m, again, err)
			}
		}
	})
}

// A change of the parked list comes from another server's database. It is read as it was
// written, or refused.
func FuzzParked(f *testing.F) {
	s := bare(f)
	user := mfa.User{ID: alice, Login: "alice"}
	cred := mfa.Credential{ID: "bbbbbbbbbbbbbbbb", User: alice, Method: "totp", Secret: secret.FromString("12345678901234567890")}
	for key, c := range map[string]parking.Change{
		userKey(alice):              {Epoch: 1, Server: "n2", What: "added", After: parking.Object{User: &user}, Credentials: []mfa.Credential{cred}, Found: noon},
		credKey(alice, cred.ID):     {Epoch: 1, Server: "n2", What: "changed", Before: parking.Object{Credential: &cred}, After: parking.Object{Credential: &cred}},
		prefixMember + "n2":         {Epoch: 1, What: "removed", Before: parking.Object{Server: &mfa.Member{Name: "n2"}}},
		prefixDirectory + "example": {Epoch: 1, What: "removed"},
	} {
		b, err := s.formatParked(c, key)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte(`{"v":1,"key":"u/aaaaaaaaaaaaaaaa","credentials":{"c/aaaaaaaaaaaaaaaa/bbbbbbbbbbbbbbbb":null}}`))
	f.Add([]byte(`{"v":1,"key":"d/x","after":{"v":1}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		read := func(b []byte) (parking.Change, string, error) {
			sealed, err := s.ring.Seal("blob", blobParked+"id", prefixSealed+blobParked+"id", b)
			if err != nil {
				t.Fatal(err)
			}
			return s.parseParked("id", format(sealedPart{schema, sealed}))
		}
		c, key, err := read(b)
		if err != nil {
			return
		}
		out, err := s.formatParked(c, key)
		if err != nil {
			t.Fatalf("%s is read and not written: %v", b, err)
		}
		again, same, err := read(out)
		if err != nil || same != key {
			t.Fatalf("%s is written and not read: %q, %v", out, same, err)
		}
		if back, err := s.formatParked(again, key); err != nil || string(back) != string(out) {
			t.Errorf("%s came back as %s, %v", out, back, err)
		}
	})
}
