package mfatest

import (
	"bytes"
	"fmt"
	"net"
	"testing"
	"time"
)

// repeated returns the header lines of a request that its answers repeat.
func repeated(request []byte) (out []byte) {
	for line := range bytes.Lines(request) {
		for _, name := range []string{"Via:", "From:", "To:", "Call-ID:", "CSeq:"} {
			if bytes.HasPrefix(line, []byte(name)) {
				out = append(out, line...)
			}
		}
	}
	return out
}

// Exchange is a SIP exchange that rings nobody: it answers each INVITE by these statuses, and by the
// others once that is taken back. It returns its address.
func Exchange(t testing.TB, invited []int, cancelled ...int) string {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	go func() {
		b := make([]byte, 4096)
		var invite []byte
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			answer := func(request []byte, status int) {
				_, _ = c.WriteTo(fmt.Appendf(nil, "SIP/2.0 %d Said\r\n%sContent-Length: 0\r\n\r\n", status, repeated(request)), from)
			}
			switch {
			case bytes.HasPrefix(b[:n], []byte("INVITE")):
				invite = bytes.Clone(b[:n])
				for i, status := range invited {
					if i > 0 {
						time.Sleep(50 * time.Millisecond) // datagrams are not kept in order
					}
					answer(invite, status)
				}
			case bytes.HasPrefix(b[:n], []byte("CANCEL")):
				answer(b[:n], 200)
				for _, status := range cancelled {
					answer(invite, status)
				}
			}
		}
	}()
	return c.LocalAddr().String()
}
