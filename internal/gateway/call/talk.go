package call

import (
	"context"
	"fmt"
	"sync"
	"time"

	"countersign/internal/mfa"
	"countersign/internal/voice"
)

const (
	maxKeys  = 32              // that are kept of one answer
	farewell = 6 * time.Second // at most, for what is said before we hang up
)

// ear is a voice.Ear that one goroutine fills and another asks.
type ear struct {
	mu sync.Mutex
	voice.Ear
}

func (e *ear) hear(frame []int16) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.Ear.Hear(frame)
}

func (e *ear) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.Ear = voice.Ear{}
}

func (e *ear) beep() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.Ear.Beep()
}

func (e *ear) machine() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.Ear.Machine()
}

// dialogue is how far a talk has come.
type dialogue struct {
	*line
	Talk
	asks  int
	keys  string    // since the last wrong answer
	wrong int       // answers
	heard bool      // what is asked was said to its end
	after int       // samples that are said after Sure was named, of what is said now
	doubt bool      // Sure came from what sounds like a mailbox, and has to come again
	quiet time.Time // since when nothing is said or pressed
}

// talk dials the extension, asks and waits for keys. It returns nil once they were right.
func (l *line) talk(ctx context.Context, t Talk) error {
	d := &dialogue{line: l, Talk: t}
	go l.stream.receive() // until the stream is closed
	ticker := time.NewTicker(frameTime)
	defer ticker.Stop()
	if l.number.Extension != "" {
		l.stream.dial(l.number.Extension)
		if err := l.say(ctx, ticker, time.Minute); err != nil {
			return err
		}
		l.ear.forget() // whoever put us through is not whom we call
	}
	l.stream.play(voice.Pause(300))
	d.ask()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case key := <-l.keys:
			if done, err := d.press(ctx, key); done {
				return d.end(ctx, ticker, err)
			}
		case <-l.hungUp:
			for len(l.keys) > 0 { // what was pressed just before
				if done, err := d.press(ctx, <-l.keys); done {
					return err
				}
			}
			return d.left()
		case now := <-ticker.C:
			if err := l.stream.tick(now); err != nil {
				return err
			}
			if done, err := d.wait(now); done {
				return d.end(ctx, ticker, err)
			}
		}
	}
}

func (d *dialogue) ask() {
	d.asks++
	d.after = max(len(d.Ask)-d.Named, 0)
	d.stream.play(d.Ask)
}

// early reports whether a key is Sure and comes before that was named. Whatever else was typed
// before it counts: 0 and # is the word of somebody who wants to be heard at once.
func (d *dialogue) early(key byte) bool {
	return key == d.Sure && d.keys == "" && d.stream.left() > d.after
}

// dubious reports whether a key is Sure and the line sounds like a mailbox, for the first time:
// then it is asked for once more. Somebody in a loud place does press it again.
func (d *dialogue) dubious(key byte) bool {
	if key != d.Sure || d.keys != "" || d.doubt || !d.ear.machine() {
		return false
	}
	d.doubt = true
	d.stream.hush()
	d.ask()
	d.quiet = time.Time{}
	return true
}

// press takes one key. It reports whether the talk is over, and why: nil if the keys are right.
func (d *dialogue) press(ctx context.Context, key byte) (over bool, err error) {
	if d.early(key) || d.dubious(key) {
		return false, nil
	}
	d.result.Keys++
	d.stream.hush()
	d.quiet = time.Time{}
	d.heard = true
	if len(d.keys) < maxKeys {
		d.keys += string(key)
	}
	switch d.Judge(ctx, d.keys) {
	case Right:
		d.stream.play(d.Said[Right])
		return true, nil
	case Fraud:
		d.stream.play(d.Said[Fraud])
		return true, mfa.FraudReported
	case Wrong:
		return d.mistaken()
	case More:
	}
	return false, nil
}

// mistaken counts a wrong answer and asks again, if that is allowed.
func (d *dialogue) mistaken() (over bool, err error) {
	d.keys = ""
	if d.wrong++; d.wrong >= d.Tries {
		d.stream.play(d.Said[Wrong])
		return true, mfa.CallWrongKey
	}
	d.after = 0
	d.stream.play(d.Again)
	return false, nil
}

// wait is called each 20 ms. It asks again when nothing is pressed, and gives up in the end.
func (d *dialogue) wait(now time.Time) (over bool, err error) {
	if d.result.Keys == 0 && d.ear.beep() {
		d.result.Machine = true
		return true, fmt.Errorf("%w: it gave the tone of a mailbox", mfa.CallVoicemail)
	}
	if !d.stream.idle() {
		d.quiet = time.Time{}
		return false, nil
	}
	d.heard = true
	switch {
	case d.quiet.IsZero():
		d.quiet = now
		return false, nil
	case now.Sub(d.quiet) < d.Pause:
		return false, nil
	case d.keys != "": // begun and not finished
		return d.mistaken()
	case d.asks >= d.Asks:
		return true, d.left()
	}
	d.ask()
	return false, nil
}

// left says why a talk has ended without an answer.
func (d *dialogue) left() error {
	d.result.Machine = d.ear.machine()
	switch {
	case d.wrong > 0 || d.keys != "":
		return mfa.CallWrongKey
	case d.result.Machine:
		return fmt.Errorf("%w: it talked without a pause", mfa.CallVoicemail)
	case d.heard:
		return mfa.CallNotPressed
	}
	return mfa.CallHungUp
}

// end says what is left to be said and returns err.
func (d *dialogue) end(ctx context.Context, ticker *time.Ticker, err error) error {
	_ = d.say(ctx, ticker, farewell) // the decision stands whether they hear this or not
	return err
}

// say waits until what is queued is said, the other side hangs up or the time is over.
func (l *line) say(ctx context.Context, ticker *time.Ticker, most time.Duration) error {
	timeout := time.NewTimer(most)
	defer timeout.Stop()
	for !l.stream.idle() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-l.hungUp:
			return mfa.CallHungUp
		case <-timeout.C:
			return nil
		case now := <-ticker.C:
			if err := l.stream.tick(now); err != nil {
				return err
			}
		}
	}
	return nil
}
