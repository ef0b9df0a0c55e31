package console

import (
	"time"

	"countersign/internal/admin"
	"countersign/internal/web"
)

// Sizes of a chart, in its own units; it is as wide as the page.
const (
	chartWidth, chartHeight = 720.0, 180.0
	chartLabels             = 6
)

// chart is bars over time, each of two parts: below those let in, above them, hatched, those
// refused. What it shows stands in a table below it too.
type chart struct {
	Width, Height float64
	Top           int64 // the highest bar
	Bars          []bar
	Labels        []chartLabel
}

type bar struct {
	X, Width           float64
	InY, In, OutY, Out float64 // where the two parts begin, and how high they are
	Accepted, Refused  int64
	Start              string // in the form of the language
}

type chartLabel struct {
	X    float64
	Text string
}

func newChart(spans []admin.ReportSpan, zone *time.Location, t web.Texts) *chart {
	c := &chart{Width: chartWidth, Height: chartHeight}
	for _, s := range spans {
		c.Top = max(c.Top, s.Accepted+s.Refused)
	}
	form := t.Say("form.day")
	if len(spans) > 1 && spans[len(spans)-1].Start.Sub(spans[0].Start) < 4*24*time.Hour {
		form = t.Say("form.hour")
	}
	step := chartWidth / float64(len(spans))
	every := (len(spans) + chartLabels - 1) / chartLabels
	for i, s := range spans {
		b := bar{X: float64(i)*step + step*0.1, Width: step * 0.8, Accepted: s.Accepted, Refused: s.Refused, Start: s.Start.In(zone).Format(t.Say("form.minute"))}
		if c.Top > 0 {
			b.In, b.Out = chartHeight*float64(s.Accepted)/float64(c.Top), chartHeight*float64(s.Refused)/float64(c.Top)
		}
		b.InY, b.OutY = chartHeight-b.In, chartHeight-b.In-b.Out
		c.Bars = append(c.Bars, b)
		if i%every == 0 {
			c.Labels = append(c.Labels, chartLabel{float64(i) * step, s.Start.In(zone).Format(form)})
		}
	}
	return c
}
