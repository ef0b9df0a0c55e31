package parking

import "slices"

// Ancestor is an epoch that a later one was made from, and the last revision that both have.
type Ancestor struct {
	Epoch     uint64 `json:"epoch"`
	ClusterID string `json:"cluster_id"`
	Fork      int64  `json:"fork_revision"`
}

// Fork returns the last revision that an epoch has in common with that of now. old are the ancestors of the former, now those of the latter, oldest first. Where
// both were made from a third one, it is where the first of them left that. An ancestor without
// a cluster id, as a backup has it, is known by its epoch. ok is false if they are not known
// to have anything in common.
func Fork(epoch uint64, cluster string, old, now []Ancestor) (rev int64, ok bool) {
	for _, a := range now {
		if a.ClusterID == cluster || a.ClusterID == "" && a.Epoch == epoch {
			return a.Fork, true
		}
	}
	for _, o := range slices.Backward(old) {
		for _, a := range now {
			if a.ClusterID == o.ClusterID && a.ClusterID != "" {
				return min(a.Fork, o.Fork), true
			}
		}
	}
	return 0, false
}
