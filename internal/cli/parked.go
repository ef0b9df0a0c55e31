package cli

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"countersign/internal/admin"
)

type groupParked struct {
	List    parkedList    `cmd:"" default:"1" help:"List the changes that servers brought back from epochs that ended."`
	Apply   parkedApply   `cmd:"" help:"Make them in the group's database."`
	Discard parkedDiscard `cmd:"" help:"Take them off the list for good."`
}

type parkedList struct{}

func (parkedList) Run(ctx context.Context, e *env) error {
	var doc admin.ParkedList
	if err := e.call(ctx, http.MethodGet, "/group/parked", nil, nil, &doc); err != nil {
		return err
	}
	if err := e.table(doc, doc.Parked, "id", "epoch", "server", "kind", "what", "object", "detail", "by", "time", "standing"); err != nil || e.JSON {
		return err
	}
	for _, r := range doc.Reports {
		switch {
		case r.Error != "":
			e.say("Epoch %d, copy of %s: it cannot be read: %s", r.Epoch, r.Server, r.Error)
		case r.Finished.IsZero():
			e.say("Epoch %d, copy of %s: it is being read; so far %d settlement records merged, %d changes found.", r.Epoch, r.Server, r.Records, r.Listed)
		default:
			e.say("Epoch %d, copy of %s: %d settlement records merged, %d codes used on both sides, %d restrictions applied by themselves, %d changes found.",
				r.Epoch, r.Server, r.Records, r.Twice, len(r.Restricted), r.Listed)
		}
		for _, what := range r.Restricted {
			e.say("  %s", printable(what))
		}
	}
	return nil
}

// parkedWhich selects changes.
type parkedWhich struct {
	ID  []string `arg:"" optional:"" help:"Ids, as the list shows them."`
	All bool     `help:"All that are listed."`
}

// ids returns those that are meant, in the order in which they can be applied.
func (v parkedWhich) ids(ctx context.Context, e *env) ([]string, error) {
	if v.All == (len(v.ID) > 0) {
		return nil, usage("name the ids of changes, or --all")
	}
	if !v.All {
		return v.ID, nil
	}
	var doc admin.ParkedList
	if err := e.call(ctx, http.MethodGet, "/group/parked", nil, nil, &doc); err != nil {
		return nil, err
	}
	var ids []string
	for _, c := range doc.Parked {
		ids = append(ids, c.ID)
	}
	return ids, nil
}

type parkedApply struct {
	parkedWhich
	Force bool `help:"Take the parked one although the object was changed in this epoch too; with ids only."`
}

func (v *parkedApply) Run(ctx context.Context, e *env) error {
	if v.All && v.Force {
		return usage("--force goes with the ids of changes that you have looked at, not with --all")
	}
	ids, err := v.ids(ctx, e)
	if err != nil {
		return err
	}
	return e.parked(ctx, ids, "apply", admin.ParkedRequest{Force: v.Force})
}

type parkedDiscard struct{ parkedWhich }

func (v *parkedDiscard) Run(ctx context.Context, e *env) error {
	ids, err := v.ids(ctx, e)
	if err != nil {
		return err
	}
	if err := e.confirm("Discard %d parked changes for good? Nothing else has them once the old copy is removed.", len(ids)); err != nil {
		return err
	}
	return e.parked(ctx, ids, "discard", nil)
}

// parked does one thing with each change, goes on after a refusal, and tells those at the end.
func (e *env) parked(ctx context.Context, ids []string, what string, in any) error {
	done := []admin.ParkedChange{}
	var refused []error
	for _, id := range ids {
		var c admin.ParkedChange
		if err := e.call(ctx, http.MethodPost, path("group", "parked", id, what), nil, in, &c); err != nil {
			refused = append(refused, fmt.Errorf("%s: %w", id, err))
			continue
		}
		done = append(done, c)
		e.say("%s %s: %s %s %s", map[string]string{"apply": "Applied", "discard": "Discarded"}[what], c.ID, c.Kind, printable(c.Object), c.What)
	}
	if e.JSON {
		if err := e.document(map[string]any{"parked": done}); err != nil {
			return err
		}
	}
	if len(refused) > 0 {
		return fmt.Errorf("%d of %d were refused: %w", len(refused), len(ids), errors.Join(refused...))
	}
	return nil
}
