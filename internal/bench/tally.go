package bench

import (
	"slices"
	"time"
)

// tally is what came of the requests of one round.
type tally struct {
	OK       int `json:"ok"`
	Rejected int `json:"rejected"`  // the server said no to a right code
	Unproven int `json:"unproven"`  // an answer that the server's secret did not make, or that is none
	TimedOut int `json:"timed_out"` // no answer within the time-out
	Withheld int `json:"withheld"`  // open loop: not sent, because the identifier was still taken

	inTime  int             // of OK, those answered before the round's end
	latency []time.Duration // of OK
	end     time.Duration   // when the round ended: as planned, or when the first requests ran out
}

// merge adds what another worker counted.
func (t *tally) merge(u tally) {
	t.OK += u.OK
	t.Rejected += u.Rejected
	t.Unproven += u.Unproven
	t.TimedOut += u.TimedOut
	t.Withheld += u.Withheld
	t.inTime += u.inTime
	t.latency = append(t.latency, u.latency...)
}

// outcome is what one answer is.
type outcome uint8

const (
	unproven outcome = iota
	accepted
	rejected
)

func (t *tally) count(o outcome, latency time.Duration, inTime bool) {
	switch o {
	case accepted:
		t.OK++
		t.latency = append(t.latency, latency)
		if inTime {
			t.inTime++
		}
	case rejected:
		t.Rejected++
	default:
		t.Unproven++
	}
}

// Round is one round of one system.
type Round struct {
	tally
	Seconds   float64 `json:"seconds"`
	Rate      float64 `json:"rate"`           // accepts a second
	P50       float64 `json:"p50_ms"`         // of the accepts
	P95       float64 `json:"p95_ms"`         //
	P99       float64 `json:"p99_ms"`         //
	Max       float64 `json:"max_ms"`         //
	ServerCPU float64 `json:"server_cpu_us"`  // processor time of the server's processes for each accept
	ClientCPU float64 `json:"client_cpu_us"`  // of the load generator
	Others    float64 `json:"others_cpu"`     // part of the machine's processors that neither server nor load generator used
	Sync50    float64 `json:"fdatasync50_ms"` // the disk just before the round
}

func newRound(t tally, server, client time.Duration) Round {
	r := Round{tally: t, Seconds: t.end.Seconds()}
	if t.end > 0 {
		r.Rate = float64(t.inTime) / t.end.Seconds()
	}
	if t.OK > 0 {
		r.ServerCPU = float64(server.Microseconds()) / float64(t.OK)
		r.ClientCPU = float64(client.Microseconds()) / float64(t.OK)
	}
	slices.Sort(t.latency)
	r.P50, r.P95, r.P99, r.Max = ms(at(t.latency, .5)), ms(at(t.latency, .95)), ms(at(t.latency, .99)), ms(at(t.latency, 1))
	r.latency = nil
	return r
}

// Bad is how many requests did not end as they should have.
func (r Round) Bad() int { return r.Rejected + r.Unproven + r.TimedOut + r.Withheld }

// at returns the value below which the fraction q of the sorted values lies; 0 for none.
func at[T any](sorted []T, q float64) (v T) {
	if len(sorted) == 0 {
		return v
	}
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

func ms(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }

// median of some values; 0 for none.
func median(values []float64) float64 {
	v := slices.Sorted(slices.Values(values))
	switch n := len(v); {
	case n == 0:
		return 0
	case n%2 == 1:
		return v[n/2]
	default:
		return (v[n/2-1] + v[n/2]) / 2
	}
}

// Result is all rounds of one system under one load.
type Result struct {
	System   string  `json:"system"`
	Loop     string  `json:"loop"`               // "closed" or "open"
	InFlight int     `json:"in_flight,omitzero"` // closed
	Offered  float64 `json:"offered,omitzero"`   // open: requests a second
	Rounds   []Round `json:"rounds"`
	Median   Round   `json:"median"`
	Bad      int     `json:"bad"`   // in all rounds; such a result is marked
	Noisy    int     `json:"noisy"` // rounds made again because of what else the machine did
}

// summarise fills Median and Bad.
func (r *Result) summarise() {
	of := func(f func(Round) float64) float64 {
		v := make([]float64, len(r.Rounds))
		for i, x := range r.Rounds {
			v[i] = f(x)
		}
		return median(v)
	}
	r.Bad = 0
	r.Median = Round{
		Seconds: of(func(x Round) float64 { return x.Seconds }), Rate: of(func(x Round) float64 { return x.Rate }),
		P50: of(func(x Round) float64 { return x.P50 }), P95: of(func(x Round) float64 { return x.P95 }),
		P99: of(func(x Round) float64 { return x.P99 }), Max: of(func(x Round) float64 { return x.Max }),
		ServerCPU: of(func(x Round) float64 { return x.ServerCPU }), ClientCPU: of(func(x Round) float64 { return x.ClientCPU }),
		Sync50: of(func(x Round) float64 { return x.Sync50 }), Others: of(func(x Round) float64 { return x.Others }),
	}
	for _, x := range r.Rounds {
		r.Bad += x.Bad()
		r.Median.merge(x.tally)
	}
}
