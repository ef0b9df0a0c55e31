package admin

import "countersign/internal/mfa"

// Caller is who asks for an act of administration, and what they may.
type Caller = mfa.Caller
