package web

import (
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"time"
)

// Door is a listener that holds so many connections and no more, in all and from one network, so
// that whoever opens many and says little takes neither the memory nor the room of others.
// Proxies may have as many as there are. All exported fields must be set.
type Door struct {
	net.Listener
	Each    int // from one network, see Limits
	All     int
	Proxies Proxies
	Log     *slog.Logger

	mu   sync.Mutex
	open int
	from map[string]int
	told time.Time // of connections that were refused
}

// toldEvery is how often the log says that connections are refused.
const toldEvery = time.Minute

// Accept implements net.Listener.
func (d *Door) Accept() (net.Conn, error) {
	for {
		c, err := d.Listener.Accept()
		if err != nil {
			return nil, err
		}
		key, exempt := d.key(c.RemoteAddr())
		if d.enter(key, exempt) {
			return &guest{Conn: c, leave: sync.OnceFunc(func() { d.leave(key) })}, nil
		}
		d.tell(c.RemoteAddr())
		_ = c.Close()
	}
}

func (d *Door) key(a net.Addr) (key string, exempt bool) {
	at, err := netip.ParseAddrPort(a.String())
	if err != nil {
		return a.String(), false
	}
	return network(at.Addr().Unmap().WithZone("").String()), d.Proxies.has(at.Addr())
}

func (d *Door) enter(key string, exempt bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open >= d.All || !exempt && d.from[key] >= d.Each {
		return false
	}
	if d.from == nil {
		d.from = map[string]int{}
	}
	d.open++
	d.from[key]++
	return true
}

func (d *Door) leave(key string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.open--
	if d.from[key]--; d.from[key] == 0 {
		delete(d.from, key)
	}
}

// tell logs that a connection was refused, now and then.
func (d *Door) tell(from net.Addr) {
	d.mu.Lock()
	now, open := time.Now(), d.open
	due := now.Sub(d.told) >= toldEvery
	if due {
		d.told = now
	}
	d.mu.Unlock()
	if due {
		d.Log.Warn("connections are refused: there are too many, in all or from one network", "listener", d.Addr().String(), "from", from.String(), "open", open,
			"each", d.Each, "all", d.All, "next", "if that is a reverse proxy of yours, name it in trusted_proxies; otherwise keep the sender out at the firewall")
	}
}

// guest is a connection that was let in.
type guest struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (g *guest) Close() error {
	g.leave()
	return g.Conn.Close()
}
