package bench

import (
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/ipv4"

	"countersign/internal/radius"
	"countersign/internal/secret"
)

// patience is how long a request waits for its answer.
const patience = 3 * time.Second

// sharedSecret is that of the benchmark's RADIUS client.
const sharedSecret = "benchmark-shared-secret"

// request is a datagram that only has to be sent.
type request struct {
	passcode passcode
	packet   []byte
	auth     [16]byte
}

// dialect is what the load generator has to know about a server that it sends datagrams to.
type dialect struct {
	prepare func(c passcode, identifier byte) (request, error)
	judge   func(r *request, answer []byte) outcome
}

// radiusDialect is PAP with the code alone, as a client sends it that has checked the
// password itself. Answers must have a right Response Authenticator, and with signed set
// a Message-Authenticator; one that is there must always be right.
func radiusDialect(p population, signed bool) dialect {
	key := radius.NewKey(secret.New([]byte(sharedSecret)))
	return dialect{
		prepare: func(c passcode, identifier byte) (r request, err error) {
			if _, err := rand.Read(r.auth[:]); err != nil {
				return r, err
			}
			hidden, err := key.Hide(nil, []byte(c.code), r.auth)
			if err != nil {
				return r, err
			}
			w := radius.NewRequest(make([]byte, 0, 128), radius.AccessRequest, identifier, r.auth)
			if err := errors.Join(w.Add(radius.UserName, []byte(p.login(c.user))), w.Add(radius.UserPassword, hidden),
				w.Add(radius.NASIdentifier, []byte("bench"))); err != nil {
				return r, err
			}
			r.passcode, r.packet = c, w.SignRequest(key)
			return r, nil
		},
		judge: func(r *request, answer []byte) outcome {
			p, err := radius.Parse(answer)
			if err != nil {
				return unproven
			}
			ma, err := key.VerifyReply(p, r.auth)
			switch {
			case err != nil || signed && !ma:
				return unproven
			case p.Code() == radius.AccessAccept:
				return accepted
			case p.Code() == radius.AccessReject:
				return rejected
			}
			return unproven
		},
	}
}

// statusServer reports whether a RADIUS server answers a Status-Server (RFC 5997) within wait.
func statusServer(addr netip.AddrPort, wait time.Duration) bool {
	key := radius.NewKey(secret.New([]byte(sharedSecret)))
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return false
	}
	defer conn.Close()
	var auth [16]byte
	if _, err := rand.Read(auth[:]); err != nil {
		return false
	}
	w := radius.NewRequest(nil, radius.StatusServer, 0, auth)
	if _, err := conn.Write(w.SignRequest(key)); err != nil {
		return false
	}
	_ = conn.SetReadDeadline(time.Now().Add(wait))
	var b [radius.MaxLen]byte
	n, err := conn.Read(b[:])
	if err != nil {
		return false
	}
	p, err := radius.Parse(b[:n])
	if err != nil {
		return false
	}
	_, err = key.VerifyReply(p, auth)
	return err == nil
}

// flow is one socket of the load generator, which is one source port to the server.
type flow struct {
	conn  *net.UDPConn
	batch *ipv4.PacketConn
}

func dial(addr netip.AddrPort) (flow, error) {
	conn, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(addr))
	if err != nil {
		return flow{}, fmt.Errorf("load generator: %w", err)
	}
	_ = conn.SetReadBuffer(4 << 20)
	return flow{conn, ipv4.NewPacketConn(conn)}, nil
}
