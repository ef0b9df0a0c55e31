package mfa

import "time"

// Promotion is the making of another server of the group the master: what was done, or,
// before it is, what would be.
type Promotion struct {
	Group             string          `json:"group"`
	Epoch             uint64          `json:"epoch"`
	OldMaster         string          `json:"old_master"`
	NewMaster         string          `json:"new_master"`
	LastRevisionHeard int64           `json:"last_revision_heard" doc:"revision of the new master's copy, as last heard from it"`
	WritesAtRisk      int64           `json:"writes_at_risk" doc:"0 if planned"`
	UsersAtRisk       int64           `json:"users_at_risk" doc:"0 if planned"`
	DryRun            bool            `json:"dry_run,omitempty" doc:"nothing was done"`
	Swap              bool            `json:"swap" doc:"the old master has the only vote: the two change places, and the loss of either meanwhile needs a disaster promotion"`
	Settling          bool            `json:"settling" doc:"the new master leads; the old one loses its vote and joins again as replica, by itself"`
	WriteGapMS        float64         `json:"write_gap_ms" doc:"for how long no change was taken, measured at the old master"`
	Steps             []PromotionStep `json:"steps"`
	Warnings          []string        `json:"warnings"`
}

// Done reports whether there was nothing to do: the server is the master already.
func (p Promotion) Done() bool { return p.OldMaster == p.NewMaster }

// PromotionStep is one step that was made.
type PromotionStep struct {
	Step       string  `json:"step" doc:"record (the swap, in the database), vote (for the new master), move (the lead), rejoin (the old master, as replica)"`
	Server     string  `json:"server"`
	DurationMS float64 `json:"duration_ms"`
}

// Swap is a planned promotion on its way in a group with one vote, as the database has it
// until the old master is a replica: whoever leads carries on with it.
type Swap struct {
	From  string    `json:"from"` // name of the old master
	To    string    `json:"to"`   // name of the new one
	Epoch uint64    `json:"epoch"`
	By    string    `json:"by"`
	Since time.Time `json:"since"`
}
