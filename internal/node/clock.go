package node

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// clockCheck looks after this machine's clock: codes are good for one time only.
type clockCheck struct {
	log          *slog.Logger
	synchronised func() (ok, known bool)
	state        atomic.Int32 // 0 not known, 1 synchronised, 2 not
	back         atomic.Int64 // ns by which the clock stood behind the trail's last record at start
}

const clockInterval = time.Hour

// run checks at once and then once an hour.
func (c *clockCheck) run(ctx context.Context) error {
	tick := time.NewTicker(clockInterval)
	defer tick.Stop()
	for {
		c.check()
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func (c *clockCheck) check() {
	ok, known := c.synchronised()
	switch {
	case !known:
		c.state.Store(0)
	case ok:
		c.state.Store(1)
	default:
		c.state.Store(2)
		c.log.Warn("the kernel says that this machine's clock is not synchronised; time-based codes will be refused when it drifts by a minute",
			"next", "start chrony or systemd-timesyncd, and look with timedatectl")
	}
}

// jumped notes that the clock stands before the time of the last record in the trail.
func (c *clockCheck) jumped(last, now time.Time) {
	const tolerance = 2 * time.Second
	if d := last.Sub(now); d > tolerance {
		c.back.Store(int64(d))
		c.log.Error("the clock jumped back: the last record in the trail is of a later time than now; codes that were used stay refused, but records will be out of order",
			"last_record", last.UTC().Format(time.RFC3339), "now", now.UTC().Format(time.RFC3339), "behind", d.Round(time.Second).String(),
			"next", "set the clock right; if the record's time was the wrong one, nothing needs to be done")
	}
}

// warnings says what is wrong with the clock.
func (c *clockCheck) warnings() (w []string) {
	if c.state.Load() == 2 {
		w = append(w, "clock is not synchronised: start chrony or systemd-timesyncd")
	}
	if d := time.Duration(c.back.Load()); d > 0 {
		w = append(w, "clock stood "+d.Round(time.Second).String()+" behind the trail's last record when the server started")
	}
	return w
}
