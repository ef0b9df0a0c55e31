package mfa

import "time"

// DisasterPromotion is the beginning of a new epoch on a server that has lost its master:
// what was done, or, before it is, what would be. Pointers that are nil stand for what
// cannot be known.
type DisasterPromotion struct {
	Group             string     `json:"group"`
	Epoch             uint64     `json:"epoch" doc:"that ends"`
	NewEpoch          uint64     `json:"new_epoch"`
	OldMaster         string     `json:"old_master" doc:"empty: none is known"`
	NewMaster         string     `json:"new_master" doc:"the server that is asked"`
	LastHeard         *time.Time `json:"last_heard" doc:"when the old master was last heard here; null: not since this server was started"`
	LastRevisionHeard *int64     `json:"last_revision_heard" doc:"from the old master; null: never"`
	Revision          int64      `json:"revision" doc:"of the copy that the new epoch is made from"`
	WritesAtRisk      *int64     `json:"writes_at_risk" doc:"that the old master is known to have made and this copy lacks; null: not known"`
	UsersAtRisk       *int64     `json:"users_at_risk" doc:"whom these concern; null: not known"`
	Known             []string   `json:"known"`
	NotKnown          []string   `json:"not_known"`
	Destroyed         []string   `json:"destroyed" doc:"servers whose votes end with the epoch: they are taken for destroyed"`
	Awaits            []string   `json:"awaits" doc:"servers whose trail is missing: until it is merged, counter-based codes, recovery codes and passes made before are refused"`
	Unconfirmed       bool       `json:"unconfirmed" doc:"no independent coordinator grants it: the operator's word is the fence"`
	Confirm           string     `json:"confirm" doc:"what has to be typed"`
	DryRun            bool       `json:"dry_run,omitempty" doc:"nothing was done"`
}
