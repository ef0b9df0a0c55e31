package registry

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"

	"countersign/internal/group"
	"countersign/internal/mfa"
)

const (
	maxLetters = 64 // that wait for one group's master
)

// Letter is a request of a new server on its way to the group's master, which calls for it:
// a coordinator calls nobody.
type Letter struct {
	ID   string          `json:"id"`
	Path string          `json:"path"`
	Body json.RawMessage `json:"body"`
	From string          `json:"from,omitempty"` // address of who asks, for the master's limits
}

// Reply is the master's answer to a Letter.
type Reply struct {
	ID     string          `json:"id"`
	Status int             `json:"status"` // of HTTP
	Body   json.RawMessage `json:"body"`
}

// box holds what waits for a group's master.
type box struct {
	waiting []Letter
	open    map[string]chan Reply // by letter, also of those that the master has
	arrived chan struct{}         // closed when a letter comes
}

func (s *Service) box(groupName string) *box {
	if s.letters == nil {
		s.letters = map[string]*box{}
	}
	b := s.letters[groupName]
	if b == nil {
		b = &box{open: map[string]chan Reply{}, arrived: make(chan struct{})}
		s.letters[groupName] = b
	}
	return b
}

// Ask passes a request on to a group's master and waits for the answer until ctx is done. It
// gives the letter its id.
func (s *Service) Ask(ctx context.Context, groupName string, l Letter) (Reply, error) {
	l.ID = rand.Text()
	answer := make(chan Reply, 1)
	s.mu.Lock()
	b := s.box(groupName)
	if len(b.open) >= maxLetters {
		s.mu.Unlock()
		return Reply{}, fmt.Errorf("too many requests for activation into group %s; try again in a moment: %w", groupName, mfa.ErrUnavailable)
	}
	b.waiting = append(b.waiting, l)
	b.open[l.ID] = answer
	close(b.arrived)
	b.arrived = make(chan struct{})
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(b.open, l.ID)
		s.mu.Unlock()
	}()
	select {
	case r := <-answer:
		return r, nil
	case <-ctx.Done():
		return Reply{}, fmt.Errorf("the master of group %s has not called for this request in time (does a server of the group reach this coordinator, and has the group a master?): %w", groupName, mfa.ErrUnavailable)
	}
}

// Next returns the letters that wait for the group of a server that says it is its master,
// as soon as there is one; none when ctx is done.
func (s *Service) Next(ctx context.Context, from Server) ([]Letter, error) {
	for {
		s.mu.Lock()
		b := s.box(from.Group)
		var out []Letter
		for _, l := range b.waiting {
			if b.open[l.ID] != nil { // somebody still waits
				out = append(out, l)
			}
		}
		b.waiting = nil
		arrived := b.arrived
		s.mu.Unlock()
		if len(out) > 0 {
			return out, nil
		}
		select {
		case <-ctx.Done():
			return nil, nil
		case <-arrived:
		}
	}
}

// Deliver brings the answer to a letter of the server's own group.
func (s *Service) Deliver(from Server, r Reply) error {
	if r.Status < 200 || r.Status > 599 || len(r.Body) > group.MaxBody {
		return fmt.Errorf("%w: answer to a letter", mfa.ErrInvalid)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if answer := s.box(from.Group).open[r.ID]; answer != nil {
		select {
		case answer <- r:
		default: // answered already
		}
		return nil
	}
	return fmt.Errorf("nobody waits for this answer any more: %w", mfa.ErrNotFound)
}
