package node

import (
	"context"
	"net"
	"os"
	"strconv"
	"time"
)

// notify tells systemd a state (sd_notify(3)); it does nothing where nobody listens.
func notify(state string) {
	socket := os.Getenv("NOTIFY_SOCKET")
	if socket == "" {
		return
	}
	if socket[0] == '@' {
		socket = "\x00" + socket[1:]
	}
	c, err := net.Dial("unixgram", socket)
	if err != nil {
		return
	}
	defer c.Close()
	_, _ = c.Write([]byte(state))
}

// watchdog tells systemd that the server is alive, at half of the time it is given, as
// long as alive says so. It waits for ctx where systemd does not ask.
func watchdog(ctx context.Context, alive func() error) error {
	usec, err := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64)
	if err != nil || usec <= 0 {
		<-ctx.Done()
		return nil
	}
	tick := time.NewTicker(time.Duration(usec) * time.Microsecond / 2)
	defer tick.Stop()
	for {
		if alive() == nil {
			notify("WATCHDOG=1")
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
