package call

import (
	"bytes"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"countersign/internal/mfa"
)

// Payload types of RTP that every telephone knows (RFC 3551), and ours for keys.
const (
	typePCMU = 0
	typePCMA = 8
	typeKeys = 101
)

// description is one side's audio, as SDP (RFC 8866) describes it.
type description struct {
	at   netip.AddrPort
	alaw bool
	keys int // payload type of telephone-event; -1: none
}

// offer returns our own description: G.711 both ways, and keys.
func offer(session int64, at netip.AddrPort) []byte {
	family := "IP4"
	if at.Addr().Is6() && !at.Addr().Is4In6() {
		family = "IP6"
	}
	address := at.Addr().Unmap().String()
	var b bytes.Buffer
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\r\n", args...) }
	line("v=0")
	line("o=- %d %d IN %s %s", session, session, family, address)
	line("s=-")
	line("c=IN %s %s", family, address)
	line("t=0 0")
	line("m=audio %d RTP/AVP %d %d %d", at.Port(), typePCMU, typePCMA, typeKeys)
	line("a=rtpmap:%d PCMU/8000", typePCMU)
	line("a=rtpmap:%d PCMA/8000", typePCMA)
	line("a=rtpmap:%d telephone-event/8000", typeKeys)
	line("a=fmtp:%d 0-15", typeKeys)
	line("a=ptime:20")
	line("a=sendrecv")
	return b.Bytes()
}

// maxSDP is how much of a description is looked at, in bytes.
const maxSDP = 8 << 10

// parseSDP reads the other side's description. Only its first audio stream counts. An error
// holds mfa.GatewayRefused.
func parseSDP(body []byte) (description, error) {
	d := description{keys: -1}
	if len(body) == 0 || len(body) > maxSDP {
		return d, fmt.Errorf("%w: its answer describes no audio", mfa.GatewayRefused)
	}
	var host string
	var port, media int
	var formats []string
	maps := map[string]string{}
	for line := range strings.Lines(string(body)) {
		line = strings.TrimRight(line, "\r\n")
		kind, value, ok := strings.Cut(line, "=")
		if !ok {
			continue
		}
		switch kind {
		case "c": // of the session, or in its stead of the stream
			if f := strings.Fields(value); len(f) == 3 && media <= 1 {
				host, _, _ = strings.Cut(f[2], "/")
			}
		case "m":
			f := strings.Fields(value)
			if media > 0 || len(f) < 4 || f[0] != "audio" {
				media = max(media, 1) + 1 // whatever follows is of another stream
				continue
			}
			media, formats = 1, f[3:]
			port, _ = strconv.Atoi(f[1])
			if !strings.HasPrefix(f[2], "RTP/AVP") {
				return d, fmt.Errorf("%w: it wants audio as %.20q, and we speak RTP/AVP", mfa.GatewayRefused, f[2])
			}
		case "a":
			if rest, ok := strings.CutPrefix(value, "rtpmap:"); ok && media == 1 {
				number, name, _ := strings.Cut(rest, " ")
				maps[number] = strings.ToLower(strings.TrimSpace(name))
			}
		}
	}
	addr, err := netip.ParseAddr(host)
	if err != nil || port < 1 || port > 65535 || addr.IsMulticast() {
		return d, fmt.Errorf("%w: its answer describes no audio that can be reached", mfa.GatewayRefused)
	}
	d.at = netip.AddrPortFrom(addr.Unmap(), uint16(port))
	audio := false
	for _, f := range formats {
		n, err := strconv.Atoi(f)
		if err != nil || n < 0 || n > 127 {
			continue
		}
		name := maps[f]
		switch {
		case !audio && n == typePCMU:
			audio = true
		case !audio && n == typePCMA:
			audio, d.alaw = true, true
		case d.keys < 0 && strings.HasPrefix(name, "telephone-event/8000"):
			d.keys = n
		}
	}
	if !audio {
		return d, fmt.Errorf("%w: it speaks neither PCMU nor PCMA", mfa.GatewayRefused)
	}
	return d, nil
}
