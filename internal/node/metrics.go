package node

import (
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"countersign/internal/mfa"
	"countersign/internal/radiusd"
)

// metrics is what Prometheus may read. No label names a user.
type metrics struct {
	registry     *prometheus.Registry
	radius       []prometheus.Counter // by outcome
	attempts     *prometheus.CounterVec
	disowned     prometheus.Counter
	copies       prometheus.Counter
	seconds      *prometheus.HistogramVec
	verdicts     atomic.Uint64
	unreplicated atomic.Uint64
}

func newMetrics() *metrics {
	m := &metrics{registry: prometheus.NewRegistry()}
	packets := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "countersign_radius_packets_total", Help: "RADIUS datagrams, by what became of them."}, []string{"outcome"})
	m.attempts = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "countersign_attempts_total", Help: "Verdicts on authentications."},
		[]string{"application", "front_end", "verdict", "reason", "method"})
	m.seconds = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: "countersign_attempt_seconds", Help: "From the first packet of an attempt to its verdict, waiting for the user included.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 120}}, []string{"front_end", "verdict"})
	m.disowned = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "countersign_sign_ins_disowned_total", Help: "Sign-ins of which the user says that it was not them."})
	m.copies = prometheus.NewCounter(prometheus.CounterOpts{
		Name: "countersign_passkey_counter_back_total", Help: "Passkeys whose counter went back or stood still, so that there may be a copy."})
	m.registry.MustRegister(packets, m.attempts, m.seconds, m.disowned, m.copies)
	for _, o := range radiusd.Outcomes() {
		m.radius = append(m.radius, packets.WithLabelValues(o.String()))
	}
	return m
}

// RADIUS implements radiusd.Metrics.
func (m *metrics) RADIUS(o radiusd.Outcome) {
	m.radius[o].Inc()
}

// observe counts a verdict.
func (m *metrics) observe(a *mfa.Attempt) {
	m.verdicts.Add(1)
	if a.Unreplicated {
		m.unreplicated.Add(1)
	}
	verdict := a.Verdict.String()
	m.attempts.WithLabelValues(a.Application, a.FrontEnd, verdict, a.Reason.String(), string(a.Method)).Inc()
	m.seconds.WithLabelValues(a.FrontEnd, verdict).Observe(a.Duration.Seconds())
}

// gauge adds a value that is read when it is asked for.
func (m *metrics) gauge(name, help string, value func() float64) {
	m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "countersign_" + name, Help: help}, value))
}

// handler serves our own figures, and those of the Go runtime and the database engine,
// which count in the default registry.
func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(prometheus.Gatherers{m.registry, prometheus.DefaultGatherer},
		promhttp.HandlerOpts{Timeout: 10 * time.Second})
}
