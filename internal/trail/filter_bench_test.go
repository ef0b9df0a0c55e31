package trail

import (
	"testing"
	"time"

	"countersign/internal/mfa"
)

// million fills an index with attempts of a hundred thousand users, without a trail: a tenth is
// refused, one in a hundred thousand is of an application or by a method that hardly anybody uses.
const million = `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i < 1000000)
INSERT INTO records SELECT i, 1, i*1000000000, 'user' || (i*7919 % 100000), 'login' || (i*7919 % 100000), CASE WHEN i % 100000 = 5 THEN 'rare' ELSE 'vpn' || (i % 5) END,
	CASE WHEN i % 10 = 0 THEN ? ELSE 1 END, CASE WHEN i % 10 = 0 THEN 0 ELSE 1 END, i, 1, 0, 100, CASE WHEN i % 100000 = 7 THEN 'sms' ELSE 'totp' END, 0 FROM n`

// BenchmarkFilters is finding one page of 50 among a million attempts, without reading the records.
func BenchmarkFilters(b *testing.B) {
	tr, err := Open(onDisk(b))
	if err != nil {
		b.Fatal(err)
	}
	x, err := OpenIndex(tr)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := x.db.Exec(million, int64(mfa.WrongCode)); err != nil {
		b.Fatal(err)
	}
	at := func(i int64) time.Time { return time.Unix(i, 0) }
	for name, f := range map[string]Filter{
		"none": {}, "user": {User: "user7"}, "nobody": {Login: "nobody"}, "application": {Application: "vpn3"}, "rare application": {Application: "rare"},
		"rare method": {Method: "sms"}, "refused": {Verdict: "reject"}, "reason that never was": {Reason: "blocked"},
		"rare application, refused": {Application: "rare", Verdict: "reject"}, "two rare things": {Application: "rare", Method: "sms"},
		"user at an application": {User: "user7", Application: "vpn3"}, "an hour long ago": {Since: at(1000), Until: at(4600), Verdict: "reject"},
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				where, args, err := conditions(b.Context(), x.db, isAttempt, f)
				if err != nil {
					b.Fatal(err)
				}
				rows, err := x.db.QueryContext(b.Context(), "SELECT seq, segment, off, len FROM records WHERE "+where+" ORDER BY seq DESC LIMIT ?", append(args, 51)...)
				if err != nil {
					b.Fatal(err)
				}
				if _, err := locations(rows); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	if err := x.close(); err != nil {
		b.Fatal(err)
	}
}
