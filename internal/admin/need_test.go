package admin_test

import (
	"countersign/internal/admin"
	"countersign/internal/directory"
	"countersign/internal/enroll"
	"countersign/internal/store"
	"countersign/internal/trail"
)

// What the services need is what the packages that they are wired with have.
var (
	_ admin.Users        = (*store.Store)(nil)
	_ admin.Credentials  = (*store.Store)(nil)
	_ admin.Applications = (*store.Store)(nil)
	_ admin.Directories  = (*store.Store)(nil)
	_ admin.APITokens    = (*store.Store)(nil)
	_ admin.Settings     = (*store.Store)(nil)
	_ admin.Keys         = (*store.Store)(nil)
	_ admin.Radius       = (*store.Store)(nil)
	_ enroll.Store       = (*store.Store)(nil)
	_ admin.Recorder     = (*trail.Trail)(nil)
	_ admin.Passwords    = (*directory.Checker)(nil)
)
