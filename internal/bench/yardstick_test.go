package bench

import (
	"log/slog"
	"net"
	"testing"
	"time"

	"countersign/internal/mfatest"
)

// TestYardsticks has both servers from Debian's packages take a few sign-ins.
func TestYardsticks(t *testing.T) {
	mfatest.Need(t, "freeradius", "slapd", "slapadd")
	o := Options{Dir: t.TempDir(), Systems: []string{"freeradius", "slapo-otp"}, Rounds: 1, Duration: 50 * time.Millisecond,
		InFlight: []int{4, reference}, Users: 5000, Quiet: 1, Log: slog.New(slog.DiscardHandler)}
	r, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Results) != 4 {
		t.Fatalf("%d results, want 4", len(r.Results))
	}
	for _, x := range r.Results {
		if x.Median.OK == 0 || x.Bad != 0 || x.Median.Rate == 0 {
			t.Errorf("%s, %d in flight: %d ok, %d bad, %.0f/s", x.System, x.InFlight, x.Median.OK, x.Bad, x.Median.Rate)
		}
	}
	if r.Disk.Syncs == 0 || r.Disk.P99 < r.Disk.P50 {
		t.Errorf("disk: %+v", r.Disk)
	}
}

func TestBindsThatAreRefusedOrNotAnswered(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		var b [4096]byte
		for id := byte(1); id < 4; id++ {
			if _, err := c.Read(b[:]); err != nil {
				return
			}
			code := byte(0)
			if id == 2 {
				code = 49
			}
			c.Write([]byte{0x30, 12, 2, 1, id, 0x61, 7, 0x0a, 1, code, 4, 0, 4, 0})
		}
		c.Read(b[:])
		c.Write([]byte{0x30, 12, 2, 1, 99, 0x61, 7, 0x0a, 1, 0, 4, 0, 4, 0}) // somebody else's
	}()
	v, err := newBindVolley(l.Addr().String(), take(t, 10), 1, func(passcode) string { return "cn=x" }, func(c passcode) string { return c.code })
	if err != nil {
		t.Fatal(err)
	}
	defer v.close()
	got, unsent := v.fire(time.Minute)
	if got.OK != 2 || got.Rejected != 1 || got.TimedOut != 1 || len(unsent) != 6 {
		t.Errorf("%+v and %d unsent, want 2 ok, 1 rejected, 1 without an answer and 6 unsent", got, len(unsent))
	}
}

func TestBindRequest(t *testing.T) {
	got := bindRequest(1, "cn=x", "pw1")
	want := []byte("\x30\x18\x02\x04\x00\x00\x00\x01\x60\x10\x02\x01\x03\x04\x04cn=x\x80\x03pw1")
	want[1], want[9] = byte(len(want)-2), byte(len(want)-10)
	if string(got) != string(want) {
		t.Errorf("bind request is % x, want % x", got, want)
	}
}
