package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"time"

	"countersign/internal/mfa"
)

// roster is the copy of the member records beside the database: whom to let in, and whom
// to ask, before the database can be read.
type roster struct {
	Group   string       `json:"group"`
	Members []mfa.Member `json:"members"`
}

// rosterFile is a roster with this server's signature.
type rosterFile struct {
	V         int             `json:"v"`
	Roster    json.RawMessage `json:"roster"`
	Signature []byte          `json:"signature"`
}

const (
	rosterContext = "countersign members 1\n"
	rosterEvery   = time.Second
	maxRoster     = 4 << 20
)

// loadRoster reads it; an empty one if there is none.
func loadRoster(dataDir string, id identity) (r roster, err error) {
	path := filepath.Join(dataDir, rosterName)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err != nil {
		return r, err
	}
	var f rosterFile
	if err = json.Unmarshal(b, &f); err == nil && (f.V != 1 || len(b) > maxRoster) {
		err = fmt.Errorf("format %d, this program knows 1", f.V)
	}
	if err == nil {
		err = id.verifyMessage(append([]byte(rosterContext), f.Roster...), f.Signature)
	}
	if err == nil {
		err = json.Unmarshal(f.Roster, &r)
	}
	if err != nil {
		return r, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}

func (r roster) write(dataDir string, id identity) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	sig, err := id.signMessage(append([]byte(rosterContext), b...))
	if err != nil {
		return err
	}
	file, err := json.Marshal(rosterFile{1, b, sig})
	if err != nil {
		return err
	}
	return writeSynced(filepath.Join(dataDir, rosterName), append(file, '\n'))
}

// replace writes r, unless a later epoch's is there.
func (p *peering) replace(r roster, id identity) error {
	p.writing.Lock()
	defer p.writing.Unlock()
	if p.stale.Load() {
		return nil
	}
	if err := r.write(p.dir, id); err != nil {
		return err
	}
	p.roster.Store(&r)
	return nil
}

// keepRoster writes the copy whenever the records change, until ctx is done.
func (s *server) keepRoster(ctx context.Context) error {
	tick := time.NewTicker(rosterEvery)
	defer tick.Stop()
	for {
		now := roster{s.node.Group(), s.records().Members()}
		if len(now.Members) > 0 && !s.peers.stale.Load() && !reflect.DeepEqual(now, *s.peers.roster.Load()) {
			if err := s.peers.replace(now, s.id); err != nil {
				s.own.Warn("the copy of the member records could not be written; the next try is in a moment", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}
