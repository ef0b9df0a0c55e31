package bench

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// disasters has a pair's master killed and its replica promoted, and the old master come
// back, as often as it says.
func disasters(ctx context.Context, o GroupOptions, p population) (all []Disaster, err error) {
	if o.Disasters == 0 {
		return nil, nil
	}
	if o.Dir = filepath.Join(o.Dir, "pair"); os.Mkdir(o.Dir, 0o700) != nil {
		return nil, fmt.Errorf("%s cannot be made", o.Dir)
	}
	g := &benchGroup{GroupOptions: o}
	defer func() { err = errors.Join(err, g.stop()) }()
	if _, err := g.grow(ctx, p, 2); err != nil {
		return nil, err
	}
	for n := range o.Disasters {
		d, err := g.disaster(ctx, uint64(n)+1)
		if err != nil {
			return nil, fmt.Errorf("disaster promotion %d: %w", n+1, err)
		}
		o.Log.Info("disaster promotion", "n", n+1, "lost_ms", d.Lost, "took_ms", d.Took, "return_ms", d.Return)
		all = append(all, d)
	}
	return all, nil
}

// disaster ends an epoch.
func (g *benchGroup) disaster(ctx context.Context, epoch uint64) (d Disaster, err error) {
	m, others, err := g.master(ctx)
	if err != nil {
		return d, err
	}
	young, start := others[0], time.Now()
	if err := m.kill(); err != nil {
		return d, err
	}
	m.server = nil
	if err := await(ctx, "the master is taken for lost", func() bool {
		return young.do(ctx, "", "group", "promote", "--disaster", "--dry-run") == nil
	}); err != nil {
		return d, err
	}
	d.Lost = ms(time.Since(start))
	start = time.Now()
	if err := young.do(ctx, "", "group", "promote", "--disaster", "--confirm", fmt.Sprintf("bench/%d", epoch)); err != nil {
		return d, err
	}
	tag := map[string]any{"tags": []string{fmt.Sprintf("epoch%d", epoch+1)}}
	if err := await(ctx, "a change in the new epoch", func() bool {
		_, err := young.call(ctx, http.MethodPatch, "/users/"+population(0).login(0), tag)
		return err == nil
	}); err != nil {
		return d, err
	}
	d.Took = ms(time.Since(start))
	start = time.Now()
	if _, err := m.serve(ctx); err != nil {
		return d, err
	}
	if err := await(ctx, "the old master in the new epoch", func() bool {
		st, err := m.status(ctx)
		return err == nil && st.Epoch == epoch+1 && st.Role == "replica"
	}); err != nil {
		return d, err
	}
	d.Return = ms(time.Since(start))
	return d, g.settled(ctx)
}
