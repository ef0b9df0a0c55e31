package trail

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"countersign/internal/mfa"
)

// TestEncode: what is written by hand is what encoding/json reads, and in the same
// fields that it would write.
func TestEncode(t *testing.T) {
	full := realSignIn()
	full[0].Settled.Nonce, full[0].Settled.NonceUntil = 1<<64-1, start
	full[0].Settled.Failures, full[0].Settled.FirstFails = 1, 1
	full[0].Settled.Floor = mfa.Floor{Next: 1<<64 - 1, Drift: -3, Spent: 1 << 63}
	full[0].Settled.Number, full[0].Settled.Before = 1<<64-1, mfa.Floor{Next: 1, Drift: 2, Spent: 3}
	full[1].Attempt.Unreplicated = true
	full[1].Attempt.Degraded, full[1].Attempt.Trace = true, []string{"gate: protected", "", "\"quoted\"\n"}
	nasty := "\x00\x1f\"\\/<>&\x7f\u0085\u2028\u202e\U0001f600\U000e0001é日本\xff\xfe\xed\xa0\x80" + strings.Repeat(" ", 600)
	tests := map[string]mfa.Record{
		"sign-in, settled": realSignIn()[0],
		"sign-in, attempt": realSignIn()[1],
		"settled, full":    full[0],
		"attempt, full":    full[1],
		"settled, zero":    {Settled: &mfa.Settled{}},
		"attempt, zero":    {Attempt: &mfa.Attempt{}},
		"act, zero":        {Act: &mfa.Act{}},
		"act":              {Act: &mfa.Act{Time: start, Server: "a", By: "b", Verb: "c", Object: "d", Detail: "e"}},
		"change, zero":     {Change: &mfa.Change{}},
		"change": {Change: &mfa.Change{What: mfa.ChangeBlock, User: "u", Credential: "c", Token: "t", By: "b", Time: start, Server: "s", Number: 7,
			Block: &mfa.Block{Until: start, Reason: nasty, By: "b", Since: start}}},
		"change, for good": {Change: &mfa.Change{What: mfa.ChangeBlock, Block: &mfa.Block{By: nasty, Since: start}}},
		"attempt, nasty":   {Attempt: &mfa.Attempt{Login: nasty, Application: nasty, Trace: []string{nasty}}},
		"asked, zero":      {Asked: &mfa.Asked{}},
		"asked":            {Asked: &mfa.Asked{Nonce: 1<<64 - 1, Until: start, Attempt: *full[1].Attempt}},
		"act, nasty":       {Act: &mfa.Act{Detail: nasty}},
		"act, fraud":       {Act: &mfa.Act{Verb: mfa.VerbFraud, Fraud: &mfa.Fraud{User: "u", Source: nasty, Time: start, Blocked: true, Until: start}}},
	}
	for name, r := range tests {
		t.Run(name, func(t *testing.T) {
			b, err := appendRecord([]byte("{"), r)
			if err != nil {
				t.Fatal(err)
			}
			for i, c := range b {
				if c < ' ' || c == 0x7f {
					t.Fatalf("byte %d is the control character %#x: %q", i, c, b)
				}
			}
			std, err := json.Marshal(r)
			if err != nil {
				t.Fatal(err)
			}
			var got, want mfa.Record
			if err := json.Unmarshal(b, &got); err != nil {
				t.Fatalf("%v: %s", err, b)
			}
			if err := json.Unmarshal(std, &want); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %s\nwant %s", b, std)
			}
			var fields, stdFields map[string]map[string]any
			if err := json.Unmarshal(b, &fields); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(std, &stdFields); err != nil {
				t.Fatal(err)
			}
			for kind := range stdFields {
				for f := range stdFields[kind] {
					if _, ok := fields[kind][f]; !ok {
						t.Errorf("field %s.%s is not written", kind, f)
					}
				}
				if len(fields[kind]) != len(stdFields[kind]) {
					t.Errorf("fields: got %v, want %v", fields[kind], stdFields[kind])
				}
			}
		})
	}
}

// TestEncodeKnowsEveryField fails when a field is added to a record and not here.
func TestEncodeKnowsEveryField(t *testing.T) {
	for _, tt := range []struct {
		v any
		n int
	}{{mfa.Settled{}, 17}, {mfa.Attempt{}, 17}, {mfa.Act{}, 7}, {mfa.Change{}, 9}, {mfa.Block{}, 4}, {mfa.Floor{}, 3}, {mfa.Record{}, 5}, {mfa.Asked{}, 4}} {
		if got := reflect.TypeOf(tt.v).NumField(); got != tt.n {
			t.Errorf("%T has %d fields, want %d: write and read the new one in encode.go", tt.v, got, tt.n)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	for name, r := range map[string]mfa.Record{
		"nothing set": {},
		"two set":     {Act: &mfa.Act{}, Attempt: &mfa.Attempt{}},
		"too long":    {Act: &mfa.Act{Detail: strings.Repeat("x", maxLine)}},
	} {
		if b, err := appendRecord([]byte("kept"), r); err == nil || string(b) != "kept" {
			t.Errorf("%s: got %d bytes, %v, want an error", name, len(b), err)
		}
	}
	long := mfa.Record{Act: &mfa.Act{Detail: strings.Repeat("x", maxLine-lineOverhead-200)}}
	body, err := appendRecord(nil, long)
	if err != nil {
		t.Fatal(err)
	}
	line, _ := appendLine(nil, sha256.New(), Hash{}, 1<<62, true, body)
	if _, err := parseLine(line[:len(line)-1]); err != nil {
		t.Errorf("the longest record cannot be read: %v", err)
	}
}

// TestFormat: the format is a promise. Another program must be able to check it.
func TestFormat(t *testing.T) {
	body, err := appendRecord(nil, act(1))
	if err != nil {
		t.Fatal(err)
	}
	line, sum := appendLine(nil, sha256.New(), Hash{1}, 7, true, body)
	payload := `"seq":7,"synced":6,"act":{"time":"2026-11-24T08:00:00Z","server":"nyc1","by":"test","verb":"count","object":"1"}}`
	prev := append([]byte{1}, make([]byte, 31)...)
	want := fmt.Sprintf(`{"hash":"%x",%s`+"\n", sha256.Sum256(append(prev, payload...)), payload)
	if string(line) != want {
		t.Errorf("got  %swant %s", line, want)
	}
	if string(line[payloadAt:len(line)-1]) != payload || payloadAt != 75 {
		t.Errorf("the payload begins at %d: %q", payloadAt, line[payloadAt:])
	}
	if sum.String() != string(line[9:73]) {
		t.Errorf("hash %s, on the line %s", sum, line[9:73])
	}
}

// TestTimesAreUTC: whatever zone a server runs in.
func TestTimesAreUTC(t *testing.T) {
	got := string(appendTime(nil, start.Add(time.Nanosecond).In(time.FixedZone("", 3600))))
	if want := `"2026-11-24T08:00:00.000000001Z"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestParseLineRefuses(t *testing.T) {
	body, _ := appendRecord(nil, act(1))
	b, _ := appendLine(nil, sha256.New(), Hash{1}, 7, true, body)
	good := string(b[:len(b)-1])
	if _, err := parseLine([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"empty":               "",
		"leading space":       " " + good,
		"trailing space":      good + " ",
		"upper case hash":     good[:9] + strings.ToUpper(good[9:73]) + good[73:],
		"hash not hex":        strings.Replace(good, good[9:11], "xx", 1),
		"seq 0":               strings.Replace(good, `"seq":7`, `"seq":0`, 1),
		"seq with zero":       strings.Replace(good, `"seq":7`, `"seq":07`, 1),
		"seq negative":        strings.Replace(good, `"seq":7`, `"seq":-7`, 1),
		"seq too large":       strings.Replace(good, `"seq":7,"synced":6`, `"seq":9223372036854775808`, 1),
		"seq overflows":       strings.Replace(good, `"seq":7,"synced":6`, `"seq":99999999999999999999`, 1),
		"synced not before":   strings.Replace(good, `"synced":6`, `"synced":7`, 1),
		"unknown kind":        strings.Replace(good, `"act"`, `"art"`, 1),
		"no object":           strings.Replace(good, `"act":{`, `"act":[`, 1),
		"no closing brace":    good[:len(good)-2],
		"hash field missing":  good[payloadAt:],
		"other field first":   `{"h":1,` + good[1:],
		"longer than maxLine": good[:len(good)-2] + strings.Repeat(" ", maxLine) + "}}",
	} {
		if _, err := parseLine([]byte(bad)); err == nil {
			t.Errorf("%s: taken: %.200q", name, bad)
		}
	}
}

func FuzzParseLine(f *testing.F) {
	for _, r := range append(realSignIn(), act(1)) {
		body, err := appendRecord(nil, r)
		if err != nil {
			f.Fatal(err)
		}
		for _, synced := range []bool{true, false} {
			line, _ := appendLine(nil, sha256.New(), Hash{1}, 7, synced, body)
			f.Add(line[:len(line)-1])
		}
	}
	f.Add([]byte(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := parseLine(b)
		if err != nil {
			return
		}
		// What it takes, appendLine would make again, but for the hash.
		again, _ := appendLine(nil, sha256.New(), Hash{}, l.seq, l.synced, []byte(`"`+l.kind+`":`+string(l.body)+`}`))
		if want := append(bytes.Clone(b), '\n'); !bytes.Equal(again[payloadAt:], want[payloadAt:]) || !bytes.Equal(again[:9], want[:9]) {
			t.Errorf("read %q, written again %q", b, again)
		}
		if rec, ok, err := l.record(); ok && err == nil {
			if _, err := appendRecord(nil, rec); err != nil {
				t.Errorf("record of %q cannot be written: %v", b, err)
			}
		}
	})
}

func FuzzAppendString(f *testing.F) {
	f.Add("alice@corp.example")
	f.Add("\x00\xff\u2028\U0001f600")
	f.Fuzz(func(t *testing.T, s string) {
		b := appendString(nil, s)
		var got string
		if err := json.Unmarshal(b, &got); err != nil {
			t.Fatalf("%q: %v", b, err)
		}
		if want := strings.ToValidUTF8(s, "\ufffd"); strings.ReplaceAll(got, "\ufffd", "") != strings.ReplaceAll(want, "\ufffd", "") {
			t.Errorf("%q: got %q, want %q", b, got, want)
		}
		if bytes.ContainsAny(b, "\n\r\x7f\x00") {
			t.Errorf("%q holds a control character", b)
		}
	})
}
